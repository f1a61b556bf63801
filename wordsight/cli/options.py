"""What several commands have: help of options, and checks of arguments before any work."""

from __future__ import annotations

import os
from pathlib import Path

from wordsight.utils.errors import InvalidInputError

TILES_HELP = (  # --tiles
    "Parts of a photo to look at beside the whole, for wide or crowded photos: off, auto or fine; by default as the "
    "model's config says."
)
WORKERS_HELP = "Processes that read photos ahead of the encoder; by default what suits the machine."  # --num-workers


def check_exists(path: Path, what: str) -> None:
    """Raises InvalidInputError if there is no such file or folder."""
    if not path.exists():
        raise InvalidInputError(f"There is no {what} {str(path)!r}. Check the path.")


def check_texts(texts: str) -> None:
    """Raises InvalidInputError if texts are neither here nor named like a dataset on the Hub ("user/name")."""
    if not Path(texts).exists() and len(Path(texts).parts) != 2:
        raise InvalidInputError(f"There are no texts {texts!r}. Pass a folder, a file, or user/name of a dataset.")


def check_out_folder(path: Path, option: str = "--out") -> None:
    """Raises InvalidInputError if a folder can't be made or written there."""
    if path.exists() and not path.is_dir():
        raise InvalidInputError(f"{path} is a file, and {option} needs a folder. Pass another path.")
    _check_writable(path, option)


def check_out_file(path: Path, option: str) -> None:
    """Raises InvalidInputError if a file can't be written there."""
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder, and {option} needs a file. Pass {option} {path}/FILE.")
    _check_writable(path, option)


def _check_writable(path: Path, option: str) -> None:
    nearest = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if nearest != path.absolute() and not nearest.is_dir():
        raise InvalidInputError(f"{nearest} is a file: {path} can't be made in it. Pass another path to {option}.")
    if not os.access(nearest, os.W_OK):
        raise InvalidInputError(
            f"{nearest} can't be written. Pass another path to {option}, or change its permissions."
        )
