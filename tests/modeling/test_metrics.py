"""Metrics against other libraries and against examples worked by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.classification import MultilabelAveragePrecision

from wordsight.modeling.metrics import (
    _resampled_average_precision,
    average_precisions,
    bootstrap_interval,
    f1_scores,
    mean_average_precision,
    top_k,
)


def test_average_precision_by_hand_with_ties():
    """Ranks: one positive first; then a tie of a positive and a negative; then a negative and the last positive.

    Thresholds 0.9, 0.5, 0.4, 0.1: recall 1/3, 2/3, 2/3, 1; precision 1, 2/3, 1/2, 3/5.
    AP = 1/3 * 1 + 1/3 * 2/3 + 0 + 1/3 * 3/5 = 34/45.
    """
    scores = np.array([[0.9], [0.5], [0.5], [0.4], [0.1]])
    labels = np.array([[1], [0], [1], [0], [1]])
    assert average_precisions(scores, labels)[0] == pytest.approx(34 / 45)


def test_average_precision_against_scikit_learn_and_torchmetrics():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((200, 7)).round(2), (rng.random((200, 7)) < 0.2).astype(int)
    ours = average_precisions(scores, labels)
    theirs = [average_precision_score(labels[:, k], scores[:, k]) for k in range(7)]
    metric = MultilabelAveragePrecision(num_labels=7, average="none")
    np.testing.assert_allclose(ours, theirs)
    np.testing.assert_allclose(ours, metric(torch.tensor(scores), torch.tensor(labels)).numpy(), rtol=1e-5)
    assert mean_average_precision(scores, labels) == pytest.approx(np.mean(theirs))


def test_photos_that_do_not_count_are_left_out():
    scores = np.array([[0.9], [0.8], [0.3]])
    assert average_precisions(scores, np.array([[-1], [1], [0]]))[0] == 1
    assert average_precisions(scores, np.array([[0], [1], [0]]))[0] == 0.5


def test_categories_without_enough_positives_are_left_out():
    scores = np.array([[0.9, 0.1], [0.1, 0.2], [0.2, 0.3]])
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    assert np.isnan(average_precisions(scores, labels)[1])
    assert mean_average_precision(scores, labels) == 1
    assert np.isnan(mean_average_precision(scores, labels, min_positives=3))
    assert np.isnan(mean_average_precision(scores, np.zeros((3, 2), dtype=int)))


def test_f1_by_hand():
    """Two categories: found 1 of 2 with 1 wrong (P 1/2, R 1/2); found 1 of 1 (P 1, R 1). A third has no positive."""
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, -1, 0]])
    decisions = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=bool)
    found = f1_scores(decisions, labels)
    assert (found.cp, found.cr, found.cf1) == pytest.approx((0.75, 0.75, 0.75))
    assert (found.op, found.or_, found.of1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_top_k_takes_the_first_of_equals():
    assert top_k(np.array([[0.1, 0.5, 0.5, 0.5]]), 2).tolist() == [[False, True, True, False]]


def test_resampled_average_precision_against_scikit_learn():
    rng = np.random.default_rng(0)
    scores, labels = rng.random(40).round(1), (rng.random(40) < 0.3).astype(int)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=20)
    expected = [average_precision_score(labels, scores, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(_resampled_average_precision(scores, labels, weights), expected)


def test_bootstrap_interval_holds_the_value_and_narrows_with_more_photos():
    rng = np.random.default_rng(0)

    def interval(photos):
        labels = (rng.random((photos, 3)) < 0.3).astype(int)
        scores = labels + rng.normal(0, 1, labels.shape)
        low, high = bootstrap_interval(scores, labels)
        assert low < mean_average_precision(scores, labels) < high
        return high - low

    assert interval(1000) < 0.5 * interval(60)
