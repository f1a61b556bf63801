"""Figures that need no display, and text on them in any script."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOXES = "Last Resort"  # a font that matplotlib brings, of boxes for all characters


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
            """Draws; of characters that no font has, which become boxes, one warning says what to install."""
            missing: frozenset[str] = frozenset()
            for text in self.findobj(Text):
                if not text.get_text().isascii():
                    families, lacking = _families(frozenset(text.get_text()))
                    text.set_fontfamily([*families])
                    missing |= lacking
            if missing:
                _warn_of_missing(missing)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                super().draw(renderer)

    return AnyScriptFigure(figsize=(width, height), layout="constrained")


@lru_cache(maxsize=1000)
def _families(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The font that matplotlib brings and the installed ones that have what it lacks; and what none of them has."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    own = "DejaVu Sans"
    families, lacking = [own], _lacking(FT2Font(findfont(own)), characters)
    if lacking:
        _find_new_fonts()
    for entry in fontManager.ttflist:
        if not lacking:
            break
        if entry.style != "normal" or entry.name in families or entry.name.startswith(BOXES):
            continue
        try:
            left = _lacking(FT2Font(entry.fname), lacking)
        except (OSError, RuntimeError):  # a font that is gone or damaged since matplotlib looked
            continue
        if len(left) < len(lacking):
            families.append(entry.name)
            lacking = left
    return families, lacking


@cache
def _find_new_fonts() -> None:
    """Adds fonts that were installed since matplotlib wrote its list of fonts, which it keeps for good."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        with contextlib.suppress(OSError, RuntimeError):  # a damaged font
            fontManager.addfont(path)


@cache
def _warn_of_missing(characters: frozenset[str]) -> None:
    shown = "".join(sorted(characters)[:10])
    warnings.warn(
        f"No font on this machine has {shown}{' ...' if len(characters) > 10 else ''}: pictures show boxes for "
        f"{'it' if len(characters) == 1 else 'them'}. Install Noto fonts, such as Noto Sans CJK for Chinese, Japanese "
        "and Korean (Debian, Ubuntu: `apt install fonts-noto-cjk`, for other scripts `fonts-noto`).",
        stacklevel=2,
    )


def _lacking(font: Any, characters: frozenset[str]) -> frozenset[str]:
    return frozenset(c for c in characters if not c.isspace() and not font.get_char_index(ord(c)))


def fitted(name: str, width: int = 20, lines: int = 2) -> str:
    """A name for a figure: wrapped, cut where it is too long, and never taken for a formula."""
    return textwrap.fill(name, width, max_lines=lines, placeholder=" …").replace("$", r"\$")
