"""Errors a user can act on: one line that names what was given and what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class WordsightError(Exception):
    """Base of wordsight's own errors. The command line prints its message as one line and exits with status 1."""


class InvalidInputError(WordsightError, ValueError):
    """Something the user gave (a file, a category, an option, a checkpoint) can't be used as it is."""


class MissingDependencyError(WordsightError, ImportError):
    """An optional package or its files are not installed; the message holds the command that installs them."""


@contextmanager
def writing(path: Path, again: str) -> Iterator[None]:
    """Makes one line of what goes wrong while something is written.

    Args:
        path: what is written.
        again: what to do once there is room, as the end of a sentence.

    Raises:
        WordsightError: the disk is full, or the file can't be written.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise write_error(path, error, again) from error
    except Exception as error:
        # safetensors has an error of its own, which is no OSError.
        if type(error).__name__ != "SafetensorError":
            raise
        raise write_error(path, error, again) from error


def write_error(path: Path, error: Exception, again: str) -> WordsightError:
    """The error that says of `path` that it can't be written, why, and what to do."""
    full = getattr(error, "errno", errno.ENOSPC) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    remedy = "Make room" if full else "See that the folder can be written"
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return WordsightError(f"{path} can't be written: {reason}. {remedy}, then {again}.")


def shortened(names: Sequence[str], shown: int = 5) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
