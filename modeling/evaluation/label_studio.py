"""Exports of Label Studio, as JSON or JSON-MIN: choices of photos that somebody has looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from wordsight.utils.errors import InvalidInputError, shortened

from .annotation_files import read_json, read_text
from .labeled_photo import Read
from .reviewed import labeled, left_out, names_in, only_file, record

UPLOADED = re.compile(r"(?:.*/)?data/upload/\d+/[0-9a-f]{8}-")
PHOTO_FIELDS = ("photo", "image", "img", "url")  # `wordsight predict` writes the first two
# Fields of JSON-MIN beside the choices.
OTHER_FIELDS = (*PHOTO_FIELDS, "id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time", "scores")
CHOICE_FIELDS = ("labels", "choice")  # the controls of wordsight's interface and of Label Studio's own
NOT_REVIEWED = "no annotation was submitted"


def read_label_studio(path: Path, split: str | None) -> Read:
    """The export's photos with the choices of each one's last annotation; tasks without any are left out.

    Args:
        path: the JSON file, or a folder that holds no other.
        split: not looked at.

    Raises:
        InvalidInputError: it is no export, no task in it has an annotation, or JSON-MIN does not tell which field has
            the choices.
    """
    file = only_file(path, "*.json", "export")
    tasks = read_json(file, read_text(file))
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InvalidInputError(f"{file} is no list of tasks. Export as JSON or JSON-MIN in Label Studio.")
    fields = _choice_fields(file, [task for task in tasks if _is_short(task)])
    found: list[tuple[str, frozenset[str]]] = []
    last = _last_rows(tasks)
    for number, task in last:
        with record(file, f"task {number}"):
            choices = _short_choices(task, fields) if _is_short(task) else _choices(task)
            if choices is not None:
                found.append((_photo(file, number, task), choices))
    if tasks and not found:
        raise InvalidInputError(f"{file}: no task has an annotation. Submit some in Label Studio, then export again.")
    photos, notes = labeled(file, found)
    return f"Label Studio {file.stem}", photos, [], [*notes, *left_out(len(last) - len(found), NOT_REVIEWED)]


def _is_short(task: dict[str, Any]) -> bool:
    """Whether it is of JSON-MIN, which has a row an annotation."""
    return "data" not in task


def _last_rows(tasks: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Tasks with their numbers, of JSON-MIN the last annotation of each."""
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, task in enumerate(tasks):
        key = f"task {task['id']}" if _is_short(task) and "id" in task else f"row {number}"
        if key not in last or _time(last[key][1]) <= _time(task):
            last[key] = number, task
    return list(last.values())


def _time(annotation: dict[str, Any]) -> str:
    return str(annotation.get("updated_at") or "")


def _choices(task: dict[str, Any]) -> frozenset[str] | None:
    """Choices of a task's last annotation that was not skipped; None if there is none."""
    annotations = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
    if not annotations:
        return None
    last = max(reversed(annotations), key=_time)
    items = [item for item in last.get("result") or [] if item.get("type") == "choices"]
    return frozenset().union(*(names_in(item["value"].get("choices", [])) for item in items))


def _choice_fields(file: Path, tasks: list[dict[str, Any]]) -> set[str]:
    """Fields of JSON-MIN that hold choices: several are a list in an object, one alone is text, as other data are."""
    fields = {field for task in tasks for field, value in task.items() if _has_choices(value)}
    fields |= {field for field in CHOICE_FIELDS if any(field in task for task in tasks)}
    texts = {field: None for task in tasks for field, value in task.items() if isinstance(value, str)}
    if not fields and (unsure := [field for field in texts if field not in OTHER_FIELDS]):
        raise InvalidInputError(
            f"{file}: any of {shortened(unsure)} may hold the choices; JSON-MIN does not tell. Export as JSON."
        )
    return fields


def _has_choices(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("choices"), list)


def _short_choices(task: dict[str, Any], fields: set[str]) -> frozenset[str] | None:
    """Choices of a row of JSON-MIN; None if it is no annotation."""
    if "annotation_id" not in task and "annotator" not in task:
        return None
    given = [task[field] for field in fields if field in task]
    several = [value["choices"] for value in given if _has_choices(value)]
    return frozenset().union(*map(names_in, several), names_in([value for value in given if isinstance(value, str)]))


def _photo(file: Path, number: int, task: dict[str, Any]) -> str:
    """A photo's name, from its address in the tool."""
    data = task.get("data", task)
    address = next((data[field] for field in PHOTO_FIELDS if isinstance(data.get(field), str)), None)
    if address is None:
        raise InvalidInputError(f"{file}: task {number} has no field {', '.join(PHOTO_FIELDS)} with its photo.")
    if data.get("photo") == address:
        return str(address)
    parts = urlsplit(address)
    if given := parse_qs(parts.query).get("d"):
        return given[0]
    return UPLOADED.sub("", unquote(parts.path)).lstrip("/")
