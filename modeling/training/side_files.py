"""What stands beside a trained model's weights: training log, knowledge, card and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.files import KNOWLEDGE, TRAINING_LOG, drop_figures
from wordsight.utils.plugins import load_plugin

if TYPE_CHECKING:
    from wordsight.description_gen.dataset import Knowledge


def write_side_files(folder: Path, log: dict[str, Any] | None, knowledge: Knowledge | None) -> None:
    """Writes what is known of a model's training, and its card.

    Figures of an earlier model in the same folder go with that model.

    Args:
        folder: the model's folder, in which its weights are.
        log: the content of `training_log.json`; None for a model that was not trained.
        knowledge: what a language model said of the categories.
    """
    drop_figures(folder)
    for name, content in ((TRAINING_LOG, log), (KNOWLEDGE, knowledge)):
        if content is None:
            (folder / name).unlink(missing_ok=True)
    if log is not None:
        (folder / TRAINING_LOG).write_text(json.dumps(log, indent=2), encoding="utf-8")
    if knowledge is not None:
        knowledge.save(folder / KNOWLEDGE)
    if write_card := load_plugin("write_card"):
        write_card(folder)


def training_log(
    settings: dict[str, Any],
    log_history: Sequence[dict[str, float]],
    precisions: Mapping[str, float],
    examples: dict[str, list[str]],
) -> dict[str, Any]:
    """The content of `training_log.json`.

    Args:
        settings: of the run.
        log_history: what Trainer logged.
        precisions: average precision on held-out sentences by category; nan where none mentions it.
        examples: some sentences that mention each category.
    """
    return {
        "training": settings,
        "history": history(log_history),
        "validation_ap": {name: float(value) for name, value in precisions.items() if value == value},
        "example_sentences": examples,
    }


def history(log_history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Trainer's log as one record for each evaluation: epoch, loss, learning_rate, validation_map.

    Args:
        log_history: entries of losses, and of evaluations, in order.
    """
    records, latest = [], {}
    for entry in log_history:
        if "loss" in entry:
            latest = {name: entry[name] for name in ("loss", "learning_rate")}
        elif "eval_map" in entry and latest:
            epoch = round(entry["epoch"], 3)
            records.append(
                {"epoch": int(epoch) if epoch == int(epoch) else epoch, **latest, "validation_map": entry["eval_map"]}
            )
    return records
