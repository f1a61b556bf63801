"""Exports of FiftyOne: FiftyOneImageClassificationDataset and FiftyOneDataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError, shortened

from .annotation_files import SUFFIXES, find_photo, read_json, read_text, same_name
from .labeled_photo import Read
from .reviewed import labeled, left_out, names_in, record

TRUTH = "ground_truth"
FILES = ("labels.json", "samples.json")
# Kind of a field -> its list of labels; None for one label alone.
KINDS: dict[str, str | None] = {
    **{f"{kind}s": f"{kind.lower()}s" for kind in ("Classification", "Detection", "Polyline", "Keypoint")},
    **dict.fromkeys(("Classification", "Detection", "Polyline", "Keypoint")),
}
NOT_LABELED = "labels are null, which FiftyOne writes for none and for not labeled"


def read_fiftyone(path: Path, split: str | None) -> Read:
    """The export's photos with their labels; samples whose labels are null are left out.

    Args:
        path: the export's folder, or its labels.json or samples.json.
        split: of a FiftyOneDataset, the field with the labels; by default `ground_truth`, or the only one.

    Raises:
        InvalidInputError: it is no such export, or has several fields of labels.
    """
    folder = path if path.is_dir() else path.parent
    file = next((path / name for name in FILES if (path / name).is_file()), None) if path.is_dir() else path
    if file is None:
        raise InvalidInputError(f"{path} holds neither {' nor '.join(FILES)}. Pass the file itself as --data.")
    content = read_json(file, read_text(file))
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} is no export of FiftyOne: it holds no object.")
    if isinstance(content.get("labels"), dict):
        found = list(_classifications(file, content))
        known = content.get("classes") or []
    elif isinstance(content.get("samples"), list):
        found, known = list(_samples(file, content["samples"], split)), []
    else:
        raise InvalidInputError(f"{file} has neither labels nor samples: it is no export of FiftyOne.")
    photos, notes = labeled(file, ((name, labels) for name, labels in found if labels is not None))
    notes += left_out(sum(labels is None for _, labels in found), NOT_LABELED)
    return f"FiftyOne {folder.resolve().name}", photos, map(same_name, known), notes


def _classifications(file: Path, content: dict[str, Any]) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Names and labels of a FiftyOneImageClassificationDataset."""
    classes, manifest = content.get("classes"), file.parent / "data.json"
    if classes is not None:
        with record(file, "classes"):
            names_in(classes)
    places = read_json(manifest, read_text(manifest)) if manifest.is_file() else {}
    for key, target in content["labels"].items():
        with record(file, f"the label of {key!r}"):
            name = str(places.get(key, key))
            if key not in places:
                there = find_photo(key, [file.parent / "data"], ("", *SUFFIXES))
                name = str(there) if there.is_file() else key
            found = None if target is None else frozenset(_names(target, classes))
        yield name, found


def _names(target: Any, classes: list[str] | None) -> Iterator[str]:
    """Labels of one photo: a name, a class's number, an object with a label, or a list of these."""
    for label in target if isinstance(target, list) else [target]:
        given = label.get("label") if isinstance(label, dict) else label
        if isinstance(given, int) and classes is not None and 0 <= given < len(classes):
            given = classes[given]
        if given is not None:
            yield same_name(given)


def _samples(file: Path, samples: list[Any], field: str | None) -> Iterator[tuple[str, frozenset[str] | None]]:
    """Names and labels of a FiftyOneDataset."""
    fields: dict[str, None] = {}
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
            raise InvalidInputError(f"{file}: sample {number} has no filepath.")
        fields |= {name: None for name, value in sample.items() if _kind(value) in KINDS}
    chosen = field or (TRUTH if TRUTH in fields else next(iter(fields)) if len(fields) == 1 else None)
    if chosen not in fields:
        raise InvalidInputError(
            f"{file}: labels can be in {shortened(list(fields)) or 'no field'}. Pass the right one as --split."
        )
    for number, sample in enumerate(samples):
        with record(file, f"sample {number}"):
            name = sample["filepath"].replace("\\", "/").removeprefix("data/")
            labels = _labels_of(sample.get(chosen))
        yield name, labels


def _kind(value: Any) -> str:
    return str(value.get("_cls")) if isinstance(value, dict) else ""


def _labels_of(value: Any) -> frozenset[str] | None:
    """Labels of a sample's field; None if it has none."""
    if value is None:
        return None
    if (kind := _kind(value)) not in KINDS:
        raise ValueError(f"its labels are of the kind {kind!r}; known are {', '.join(KINDS)}")
    labels = value.get(KINDS[kind]) if KINDS[kind] else [value]
    return None if labels is None else frozenset(_names(labels, None))
