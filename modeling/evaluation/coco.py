"""COCO's annotation format, as COCO itself and annotation tools write it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError, shortened

from .annotation_files import find_photo, read_json, read_text, same_name, some
from .labeled_photo import LabeledPhoto, Read
from .reviewed import left_out, put_together

# Where the file is in a dataset's folder: COCO and CVAT, Roboflow, Label Studio, FiftyOne.
PLACES = (
    "annotations/instances_{split}.json",
    "annotations/{split}.json",
    "{split}/_annotations.coco.json",
    "_annotations.coco.json",
    "result.json",
    "labels.json",
)
SPLITS = ("val2014", "val2017", "default", "test", "valid", "val")


def read_coco(path: Path, split: str | None) -> Read:
    """A file of COCO's instances or keypoints; photos without any object are left out, as in the papers.

    Where a file has one category alone, such photos are those that don't show it, and stay.

    Args:
        path: the file, or the dataset's folder.
        split: such as "val2017"; by default the first of several that is there.

    Raises:
        InvalidInputError: there is none, or something in it can't be read; names the file, the record and the field.
    """
    file = path if path.is_file() else _find(path, split)
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    name = file.parent.name if file.name.startswith("_annotations") else file.stem.removeprefix("instances_")
    content = _content(file)
    labels = {
        _id(file, "categories", number, record, "id"): same_name(
            str(_field(file, "categories", number, record, "name"))
        )
        for number, record in enumerate(content["categories"])
    }
    areas = _areas(file, content["annotations"], labels)
    folders = [root / name, root / "images" / name, root / "images", root / "data", root, file.parent]
    folders = [folder for folder in folders if folder.is_dir()] or [root / name]
    photos: dict[Path, LabeledPhoto] = {}
    empty = twice = 0
    for number, record in enumerate(content["images"]):
        of_photo = areas.pop(_id(file, "images", number, record, "id"), {})
        shown = str(_field(file, "images", number, record, "file_name"))
        if not of_photo and len(labels) > 1:
            empty += 1
            continue
        source = find_photo(shown, folders)
        if source in photos:  # labels of one photo may stand in several records
            twice += 1
            before = photos[source].areas
            of_photo = {label: max(before.get(label, 0), of_photo.get(label, 0)) for label in before | of_photo}
        photos[source] = LabeledPhoto(shown, source, frozenset(of_photo), frozenset(), of_photo)
    notes = [*left_out(empty, "no object, as in the papers"), *put_together(twice)]
    if areas:
        notes.append(f"Objects of {len(areas)} photos that the file does not list are left out: {some([*areas])}.")
        warnings.warn(notes[-1], stacklevel=3)
    return f"COCO {name}", list(photos.values()), list(labels.values()), notes


def _content(file: Path) -> dict[str, Any]:
    """What the file holds, with the three lists of COCO's format."""
    content = read_json(file, read_text(file))
    if not isinstance(content, dict):
        found = "a list" if isinstance(content, list) else f"{content!r:.80}"
        raise InvalidInputError(
            f"{file} lacks images, annotations and categories: it is {found}, no instances_*.json of COCO's format. "
            "Export it from your tool as COCO."
        )
    lacking = [field for field in ("images", "annotations", "categories") if not isinstance(content.get(field), list)]
    if lacking:
        annotations = content.get("annotations")
        first = next(iter(annotations), None) if isinstance(annotations, list) else None
        hint = ""
        if isinstance(first, dict) and "caption" in first:
            hint = " It has captions, which don't say all that a photo shows: pass the instances_*.json beside it."
        raise InvalidInputError(f"{file} lacks {', '.join(lacking)}: it is no instances_*.json of COCO's format.{hint}")
    return content


def _areas(file: Path, annotations: list[Any], labels: dict[str, str]) -> dict[str, dict[str, float]]:
    """Photo -> label -> the area of its largest object."""
    areas: dict[str, dict[str, float]] = {}
    for number, record in enumerate(annotations):
        of_photo = areas.setdefault(_id(file, "annotations", number, record, "image_id"), {})
        category = _id(file, "annotations", number, record, "category_id")
        if category not in labels:
            raise InvalidInputError(
                f"{file}: annotations[{number}] has category_id {category}, which none of its categories has."
            )
        of_photo[labels[category]] = max(of_photo.get(labels[category], 0.0), _area(record))
    return areas


def _find(folder: Path, split: str | None) -> Path:
    """The annotation file of a dataset's folder."""
    places = dict.fromkeys(place.format(split=name) for name in ([split] if split else SPLITS) for place in PLACES)
    found = next((folder / place for place in places if (folder / place).is_file()), None)
    if found is None:
        raise InvalidInputError(
            f"{folder} holds no {shortened(list(places), 4)}. Pass the file itself as --data, or --split."
        )
    return found


def _id(file: Path, kind: str, number: int, record: Any, field: str) -> str:
    """An id as text: 1, "1" and 1.0 are the same."""
    value = _field(file, kind, number, record, field)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _field(file: Path, kind: str, number: int, record: Any, field: str) -> Any:
    """A field that a record must have."""
    value = record.get(field) if isinstance(record, dict) else None
    if value is None:
        raise InvalidInputError(f"{file}: {kind}[{number}] has no {field}. It is no instances_*.json of COCO's format.")
    return value


def _area(record: dict[str, Any]) -> float:
    """An object's area in pixels, by its box where the file does not say; 0 where that is missing, too."""
    try:
        if record.get("area") is not None:
            return float(record["area"])
        *_, width, height = record.get("bbox") or (0, 0)
        return float(width) * float(height)
    except (TypeError, ValueError, OverflowError):
        return 0.0
