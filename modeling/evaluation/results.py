"""A model's own figures, kept beside it and told in its card."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.utils.files import EVALUATION, read_evaluations
from wordsight.utils.plugins import load_plugin

if TYPE_CHECKING:
    from .run import Evaluation


def keep_beside(folder: Path, evaluation: Evaluation) -> None:
    """Puts the model's own figures into its folder and its card; a folder that can't be written keeps what it has."""
    try:
        if record_evaluation(folder, evaluation) and (write_card := load_plugin("write_card")):
            write_card(folder)
    except OSError as error:
        warnings.warn(f"The figures are not kept in {folder}: {error.strerror}.", stacklevel=2)


def record_evaluation(folder: Path, evaluation: Evaluation) -> bool:
    """Keeps what was measured of the model itself beside it, in place of an earlier figure on the same photos.

    Returns:
        Whether the model itself was measured; if only its peers were, there is nothing to keep.
    """
    # Under the score standardization of the checkpoint, which is how the model scores photos.
    rows = [result for result in evaluation.results if result.method == "learned"]
    mine = next((row for row in rows if row.score_standardization == "checkpoint"), rows[0] if rows else None)
    if mine is None:
        return False
    report = evaluation.report
    entry = {
        "benchmark": report["benchmark"],
        "photos": report["photos"],
        "counted": len(evaluation.categories) - len(report["categories_left_out"]),
        "min_positives": report["min_positives"],
        "notes": report["notes"],
        "score_standardization": mine.score_standardization,
        "map": mine.map,
        "interval": list(mine.interval),
        "top": mine.top,
        "thresholds": mine.thresholds,
        "ap": mine.ap,
    }
    others = [kept for kept in read_evaluations(folder) if kept["benchmark"] != entry["benchmark"]]
    content = json.dumps({"evaluations": [*others, entry]}, indent=2, ensure_ascii=False)
    (folder / EVALUATION).write_text(content + "\n", encoding="utf-8")
    return True
