"""The sentence in a model's answer, freed of what models put around one, or why there is none of use."""

from __future__ import annotations

import re

from .llm.refusals import is_refusal, is_thinking_aloud
from .tokens import UNSPACED

MAX_WORDS = 40
MIN_WORDS = 3
# Reasons that lie in the answer and not in the sentence: asked once more, the model may do better.
FAILURES = ("empty", "cut off", "refusal", "reasoning")
SENTENCE_END = re.compile(r"(?<=[.!?।؟])[\"'\u201d*_`]*\s|(?<=[。！？])[\"\u201d」]?(?=.)")
SENTENCE_ENDS = tuple(".!?।؟。！？")
MARKUP = "\"'\u201c\u201d\u201e\u2018`*_#> \t"
NUMBER = re.compile(r"(?:\(?\d{1,2}[.):、]|[-\u2022\u2013\u2014+·])\s+")
# "Sure!", "Here is a caption for your photo:", "Caption:", in front of the sentence or on lines of their own.
AGREEMENT = re.compile(
    r"(?:sure|certainly|of course|absolutely|definitely|okay|ok|yes|got it|no problem|gladly)\b"
    r"[^.!?:,]{0,30}[.!,:]+\s*"
    r"|great[^.!?:,]{0,30}[.!]\s+"
    r"|(?:好的|好|当然可以|当然|没问题|可以)[，,！!。：:]\s*",
    re.IGNORECASE,
)
LEAD_IN = re.compile(
    r"(?:here(?:'s|\u2019s| is| are| you (?:go|are))\b[^:：]{0,80}"
    r"|(?:(?:the|a|photo|image|my|short|possible|final) )*"
    r"(?:caption|answer|description|photo|image|sentence|output|response)"
    r"(?: \d{1,2}| for [^:：]{0,60})?(?: (?:is|could be|would be|reads)(?: as follows)?)?"
    r"|(?:以下是|这是|下面是)[^：:]{0,40}|说明|描述|答案|回答|标题|照片)\s*(?:\*\*)?\s*[:：]\s*",
    re.IGNORECASE,
)


def clean_sentence(answer: str, complete: bool) -> tuple[str, str | None]:
    r"""The first sentence of an answer, and why it is to be dropped.

    Args:
        answer: what the model said.
        complete: whether it ended by itself, not at the token limit.

    Returns:
        The sentence, and the reason: "empty", "cut off", "refusal", "reasoning", "too short" or "too long"; None if it
        is usable.

    Example:
        >>> clean_sentence('Sure! Here is a caption:\n\n1. **"A cat on a sofa."** It sleeps.', complete=True)
        ('A cat on a sofa.', None)
    """
    lines = [line for line in map(_bare, answer.strip().splitlines()) if line]
    if not lines:
        return "", "empty"
    parts = SENTENCE_END.split(lines[0])
    sentence = parts[0].strip().strip(MARKUP)
    whole = complete or len(parts) > 1 or len(lines) > 1 or sentence.endswith(SENTENCE_ENDS)
    # Scripts without spaces have words of about two characters.
    words = len(sentence.split()) + len(UNSPACED.findall(sentence)) // 2
    reasons = {
        "refusal": is_refusal(sentence),
        "reasoning": is_thinking_aloud(sentence),
        "cut off": not whole,
        "too short": words < MIN_WORDS,
        "too long": words > MAX_WORDS,
    }
    return sentence, next((reason for reason, holds in reasons.items() if holds), None)


def _bare(line: str) -> str:
    """A line without marks, numbers and what leads up to a sentence; empty where that is all."""
    while True:
        rest = line.strip().lstrip(MARKUP)
        for pattern in (NUMBER, AGREEMENT, LEAD_IN):
            if found := pattern.match(rest):
                rest = rest[found.end() :]
                break
        if rest == line:
            return "" if not line.strip(MARKUP + ":.-") else line
        line = rest


def fold(sentence: str) -> str:
    """A sentence without case, punctuation and extra white space: equal for duplicates."""
    return " ".join(re.findall(r"\w+", sentence.casefold()))
