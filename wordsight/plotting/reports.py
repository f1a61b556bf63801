"""Curves of a training, and bars of an evaluation, from the JSON files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError

from .figures import fitted, make_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 120  # categories of which average precisions are drawn


def plot_training_curves(log: Mapping[str, Any] | str | Path) -> Figure:
    """Loss and mAP on held-out sentences, by epoch.

    Args:
        log: a model's `training_log.json`: what it holds, its path, or the model's folder.

    Raises:
        InvalidInputError: it can't be read, or has no epochs.
    """
    history = _read(log, "training_log.json").get("history")
    if not history:
        raise InvalidInputError("This training log has no epochs. Pass the training_log.json of a trained model.")
    figure = make_figure(7, 3.2)
    losses, precisions = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in history]
    for axes, field, factor, title in (
        (losses, "loss", 1, "ranking loss of a sentence"),
        (precisions, "validation_map", 100, "mAP on held-out sentences, %"),
    ):
        axes.plot(epochs, [factor * record[field] for record in history], marker="o", markersize=3)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_average_precision(report: Mapping[str, Any] | str | Path) -> Figure:
    """Average precision by category, as groups of bars; the first method's best categories on top.

    Of more than 120 categories, the first method's best 60 and its worst 60.

    Args:
        report: the report of `wordsight evaluate --json`, or a model's `evaluation.json`: what it holds, its path, or
            the model's folder. Or plain figures: name of a method -> category -> average precision, between 0 and 1.

    Raises:
        InvalidInputError: it can't be read, or holds no figures.
    """
    series = _precisions(_read(report, "evaluation.json"))
    if not any(series.values()):
        raise InvalidInputError(
            "This report holds no average precision. Pass a file that `wordsight evaluate --json` wrote."
        )
    first = next(iter(series.values()))
    names = sorted({name for values in series.values() for name in values}, key=lambda name: first.get(name, 0.0))
    left_out = len(names) - MOST_BARS
    if left_out > 0:
        names = names[: MOST_BARS // 2] + names[-MOST_BARS // 2 :]
    height = 0.8 / len(series)
    figure = make_figure(9, 1.5 + 0.3 * len(series) + (0.12 + 0.12 * len(series)) * len(names))
    axes = figure.subplots()
    for number, (label, values) in enumerate(series.items()):
        positions = [place + 0.4 - (number + 0.5) * height for place in range(len(names))]
        axes.barh(positions, [100 * values.get(name, 0.0) for name in names], height, label=label)
    axes.set_yticks(range(len(names)), [fitted(name, 30, 1) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("average precision, %")
    if left_out > 0:
        axes.axhline(MOST_BARS // 2 - 0.5, color="gray", linestyle=":")
        axes.set_title(f"the best and the worst; {left_out} between them are left out", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(series), 2))
    return figure


def _read(source: Mapping[str, Any] | str | Path, name: str) -> Mapping[str, Any]:
    """What a JSON file holds, which may be read already, or be of that name in a folder."""
    if isinstance(source, Mapping):
        return source
    path = Path(source) / name if Path(source).is_dir() else Path(source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"{path} can't be read ({error}). Pass a {name}, or the folder that holds it."
        ) from error
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} holds no JSON object. Pass a {name}, or the folder that holds it.")
    return content


def _precisions(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Average precisions by method, or by set of photos where only the model itself was measured."""
    for field, name in (("results", "method"), ("evaluations", "benchmark")):
        if isinstance(rows := report.get(field), list):
            options = [row.get("score_standardization", "none") for row in rows]
            shown = [f"{option}, " if len(set(options)) > 1 else "" for option in options]
            return {
                f"{row[name]} ({option}mAP {100 * row['map']:.1f})": row["ap"]
                for row, option in zip(rows, shown, strict=True)
            }
    if not all(isinstance(values, Mapping) for values in report.values()):
        return {}
    return dict(report)
