"""Exports of FiftyOne: FiftyOneImageClassificationDataset and FiftyOneDataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError, shortened

from .annotation_files import SUFFIXES, find_photo, read_json, read_text, same_name
from .labeled_photo import Read
from .reviewed import labeled, left_out

TRUTH = "ground_truth"
# Kind of a field -> its list of labels; None for one label alone.
KINDS = {"Classifications": "classifications", "Detections": "detections", "Classification": None}
NOT_LABELED = "their labels are null, which FiftyOne writes for none and for not labeled"


def read_fiftyone(path: Path, split: str | None) -> Read:
    """The export's photos with their labels; samples whose labels are null are left out.

    Args:
        path: the export's folder, or its labels.json or samples.json.
        split: of a FiftyOneDataset, the field with the labels; by default `ground_truth`, or the only one.

    Raises:
        InvalidInputError: it is no such export, or has several fields of labels.
    """
    folder = path if path.is_dir() else path.parent
    file = next((folder / name for name in ("labels.json", "samples.json") if (folder / name).is_file()), path)
    content = read_json(file, read_text(file))
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} is no export of FiftyOne: it holds no object.")
    if isinstance(content.get("labels"), dict):
        found = list(_classifications(folder, content))
        known = [str(name) for name in _list(content.get("classes"))]
    elif isinstance(content.get("samples"), list):
        found, known = list(_samples(file, content["samples"], split)), []
    else:
        raise InvalidInputError(f"{file} has neither labels nor samples: it is no export of FiftyOne.")
    photos, notes = labeled(file, ((name, labels) for name, labels in found if labels is not None))
    notes += left_out(sum(labels is None for _, labels in found), NOT_LABELED)
    return f"FiftyOne {folder.resolve().name}", photos, map(same_name, known), notes


def _classifications(folder: Path, content: dict[str, Any]) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Names and labels of a FiftyOneImageClassificationDataset."""
    classes, manifest = _list(content.get("classes")), folder / "data.json"
    places = read_json(manifest, read_text(manifest)) if manifest.is_file() else {}
    places = places if isinstance(places, dict) else {}
    for key, target in content["labels"].items():
        name = str(places.get(key, key))
        if key not in places:
            there = find_photo(key, [folder / "data"], ("", *SUFFIXES))
            name = str(there) if there.is_file() else key
        yield name, None if target is None else frozenset(_names(target, classes))


def _names(target: Any, classes: list[Any]) -> Iterator[str]:
    """Labels of one photo: a name, a class's number, an object with a label, or a list of these."""
    for label in target if isinstance(target, list) else [target]:
        given = label.get("label") if isinstance(label, dict) else label
        if isinstance(given, int) and 0 <= given < len(classes):
            given = classes[given]
        if given is not None:
            yield same_name(str(given))


def _samples(file: Path, samples: list[Any], field: str | None) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Names and labels of a FiftyOneDataset."""
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            raise InvalidInputError(f"{file}: sample {number} has no filepath.")
    fields = {
        name: None
        for sample in samples
        for name, value in sample.items()
        if isinstance(value, dict) and value.get("_cls") in KINDS
    }
    chosen = field or (TRUTH if TRUTH in fields else next(iter(fields)) if len(fields) == 1 else None)
    if chosen not in fields:
        raise InvalidInputError(
            f"{file}: labels can be in {shortened(list(fields)) or 'no field'}. Pass the right one as --split."
        )
    for sample in samples:
        name = sample["filepath"].replace("\\", "/").removeprefix("data/")
        value = sample.get(chosen)
        if not isinstance(value, dict) or value.get("_cls") not in KINDS:
            yield name, None
            continue
        inside = KINDS[value["_cls"]]
        yield name, frozenset(_names(_list(value.get(inside)) if inside else value, []))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
