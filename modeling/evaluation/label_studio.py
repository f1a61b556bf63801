"""Exports of Label Studio, as JSON or JSON-MIN: choices of photos that somebody has looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from wordsight.utils.errors import InvalidInputError

from .annotation_files import read_json, read_text, same_name
from .labeled_photo import Read
from .reviewed import labeled, left_out, only_file

UPLOADED = re.compile(r"(?:.*/)?data/upload/\d+/[0-9a-f]{8}-")
PHOTO_FIELDS = ("photo", "image", "img", "url")  # `wordsight predict` writes the first two
NOT_REVIEWED = "nobody has submitted an annotation of them"


def read_label_studio(path: Path, split: str | None) -> Read:
    """The export's photos with the choices of each one's last annotation; tasks without any are left out.

    Args:
        path: the JSON file, or a folder that holds no other.
        split: not looked at.

    Raises:
        InvalidInputError: it is no export, or no task in it has an annotation.
    """
    file = only_file(path, "*.json", "export")
    tasks = read_json(file, read_text(file))
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidInputError(f"{file} is no list of tasks. Export as JSON or JSON-MIN in Label Studio.")
    found: list[tuple[str, frozenset[str]]] = []
    for number, task in enumerate(tasks):
        choices = _choices(task)
        if choices is not None:
            found.append((_photo(file, number, task), frozenset(map(same_name, choices))))
    if tasks and not found:
        raise InvalidInputError(f"{file}: no task has an annotation. Submit some in Label Studio, then export again.")
    photos, notes = labeled(file, found)
    return f"Label Studio {file.stem}", photos, [], [*notes, *left_out(len(tasks) - len(found), NOT_REVIEWED)]


def _choices(task: dict[str, Any]) -> list[str] | None:
    """Choices of a task's last annotation that was not skipped; None if there is none."""
    if "data" not in task:  # JSON-MIN
        if "annotation_id" not in task and "annotator" not in task:
            return None
        return [name for field, value in task.items() if field not in PHOTO_FIELDS for name in _of_field(field, value)]
    annotations = [a for a in _objects(task.get("annotations")) if not a.get("was_cancelled")]
    if not annotations:
        return None
    last = max(annotations, key=lambda annotation: str(annotation.get("updated_at") or ""))
    return [
        name
        for item in _objects(last.get("result"))
        if item.get("type") == "choices"
        for name in _of_field("", item.get("value"))
    ]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _of_field(field: str, value: Any) -> list[str]:
    """Choices of a field of JSON-MIN: several are a list in an object, one is a string."""
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        return [name for name in value["choices"] if isinstance(name, str)]
    return [value] if field in ("labels", "choice") and isinstance(value, str) else []


def _photo(file: Path, number: int, task: dict[str, Any]) -> str:
    """A photo's name, from its address in the tool."""
    data = task.get("data", task)
    data = data if isinstance(data, dict) else {}
    address = next((data[field] for field in PHOTO_FIELDS if isinstance(data.get(field), str)), None)
    if address is None:
        raise InvalidInputError(f"{file}: task {number} has no field {', '.join(PHOTO_FIELDS)} with its photo.")
    if data.get("photo") == address:
        return str(address)
    parts = urlsplit(address)
    if given := parse_qs(parts.query).get("d"):
        return given[0]
    return UPLOADED.sub("", unquote(parts.path)).lstrip("/")
