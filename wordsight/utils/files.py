"""The files beside what transformers saves that tell where a model comes from and how good it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CARD = "README.md"
TRAINING_LOG = "training_log.json"
KNOWLEDGE = "knowledge.json"
EVALUATION = "evaluation.json"
CODE = "pipeline_wordsight.py"  # beside a model: it comes with the code to use it without wordsight
CURVE_PICTURE, CATEGORIES_PICTURE = "training_curve.png", "categories.png"
TEXTS_PICTURES = ("co_occurrence.png", "groups.png")  # beside published sentences: heat map, and graph
SIDE_FILES = (CARD, TRAINING_LOG, KNOWLEDGE, EVALUATION, CURVE_PICTURE, CATEGORIES_PICTURE)


def printable_name(name: str) -> str:
    r"""A file's name as text that can be written: bytes that are no UTF-8 become "\xe9".

    Args:
        name: as Python has it, with such bytes as surrogates.

    Example:
        >>> printable_name("caf\udce9.jpg")
        'caf\\xe9.jpg'
    """
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


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
