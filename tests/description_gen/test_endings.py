"""Endings scored token by token get what whole texts get, up to a constant of the start."""

import asyncio
import math
from itertools import pairwise

import numpy as np
import pytest

from wordsight.description_gen.llm.asker import Asker
from wordsight.description_gen.llm.endings import branches, total

ENDINGS = [" a kitten", " a kit", " a dog", " an owl", " owls"]


class Letters(Asker):
    """A model of letters: a letter's probability falls with its distance from the one before."""

    base_url, concurrency = "letters", 4

    def __init__(self, merged="", follows=True):
        super().__init__()
        self.merged, self.follows, self.whole, self.asked = merged, follows, [], []

    async def _tokens(self, text):
        # As tokenizers do with frequent neighbors, whatever they belong to.
        parts = text.split(self.merged) if self.merged else [text]
        return tuple(code for part in parts for code in (*map(ord, part), 1000))[:-1]

    async def _following(self, before, tokens):
        self.asked.append((before, tuple(tokens)))
        return {token: self.score(before[-1], token) for token in tokens} if self.follows else None

    async def log_probability(self, text):
        self.whole.append(text)
        tokens = [ord(letter) for letter in text]
        return sum(self.score(*pair) for pair in pairwise(tokens))

    @staticmethod
    def score(one, other):
        return -math.log(1 + abs(one - other)) - 0.1

    async def close(self):
        pass

    async def model(self):
        return "letters"

    async def _answer(self, *args):
        raise NotImplementedError


def test_branches():
    assert branches([]) == {}
    assert branches([(1, 2), (1, 3), (4,), (1, 2, 5)]) == {(): [1, 4], (1,): [2, 3], (1, 2): [5]}
    assert total((1, 2, 5), {(): {1: -1.0, 4: -9.0}, (1,): {2: -2.0}, (1, 2): {5: -0.5}}) == -3.5


def test_they_score_as_whole_texts_do():
    letters = Letters()
    found = asyncio.run(letters.ending_scores("I see", ENDINGS))
    assert not letters.whole
    wholes = [asyncio.run(letters.log_probability("I see" + ending)) for ending in ENDINGS]
    before = asyncio.run(letters.log_probability("I see"))
    assert found == pytest.approx(np.array(wholes) - before)
    beginnings = [before for before, _ in letters.asked]
    assert len(beginnings) == len(set(beginnings)) < sum(map(len, ENDINGS)), "what is shared is asked once"


@pytest.mark.parametrize("letters", [Letters(merged="e a"), Letters(follows=False)], ids=["merged", "no scores"])
def test_whole_texts_are_scored_where_tokens_can_not_be(letters):
    found = asyncio.run(letters.ending_scores("I see", ENDINGS))
    assert sorted(letters.whole) == sorted("I see" + ending for ending in ENDINGS)
    assert found == [asyncio.run(letters.log_probability("I see" + ending)) for ending in ENDINGS]


def test_no_request_has_more_tokens_than_vllm_scores_at_once():
    letters, endings = Letters(), [" " + chr(code) for code in range(0x4E00, 0x4E00 + 300)]
    found = asyncio.run(letters.ending_scores("I see", endings))
    before = asyncio.run(letters.log_probability("I see"))
    assert found == pytest.approx([asyncio.run(letters.log_probability("I see" + end)) - before for end in endings])
    assert sorted(len(tokens) for _, tokens in letters.asked) == [1, 44, 128, 128]
