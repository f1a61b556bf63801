"""The pictures of a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wordsight.pictures import make_figure

DPI = 80  # a picture of some 20 kB, beside a model of some hundred


def draw_training_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Loss and mAP on held-out sentences, by epoch.

    Args:
        history: one record an epoch: epoch, loss, validation_map.
        path: the picture's file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
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
    figure.savefig(path, dpi=DPI)


def draw_average_precisions(series: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Average precision by category, as groups of bars; the first series' best categories on top.

    Args:
        series: name of a method or of a set of photos -> category -> average precision, between 0 and 1.
        path: the picture's file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    first = next(iter(series.values()))
    names = sorted({name for values in series.values() for name in values}, key=lambda name: first.get(name, 0.0))
    height = 0.8 / len(series)
    figure = make_figure(9, 1.5 + 0.12 * len(names) * (1 + len(series)))
    axes = figure.subplots()
    for number, (label, values) in enumerate(series.items()):
        positions = [place + 0.4 - (number + 0.5) * height for place in range(len(names))]
        axes.barh(positions, [100 * values.get(name, 0.0) for name in names], height, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel("average precision, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(series), 3))
    figure.savefig(path, dpi=DPI)
