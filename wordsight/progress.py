"""Progress bars: lively on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

LOG_INTERVAL = 10.0  # seconds between lines where nobody watches


def progress_bar(desc: str, total: int, unit: str, enabled: bool = True, initial: int = 0) -> tqdm[Any]:
    """A tqdm bar on standard error, with rate and remaining time.

    Args:
        desc: what is under way.
        total: number of units.
        unit: what is counted.
        enabled: False shows nothing.
        initial: units that are done already.
    """
    interval = 0.1 if sys.stderr.isatty() else LOG_INTERVAL
    return tqdm(
        desc=desc,
        total=total,
        unit=unit,
        initial=initial,
        disable=not enabled,
        mininterval=interval,
        dynamic_ncols=True,
    )


@contextmanager
def no_datasets_bars() -> Iterator[None]:
    """Hides the bars of `datasets`, where they would show a second's work."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()
