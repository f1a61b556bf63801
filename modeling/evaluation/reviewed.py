"""What readers of annotation tools' exports have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.wording import counted

from .annotation_files import find_photo, same_name
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
    return list(photos.values()), put_together(twice)


@contextmanager
def record(file: Path, what: str) -> Iterator[None]:
    """Makes one line of what goes wrong with a record that is not as its tool writes it.

    Args:
        file: the file, for the message.
        what: which record, for the message.

    Raises:
        InvalidInputError: it can't be read.
    """
    try:
        yield
    except InvalidInputError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InvalidInputError(f"{file}: {what} can't be read ({why}). Export it again.") from error


def names_in(value: Any) -> frozenset[str]:
    """Labels of a list.

    Raises:
        TypeError: it is no list, or something in it is no text.
    """
    if not isinstance(value, list):
        raise TypeError(f"a list of labels is expected, not {value!r:.80}")
    return frozenset(same_name(name) for name in value)


def left_out(count: int, why: str) -> list[str]:
    """The note that says how many records are not counted; none if there is none."""
    return [f"{counted(count, 'photo')} left out: {why}."] if count else []


def put_together(count: int) -> list[str]:
    """The note that says how many records are of photos that others were of; none if there is none."""
    told = f"{counted(count, 'record')} of photos that were named before; their labels are put together."
    return [told] if count else []


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
