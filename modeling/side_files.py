"""The files beside what transformers saves that tell where a model comes from and how good it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluation.evaluate import Evaluation

CARD = "README.md"
TRAINING_LOG = "training_log.json"
KNOWLEDGE = "knowledge.json"
EVALUATION = "evaluation.json"
CURVE_PICTURE, CATEGORIES_PICTURE = "training_curve.png", "categories.png"
SIDE_FILES = (CARD, TRAINING_LOG, KNOWLEDGE, EVALUATION, CURVE_PICTURE, CATEGORIES_PICTURE)


def copy_side_files(source: Path, target: Path, names: Sequence[str] = SIDE_FILES) -> None:
    """Copies files that are in a model's folder to another one, as far as they are there."""
    for name in names:
        if (source / name).is_file() and source.resolve() != target.resolve():
            shutil.copy2(source / name, target / name)


def drop_figures(folder: Path) -> None:
    """Removes what was measured of another model, or of this one with other scores."""
    for name in (EVALUATION, CATEGORIES_PICTURE):
        (folder / name).unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """What `wordsight evaluate` measured of a model and kept beside it, one entry a benchmark."""
    entries: list[dict[str, Any]] = read_json(folder / EVALUATION).get("evaluations", [])
    return entries


def record_evaluation(folder: Path, evaluation: Evaluation) -> bool:
    """Keeps what was measured of the model itself beside it, in place of an earlier figure on the same photos.

    Returns:
        Whether the model itself was measured; if only its peers were, there is nothing to keep.
    """
    # Under the score option of the checkpoint, which is how the model scores photos.
    rows = [result for result in evaluation.results if result.method == "learned"]
    mine = next((row for row in rows if row.score_option == "checkpoint"), rows[0] if rows else None)
    if mine is None:
        return False
    report = evaluation.report
    entry = {
        "benchmark": report["benchmark"],
        "photos": report["photos"],
        "counted": len(evaluation.categories) - len(report["categories_left_out"]),
        "min_positives": report["min_positives"],
        "notes": report["notes"],
        "score_option": mine.score_option,
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
