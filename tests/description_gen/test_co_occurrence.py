"""Weights of what is seen together, against numbers worked out by hand."""

import numpy as np
import pytest

from wordsight.description_gen.co_occurrence import answered_weights, likelihood_weights, ranked

NAMES = ["cat", "dog", "cup"]


def test_answers_weigh_by_rank_and_by_how_often_they_come():
    weights = answered_weights(NAMES, {"cat": [["dog", "cup"], ["dog"]], "dog": [["cat"], []], "cup": [[], []]})
    # cat: dog first twice; cup second of two once: 1 - 1/4, in one of two rounds.
    assert weights == pytest.approx(np.array([[0, 1, 0.375], [0.5, 0, 0], [0, 0, 0]]))


def test_answers_that_are_no_other_category_do_not_count():
    weights = answered_weights(NAMES, {"cat": [["cat", "rocket", "dog"]]})
    assert weights == pytest.approx(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))


def test_likelihood_is_standardized_in_each_row():
    pairs = np.array([[0.0, -1.0, -3.0], [-2.0, 0.0, -8.0], [-4.0, -4.0, 0.0]])
    # Of two numbers the larger is one standard deviation above their mean, of two that weigh 1.
    expected = np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])
    assert likelihood_weights(pairs) == pytest.approx(expected)
    assert likelihood_weights(pairs + np.array([[5.0], [0.0], [-2.0]])) == pytest.approx(expected)


def test_what_is_far_likelier_than_the_rest_weighs_one():
    pairs = np.full((9, 9), -5.0)
    pairs[0, 3] = -1.0
    assert likelihood_weights(pairs)[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_ranked():
    weights = np.array([[0, 0.2, 0.5], [0, 0, 0], [0.1, 0, 0]])
    assert ranked(NAMES, weights) == {"cat": {"cup": 0.5, "dog": 0.2}, "dog": {}, "cup": {"cat": 0.1}}
    assert list(ranked(NAMES, weights)["cat"]) == ["cup", "dog"]
