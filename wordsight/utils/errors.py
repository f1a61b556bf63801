"""Errors a user can act on: one line that names what was given and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class WordsightError(Exception):
    """Base of wordsight's own errors. The command line prints its message as one line and exits with status 1.

    Example:
        >>> from wordsight import WordsightError, load_texts
        >>> try:
        ...     load_texts("nowhere")
        ... except WordsightError as error:
        ...     print(error)
        nowhere is not a folder of sentences (knowledge.json is missing). Write one with `wordsight describe --out ...
    """


class InvalidInputError(WordsightError, ValueError):
    """Something that the user passed (a file, a category, an option, a checkpoint) can't be used as it is.

    Example:
        >>> from wordsight import InvalidInputError, label_texts
        >>> try:
        ...     label_texts(["A dog."], ["cat", "cat"])
        ... except InvalidInputError as error:
        ...     print(error)
        'cat' is given twice. Each name may stand for one category.
    """


class MissingDependencyError(WordsightError, ImportError):
    """An optional package or its files are not installed; the message holds the command that installs them."""


def check_not_empty(path: object, what: str) -> None:
    """Raises InvalidInputError if a path is an empty text, which `Path` would take for the current folder."""
    if isinstance(path, str) and not path.strip():
        raise InvalidInputError(f"{what} is an empty text. Pass a path ('.' is the current folder).")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Says of a package that is imported inside, and is not installed, how to install it.

    Args:
        extra: the extra of wordsight that holds the package.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{error.name} is not installed. Run `pip install 'wordsight[{extra}]'`.", name=error.name
        ) from error


@contextmanager
def writing(path: Path, again: str) -> Iterator[None]:
    """Makes one line of what goes wrong while something is written.

    Args:
        path: what is written.
        again: what to do once there is room, as the end of a sentence.

    Raises:
        WordsightError: the disk is full, or the file can't be written. Other errors (CUDA's, say) are left alone.
    """
    try:
        yield
    except Exception as error:
        if not is_write_error(error):
            raise
        raise write_error(path, error, again) from error


def is_write_error(error: Exception) -> bool:
    """Whether it says that a file can't be written: the system's error, safetensors' own, or that of torch.save."""
    of_torch = isinstance(error, RuntimeError) and re.search("PytorchStream|inline_container", str(error))
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError" or bool(of_torch)


def write_error(path: Path | str, error: Exception, again: str) -> WordsightError:
    """The error that says of `path` that it can't be written, why, and what to do."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number is None:
        found = re.search(r"os error (\d+)", text)  # as Rust, and so safetensors, puts it
        number = int(found[1]) if found else errno.ENOSPC if isinstance(error, RuntimeError) else None
    remedy = "Make room" if number in FULL else "Check that the folder can be written"
    reason = getattr(error, "strerror", None) or text.partition("\n")[0] or type(error).__name__
    return WordsightError(f"{path} can't be written: {reason}. {remedy}, then {again}.")


def shortened(names: Sequence[str], shown: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
