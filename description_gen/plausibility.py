"""Which of a small model's answers about a category say something."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from .tokens import UNSPACED, tokens

# What models write where there is nothing to say.
NOTHING = re.compile(
    r"|n/?a|none|null|nil|nothing|unknown|empty|any|various|varie[sd]|other|medium|normal|average|(?:no|not|without|n/a)\b.*"
    r"|无|没有|未知|不详|任何|各种|其他|正常|普通|一般|中等|空"
)
FILLERS = frozenset(
    ["a", "an", "the", "and", "or", "of", "with", "in", "on", "at", "to", "for", "its", "it", "s", "by"]
)
FILLERS |= frozenset("的和与或在上下里中")
UNSPACED_STUTTER = re.compile(rf"((?:{UNSPACED.pattern}){{2,}})的?\1")
# Kinds with few values: those of the examples are true of many things.
FEW_VALUES = ("color", "size")


def usable_items(items: Iterable[str], names: Sequence[str], examples: Collection[str]) -> list[str]:
    """The phrases that say something of a category: each once, none its name alone, a stutter or an example's.

    Small models copy their examples; a large one rarely says just what an example says of another thing.

    Args:
        items: the phrases.
        names: the category's names.
        examples: the examples' phrases, in lower case.
    """
    found: dict[str, str] = {}
    for item in map(_tidy, items):
        folded = item.casefold()
        if says_something(item, names) and folded not in examples:
            found.setdefault(folded, item)
    return list(found.values())


def usable_values(values: dict[str, str], names: Sequence[str], examples: Collection[str]) -> dict[str, str]:
    """The values that say something of a category; one that is given for several kinds counts for the first.

    Args:
        values: kind of attribute -> value.
        names: the category's names.
        examples: the examples' values, in lower case.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for kind, value in values.items():
        value = _tidy(value)
        folded = value.casefold()
        copied = folded in examples and kind not in FEW_VALUES
        if folded in seen or copied or names_itself(value, names) or not says_something(value, (*names, kind)):
            continue
        seen.add(folded)
        found[kind] = value
    return found


def names_itself(phrase: str, names: Sequence[str]) -> bool:
    """Whether a phrase about a category names it: "a small clock" says little of a clock's parts."""
    text = phrase.casefold()
    if any(UNSPACED.search(name) and name.casefold() in text for name in names):
        return True
    return any(re.search(rf"\b{re.escape(name.casefold())}(?:e?s)?\b", text) for name in names)


def says_something(phrase: str, names: Sequence[str]) -> bool:
    """Whether a phrase has a word of its own, repeats none, and does not say that there is nothing to say."""
    words = [word for word in tokens(phrase) if word not in FILLERS]
    if NOTHING.fullmatch(phrase.casefold()) or not set(words) - {word for name in names for word in tokens(name)}:
        return False
    # Without spaces, words are not told apart: a character may come twice, but not "red red".
    spaced = [word for word in words if not UNSPACED.match(word)]
    return len(spaced) == len(set(spaced)) and not UNSPACED_STUTTER.search(phrase)


def _tidy(phrase: str) -> str:
    return " ".join(phrase.split()).strip(" .,;:\"'")
