"""Names in scripts that are written without spaces: found as they stand, the longest first."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .tokens import MARKS

HAN, HIRAGANA, KATAKANA = "\u3400-\u9fff\uf900-\ufaff", "\u3041-\u309f", "\u30a1-\u30fa\u30fc-\u30ff"
# Particles and endings behind which a word in hiragana can begin; behind other letters it is part of a longer one.
JAPANESE_ENDINGS = "\u306e\u3068\u3084\u304c\u306f\u3092\u306b\u3067\u3082\u3078\u3044\u306a\u305f\u308b"
THAI_VOWELS_BEFORE, THAI_VOWELS_AFTER = "\u0e40-\u0e44", "\u0e30-\u0e3a\u0e45"


class UnspacedNames:
    """Finds names in a text without spaces. What is part of a longer name or compound is not found for itself.

    Args:
        names: name, in lower case -> its number.
    """

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = dict(names)
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, longest_first))) if names else None

    def find(self, text: str) -> tuple[set[int], str]:
        """The numbers of the names in a text in lower case, and the text without them."""
        found: set[int] = set()
        if self._pattern is None:
            return found, text

        def note(match: re.Match[str]) -> str:
            found.add(self._names[match.group()])
            return " "

        rest = self._pattern.sub(note, text)
        return found, rest


def _bounded(name: str) -> str:
    """A name's pattern: words in katakana are whole runs of it, and a syllable's signs belong to its letter.

    "パン" (bread) is not in "フライパン" (frying pan), nor "กา" (crow) in "ก่า". Chinese characters have no bounds of
    their own: what they are part of must be a name, or stand in `compounds.yaml`.
    """
    before, after = "", rf"(?![{MARKS}{THAI_VOWELS_AFTER}])"
    if re.match(f"[{KATAKANA}]", name):
        before = f"(?<![{KATAKANA}])"
    elif re.match(f"[{HIRAGANA}]", name):
        before = f"(?<![{HAN}])(?<![{_other_hiragana()}])"
    elif re.match("[\u0e01-\u0e2e]", name):
        before = f"(?<![{THAI_VOWELS_BEFORE}])"
    if re.search(f"[{KATAKANA}]$", name):
        after += f"(?![{KATAKANA}])"
    return before + re.escape(name) + after


def _other_hiragana() -> str:
    return "".join(chr(c) for c in range(0x3041, 0x3097) if chr(c) not in JAPANESE_ENDINGS)
