"""Progress bars: lively on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
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
