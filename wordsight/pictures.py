"""Figures that need no display."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_figure(width: float, height: float) -> Figure:
    """An empty figure, width and height in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("Pictures need matplotlib. Run `pip install 'wordsight[demo]'`.") from error
    return Figure(figsize=(width, height), layout="constrained")
