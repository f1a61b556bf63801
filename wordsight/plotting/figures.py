"""Figures that need no display, and text on them in any script."""

from __future__ import annotations

import textwrap
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def make_figure(width: float, height: float) -> Figure:
    """An empty figure, width and height in inches.

    Characters that matplotlib's own font lacks are taken from the fonts of this machine, as far as one has them.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    except ImportError as error:
        raise MissingDependencyError("Pictures need matplotlib. Run `pip install 'wordsight[plot]'`.") from error

    class AnyScriptFigure(Figure):
        """A figure whose texts may be in any script."""

        def draw(self, renderer: Any) -> None:
            """Draws; a character that no font has becomes a box, without a warning for each."""
            for text in self.findobj(Text):
                if not text.get_text().isascii():
                    text.set_fontfamily(_families(frozenset(text.get_text())))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                super().draw(renderer)

    return AnyScriptFigure(figsize=(width, height), layout="constrained")


@lru_cache(maxsize=1000)
def _families(characters: frozenset[str]) -> list[str]:
    """The font that matplotlib brings and, for characters that it lacks, the installed ones that have some of them."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    own = "DejaVu Sans"
    families, lacking = [own], _lacking(FT2Font(findfont(own)), characters)
    for entry in fontManager.ttflist:
        if not lacking:
            break
        if entry.style != "normal" or entry.name in families:
            continue
        try:
            left = _lacking(FT2Font(entry.fname), lacking)
        except (OSError, RuntimeError):  # a font that is gone or damaged since matplotlib looked
            continue
        if len(left) < len(lacking):
            families.append(entry.name)
            lacking = left
    return families


def _lacking(font: Any, characters: frozenset[str]) -> frozenset[str]:
    return frozenset(c for c in characters if not c.isspace() and not font.get_char_index(ord(c)))


def fitted(name: str, width: int = 20, lines: int = 2) -> str:
    """A name for a figure: wrapped, cut where it is too long, and never taken for a formula."""
    return textwrap.fill(name, width, max_lines=lines, placeholder=" …").replace("$", r"\$")
