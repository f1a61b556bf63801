"""Reading annotation files as people have them: byte-order marks, odd line ends, photos in several places."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError, shortened

MAX_NAMED = 5
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp", ".tif", ".tiff")


def some(names: Sequence[str]) -> str:
    """The first names of a list, quoted."""
    return shortened([repr(name) for name in names], MAX_NAMED)


def read_text(path: Path) -> str:
    """A file's text, without the byte-order mark that some programs begin one with.

    Raises:
        InvalidInputError: it can't be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The annotation file {path} can't be read: {error}.") from error


def read_lines(path: Path) -> list[str]:
    """A file's lines. Only line breaks end one: U+2028 and U+0085 may stand in a string."""
    return [line.removesuffix("\r") for line in read_text(path).split("\n")]


def read_json(path: Path | str, text: str) -> Any:
    """JSON, with the place named where it is none.

    Args:
        path: the file, or a place in it, for the message.
        text: what stands there.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is no valid JSON: {error}.") from error


def is_file(path: Path) -> bool:
    """Whether a path is a file; False for one that no file can have, too long or with a zero byte."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def same_name(name: str) -> str:
    """A name as one sequence of characters: "é" may be one or two."""
    return unicodedata.normalize("NFC", name).strip()


def find_photo(name: str, folders: Sequence[Path], suffixes: Iterable[str] = ("",)) -> Path:
    r"""Where a photo is: the first of some folders that holds it; else where it should be in the first.

    Args:
        name: as the annotation file has it, maybe with \ between folders, or with folders that are not there.
        folders: where to look.
        suffixes: what may stand behind the name.
    """
    name = name.replace("\\", "/")
    parts = name.split("/")
    # The longest end that is there: photos of one name may be in several folders.
    for given in dict.fromkeys([name, *("/".join(parts[start:]) for start in range(1, len(parts)))]):
        for form in dict.fromkeys([given, unicodedata.normalize("NFC", given), unicodedata.normalize("NFD", given)]):
            for folder in folders:
                for suffix in suffixes:
                    if is_file(found := folder / f"{form}{suffix}"):
                        return found
    return folders[0] / f"{name}{next(iter(suffixes), '')}"
