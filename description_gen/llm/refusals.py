"""Answers that say that the model won't answer, or think aloud about how to."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import yaml

from ..tokens import UNSPACED

APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07\u00b4`", "'"))
# What a model that reasons begins with where nothing marks its thoughts; no caption begins so.
_VERBS = "write|create|make|generate|craft|produce|provide|think|describe|come up|mention|include|output|answer|respond"
THINKING_ALOUD = re.compile(
    r"\W*(?:(?:okay|ok|alright|all right|hmm|hm|well|so|first|now)\b[\s,.:]*)*(?:"
    r"the (?:user|prompt|question|instruction)s? (?:\w+ )?"
    r"(?:wants?|asks?|asked|is asking|says?|said|provided|gave|needs?)\b"
    r"|let me (?:think|see|start|try|consider|write|create|make|craft)\b"
    r"|let's (?:think|see|start|craft|write|create)\b"
    rf"|(?:i|we) (?:need|have|want|should|must|will|am going|are going)(?: to)? (?:{_VERBS})\b"
    r"|好的，用户|嗯，用户|首先，我需要|用户(?:要求|希望|想要|让我|需要))",
    re.IGNORECASE,
)


def is_refusal(sentence: str) -> bool:
    """Whether a sentence says, in one of several languages, that the model won't write a caption."""
    return _refusals().search(sentence.translate(APOSTROPHES).casefold()) is not None


def is_thinking_aloud(sentence: str) -> bool:
    """Whether a sentence is of a model's reasoning about its task, not of its answer.

    Example:
        >>> is_thinking_aloud("Okay, the user wants a caption with a cat.")
        True
        >>> is_thinking_aloud("The user of the computer is a cat.")
        False
    """
    return THINKING_ALOUD.match(sentence.translate(APOSTROPHES)) is not None


@cache
def _refusals() -> re.Pattern[str]:
    phrases = yaml.safe_load((files(__package__) / "refusals.yaml").read_text(encoding="utf-8"))
    found = [re.escape(phrase.casefold()) for group in phrases.values() for phrase in group]
    # Words as a whole, but for scripts without spaces, where words are not apart.
    return re.compile("|".join(phrase if UNSPACED.search(phrase) else rf"\b{phrase}\b" for phrase in found))
