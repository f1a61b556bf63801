"""One labeled photo, as an annotation file has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..photo_batches import PhotoSource


@dataclass(frozen=True)
class LabeledPhoto:
    """One photo as an annotation file has it.

    Attributes:
        name: path or number, for messages.
        source: a path, or what gives the photo or its file's content.
        present: names of the categories that are there.
        ignored: names of categories for which the photo does not count (VOC's difficult objects).
        areas: category name -> area in pixels of its largest object, where boxes are known.
        is_complete: whether these are all its labels; else it does not count for categories that are not among them.
    """

    name: str
    source: Path | Callable[[], PhotoSource]
    present: frozenset[str]
    ignored: frozenset[str] = frozenset()
    areas: dict[str, float] = field(default_factory=dict)
    is_complete: bool = True


# What a reader gives: the dataset's name, its photos, the labels it can have (none if it does not say), notes.
Read = tuple[str, list[LabeledPhoto], Iterable[str], list[str]]
