"""Which sentences are dropped: the worst of each kind, whatever is asked later."""

import numpy as np

from wordsight.description_gen.self_check import BLOCK, doubtful


def test_the_worst_of_each_kind_go():
    rng = np.random.default_rng(0)
    kinds = ["single", "multiple"] * BLOCK
    scores = {number: float(rng.normal() - 5 * (kinds[number] == "multiple")) for number in range(len(kinds))}
    dropped = doubtful(kinds, scores, 0.25)
    for start in range(0, len(kinds), BLOCK):
        for kind in ("single", "multiple"):
            alike = [number for number in range(start, start + BLOCK) if kinds[number] == kind]
            worst = sorted(alike, key=scores.get)[: round(0.25 * len(alike))]
            assert dropped & set(alike) == set(worst)


def test_what_is_asked_later_changes_nothing_before():
    kinds = ["single"] * (3 * BLOCK)
    scores = {number: float(-((7 * number) % 31)) for number in range(len(kinds)) if number % 3}
    few = doubtful(kinds[: 2 * BLOCK], {n: s for n, s in scores.items() if n < 2 * BLOCK}, 0.1)
    assert few and few == {number for number in doubtful(kinds, scores, 0.1) if number < 2 * BLOCK}


def test_nothing_to_drop():
    assert doubtful(["single"] * 40, {}, 0.5) == set()
    assert doubtful(["single"] * 40, {0: -1.0, 1: -2.0}, 0.0) == set()
