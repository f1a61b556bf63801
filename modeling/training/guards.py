"""Keeps libraries' errors to what a user can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from traceback import walk_tb

from wordsight.utils.errors import WordsightError


@contextlib.contextmanager
def tracker_errors(names: Iterable[str]) -> Iterator[None]:
    """Makes one line of what a tracker raises; each has errors of its own, known by the package they come from."""
    try:
        yield
    except Exception as error:
        passed = {frame.f_globals["__name__"].partition(".")[0] for frame, _ in walk_tb(error.__traceback__)}
        name = next((name for name in names if name in passed), None)
        if name is None:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WordsightError(
            f"{name} can't be started: {reason} Set it up (for wandb: `wandb login`, or WANDB_MODE=offline), or "
            "omit it from report_to."
        ) from error
