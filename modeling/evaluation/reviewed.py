"""What readers of annotation tools' exports have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from wordsight.utils.errors import InvalidInputError

from .annotation_files import find_photo
from .labeled_photo import LabeledPhoto

# Folders that may hold the photos, beside the file of labels; others are given by --photos.
FOLDERS = ("", "images", "data", "photos")


def labeled(file: Path, labels: Iterable[tuple[str, frozenset[str]]]) -> tuple[list[LabeledPhoto], list[str]]:
    """Photos and notes of a file that names photos and their labels; those named twice have the labels of both.

    Args:
        file: the file, beside which photos are looked for.
        labels: a photo's name, as the file has it, and its labels.
    """
    folders = [file.parent / folder for folder in FOLDERS]
    photos: dict[str, LabeledPhoto] = {}
    twice = 0
    for name, present in labels:
        before = photos.get(name)
        if before is not None:
            twice += 1
            present |= before.present
        photos[name] = LabeledPhoto(name, find_photo(name, folders), present)
    notes = [f"{twice} records name a photo that another one has named; their labels are put together."]
    return list(photos.values()), notes if twice else []


def left_out(count: int, why: str) -> list[str]:
    """The note that says how many records are not counted; none if there is none."""
    return [f"{count} photos are left out: {why}."] if count else []


def only_file(path: Path, pattern: str, what: str) -> Path:
    """The file of an export: the path itself, or the only one of a kind in a folder.

    Raises:
        InvalidInputError: the folder holds none, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob(pattern))
    if len(found) != 1:
        raise InvalidInputError(f"{path} holds {len(found)} files {pattern}. Pass the {what} itself as --data.")
    return found[0]
