"""Labeled photos in the formats of public datasets, as one multi-hot matrix for the model's categories."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordsight.description_gen.categories import Category
from wordsight.utils.errors import InvalidInputError, check_not_empty, shortened

from .annotation_files import find_photo, is_file, same_name, some
from .formats import READERS
from .labeled_photo import LabeledPhoto
from .options import FORMATS
from .unknown_labels import related_categories

PRESENT, ABSENT, IGNORED = 1, 0, -1
# COCO's bounds between small, medium and large objects, in pixels of area (cocodataset.org/#detection-eval).
SIZES = ("small", "medium", "large")
PARTING = re.compile(r"[\s_\u2010-\u2015-]+")
SIZE_BOUNDS = (32**2, 96**2)


@dataclass(frozen=True)
class EvaluationDataset:
    """Labeled photos for K categories.

    Attributes:
        name: of the format and split.
        photos: N photos.
        labels: (N, K) int8: 1 present, 0 absent, -1 does not count.
        sizes: (N, K) int8: 1 + index in `SIZES` of the largest object; 0 where unknown.
        notes: what was left out, for the report.
    """

    name: str
    photos: list[LabeledPhoto]
    labels: NDArray[np.int8]
    sizes: NDArray[np.int8]
    notes: list[str]


def load_labeled_photos(
    path: Path | str,
    data_format: str,
    categories: Sequence[Category],
    *,
    split: str | None = None,
    strict: bool = False,
    photos_folder: Path | None = None,
) -> EvaluationDataset:
    """Reads labeled photos and maps their labels to a model's categories, by name or synonym.

    Args:
        path: VOCdevkit, COCO folder or `instances_*.json`, NUS-WIDE folder, JSONL file or its folder, or what
            `datasets` loads; of the annotation tools, their exports.
        data_format: which of `FORMATS`.
        categories: the model's K categories.
        split: the dataset's own name of a split; by default its test split (for VOC 2012 and COCO: val).
        strict: whether photos that are absent and labels that the model does not know are errors.
        photos_folder: where photos are, if they are not where the file says; looked into first.

    Raises:
        InvalidInputError: an annotation file is missing or damaged, no photo is there, no label fits, or `strict`.
    """
    check_not_empty(path, "The dataset's path")
    if data_format not in READERS:
        raise InvalidInputError(f"The format {data_format!r} is not known; known are {', '.join(FORMATS)}.")
    name, photos, known_names, notes = READERS[data_format](Path(path), split)
    if photos_folder is not None:
        photos = [_found_in(photos_folder, photo) for photo in photos]
    there = [photo for photo in photos if not isinstance(photo.source, Path) or is_file(photo.source)]
    if missing := [photo.name for photo in photos if isinstance(photo.source, Path) and not is_file(photo.source)]:
        notes.append(_complain(f"{len(missing)} of {len(photos)} photos are not there", missing, strict))
    if not there:
        place = f" (not even {photos[0].source})" if photos else ""
        raise InvalidInputError(
            f"{path} lists {len(photos)} photos, but none is there{place}. Where are they? Pass --photos."
        )
    index = {_key(name): k for k, category in reversed([*enumerate(categories)]) for name in category.all_names}
    index |= {_key(category.name): k for k, category in enumerate(categories)}
    used = dict.fromkeys(known_names) | dict.fromkeys(label for photo in there for label in sorted(photo.present))
    unknown = [label for label in used if _key(label) not in index]
    if unknown and len(unknown) == len(used):
        raise InvalidInputError(
            f"The model knows none of the labels in {path} ({some(unknown)}). Its categories are "
            f"{some([category.name for category in categories])}."
        )
    if unknown:
        notes.append(_complain(f"The model does not know {len(unknown)} of the labels", unknown, strict))
    labels, sizes = _matrices(there, index, len(categories))
    notes += _leave_out_unsure(labels, there, unknown, categories)
    return EvaluationDataset(name, there, labels, sizes, notes)


def _found_in(folder: Path, photo: LabeledPhoto) -> LabeledPhoto:
    """The photo, looked for in a folder; where that has none of its name, it stays where it is."""
    if not isinstance(photo.source, Path):
        return photo
    found = find_photo(photo.name, [folder])
    return photo if is_file(photo.source) and not is_file(found) else replace(photo, source=found)


def _matrices(
    photos: Sequence[LabeledPhoto], index: Mapping[str, int], count: int
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Labels and sizes of photos, as `EvaluationDataset` has them."""
    labels = np.zeros((len(photos), count), dtype=np.int8)
    sizes = np.zeros_like(labels)
    for row, photo in enumerate(photos):
        if not photo.is_complete:
            labels[row] = IGNORED
        for label in photo.ignored:
            if (k := index.get(_key(label))) is not None:
                labels[row, k] = IGNORED
        for label in photo.present:
            if (k := index.get(_key(label))) is not None:
                labels[row, k] = PRESENT
                if label in photo.areas:
                    size = 1 + int(np.searchsorted(SIZE_BOUNDS, photo.areas[label], "right"))
                    sizes[row, k] = max(sizes[row, k], size)
    return labels, sizes


def _leave_out_unsure(
    labels: NDArray[np.int8], photos: Sequence[LabeledPhoto], unknown: Sequence[str], categories: Sequence[Category]
) -> list[str]:
    """Takes no photo for a negative of what one of its unknown labels may mean; says of how many that holds."""
    notes = []
    if incomplete := sum(not photo.is_complete for photo in photos):
        told = "1 photo has" if incomplete == 1 else f"{incomplete} photos have"
        notes.append(f"{told} labels without a name and count for the named ones alone.")
    if not unknown:
        return notes
    related = dict(zip(unknown, related_categories(unknown, categories), strict=True))
    pairs: Counter[tuple[str, str]] = Counter()
    for row, photo in enumerate(photos):
        for label in photo.present & related.keys():
            for k in map(int, np.flatnonzero(related[label] & (labels[row] == ABSENT))):
                labels[row, k] = IGNORED
                pairs[label, categories[k].name] += 1
    if pairs:
        told = shortened([f"{count} with {label!r} for {name!r}" for (label, name), count in sorted(pairs.items())])
        notes.append(f"Photos left out for what an unknown label may mean: {told}. Add such labels as synonyms.")
        warnings.warn(notes[-1], stacklevel=3)
    return notes


def _key(label: str) -> str:
    """Labels are compared without case, spaces, hyphens and underscores: "diningtable" is VOC's "dining table"."""
    return PARTING.sub("", same_name(label).casefold())


def _complain(problem: str, names: list[str], strict: bool) -> str:
    message = f"{problem}: {some(names)}."
    if strict:
        raise InvalidInputError(f"{message} Fix the data, or omit --strict to go on without them.")
    warnings.warn(f"{message} They are not counted.", stacklevel=3)
    return message
