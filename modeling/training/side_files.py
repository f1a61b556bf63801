"""What stands beside a trained model's weights: training log, knowledge, card and pictures."""

from __future__ import annotations

import json
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
