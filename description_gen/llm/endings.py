"""How likely a text goes on in each of several ways, from the probabilities of single tokens.

A server scores whole texts one after another, all their tokens against the whole vocabulary. Endings of one start share
most of that: where they part, one request gives the probabilities of all the tokens that follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Tokens = tuple[int, ...]
MOST_TOKENS = 128  # that vLLM scores in one request


def branches(endings: Sequence[Tokens]) -> dict[Tokens, list[int]]:
    """The tokens that follow each beginning of the endings, in any of them; the empty beginning comes first.

    Args:
        endings: each as its tokens.

    Example:
        >>> branches([(1, 2), (1, 3), (4,)])
        {(): [1, 4], (1,): [2, 3]}
    """
    found: dict[Tokens, dict[int, None]] = {}
    for ending in endings:
        for size, token in enumerate(ending):
            found.setdefault(ending[:size], {})[token] = None
    return {beginning: list(tokens) for beginning, tokens in found.items()}


def total(ending: Tokens, following: Mapping[Tokens, Mapping[int, float]]) -> float:
    """The log-probability of an ending: the sum of its tokens', each after those before it.

    Args:
        ending: its tokens.
        following: beginning -> token that follows it -> log-probability.
    """
    return sum(following[ending[:size]][token] for size, token in enumerate(ending))
