"""Labels as CSV and JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path

from wordsight.utils.errors import InvalidInputError

from .predictions import Predictions

SEPARATOR = "|"  # as `pandas.Series.str.get_dummies` takes it
CSV_COLUMNS = ("file_name", "labels", "scores", "error")


def write_csv(predictions: Predictions, out: Path) -> str:
    """`labels.csv`, a row a photo; several labels in a cell have | between them.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.

    Raises:
        InvalidInputError: a category has | in its name.
    """
    check_csv_names(predictions.categories)
    path = out / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(CSV_COLUMNS)
        for photo in predictions:
            scores = SEPARATOR.join(f"{score:.4f}" for score in photo.scores)
            table.writerow([photo.name, SEPARATOR.join(photo.labels), scores, photo.error or ""])
    return f"Labels: {path}"


def check_csv_names(categories: Iterable[str]) -> None:
    """Raises `InvalidInputError` if a category has | in its name."""
    if odd := next((name for name in categories if SEPARATOR in name), None):
        raise InvalidInputError(f"CSV has | between labels, and {odd!r} has one in its name. Pass --format jsonl.")


def write_jsonl(predictions: Predictions, out: Path) -> str:
    """`labels.jsonl`, an object a photo; `error` is there where a photo can't be read.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.
    """
    path = out / "labels.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for photo in predictions:
            row = {"file_name": photo.name, "labels": photo.labels, "scores": [round(s, 4) for s in photo.scores]}
            told = row if photo.error is None else row | {"error": photo.error}
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
    return f"Labels: {path}"
