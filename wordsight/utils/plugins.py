"""What lower packages call of higher ones, by name: entry points of the group "wordsight" (see pyproject.toml).

Models and trainers push and write cards, but `modeling` does not import the packages that do it. The code that goes
with a pushed model does without them: where wordsight is not installed, there is no entry point.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import distributions
from typing import Any

GROUP = "wordsight"


def load_plugin(name: str) -> Callable[..., Any] | None:
    """The function that an entry point of wordsight's names; None where wordsight is not installed.

    Args:
        name: "fetch_side_files", "push_model", "write_card" or "write_code".

    Example:
        >>> load_plugin("write_card").__name__
        'write_card_and_pictures'
    """
    # Not `entry_points()`, which stops at the first: a clone may hold an older version's wordsight.egg-info.
    for distribution in distributions(name="wordsight"):
        for found in distribution.entry_points.select(group=GROUP, name=name):
            plugin: Callable[..., Any] = found.load()
            return plugin
    return None
