"""Which sentences a language model itself finds least likely, given what it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DROP_SHARE, MAX_DROP_SHARE = 0.1, 0.9
BLOCK = 40  # requests compared with each other: what is dropped does not depend on how many more there are

NO_SELF_CHECK = (
    "The server gives no log-probabilities of answers: no sentence is dropped for being unlikely given what was asked."
)


def whole_blocks(requests: int) -> int:
    """The least number of requests, in whole blocks, that is not below this one."""
    return -(-requests // BLOCK) * BLOCK


def doubtful(kinds: Sequence[str], scores: Mapping[int, float], share: float) -> set[int]:
    """The numbers of the requests whose sentences score worst, of each kind in each block of requests.

    Args:
        kinds: the kind of each request, in the order of the plan.
        scores: number of a request -> score of its sentence; those without a usable sentence have none.
        share: how many to drop.

    Example:
        >>> doubtful(["single"] * 4, {0: -1.0, 1: -3.5, 2: -0.5, 3: -2.0}, share=0.25)
        {1}
    """
    dropped: set[int] = set()
    for start in range(0, len(kinds), BLOCK):
        block = [number for number in range(start, min(start + BLOCK, len(kinds))) if number in scores]
        for kind in sorted({kinds[number] for number in block}):
            alike = sorted((number for number in block if kinds[number] == kind), key=lambda number: scores[number])
            dropped.update(alike[: round(share * len(alike))])
    return dropped
