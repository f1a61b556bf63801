"""What an evaluation found, and the model's own figures kept beside it for its card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.files import EVALUATION, read_evaluations
from wordsight.utils.plugins import load_plugin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .datasets import EvaluationDataset


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        method: see `METHODS`.
        score_standardization: "none", or one of SPARC's steps, with statistics of the photos that are measured (no
            labels); "checkpoint" for the option and statistics that the model itself holds.
        map: mean average precision, between 0 and 1.
        interval: 95% bootstrap interval of it.
        ap: category -> average precision; nothing for categories without a positive.
        top: CF1, OF1 and their parts at the 3 best labels a photo.
        thresholds: the same at the calibrated thresholds, where the method has them.
        recall_at_labels: share of labels that are among the n best of their photo, which has n; by calibrated
            scores, where the method has them, as the pipeline orders labels.
        recall_by_size: size -> share of its positives that are among the 3 best, where sizes are known.
    """

    method: str
    score_standardization: str
    map: float
    interval: tuple[float, float]
    ap: dict[str, float]
    top: dict[str, float]
    thresholds: dict[str, float] | None
    recall_at_labels: float
    recall_by_size: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes:
        dataset: the photos that could be read, with their labels.
        categories: the K category names.
        results: one for each method and score standardization.
        scores: (method, score standardization) -> (N, K) scores.
        report: all that goes into the JSON file.
    """

    dataset: EvaluationDataset
    categories: list[str]
    results: list[Result]
    scores: dict[tuple[str, str], NDArray[np.float32]]
    report: dict[str, Any]


def own_row(results: Sequence[Result], method: str = "learned") -> Result | None:
    """A model's row, under the score standardization that it holds: as it scores photos. None if it was not measured.

    Args:
        results: the rows of all methods.
        method: the model's name in the table.
    """
    rows = [row for row in results if row.method == method]
    return next((row for row in rows if row.score_standardization == "checkpoint"), rows[0] if rows else None)


def keep_beside(folder: Path, evaluation: Evaluation, method: str = "learned") -> None:
    """Puts the model's own figures into its folder and its card; a folder that can't be written keeps what it has."""
    try:
        if record_evaluation(folder, evaluation, method) and (write_card := load_plugin("write_card")):
            write_card(folder)
    except OSError as error:
        warnings.warn(f"The figures are not kept in {folder}: {error.strerror}.", stacklevel=2)


def record_evaluation(folder: Path, evaluation: Evaluation, method: str = "learned") -> bool:
    """Keeps what was measured of the model itself beside it, in place of an earlier figure on the same photos.

    Args:
        folder: the model's.
        evaluation: what was found.
        method: the model's row, where there are several models.

    Returns:
        Whether the model itself was measured; if only baselines were, there is nothing to keep.
    """
    mine = own_row(evaluation.results, method)
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
        "comparison": report["comparison"],
    }
    others = [kept for kept in read_evaluations(folder) if kept["benchmark"] != entry["benchmark"]]
    content = json.dumps({"evaluations": [*others, entry]}, indent=2, ensure_ascii=False)
    (folder / EVALUATION).write_text(content + "\n", encoding="utf-8")
    return True
