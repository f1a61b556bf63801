"""Logits and loss against numpy, written from the formulas of TaI-DPT (arXiv 2211.12739)."""

import numpy as np
import pytest
import torch

from wordsight.modeling.scoring import global_logits, local_logits, position_logits, ranking_loss, token_logits

TAU, BETA, MARGIN = 4.0, 1 / 50, 1.0


def unit(rng, *shape):
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    tokens, mask = unit(rng, 5, 7, 16), np.ones((5, 7), dtype=bool)
    mask[1, 4:] = mask[3, 1:] = False
    labels = (rng.random((5, 6)) < 0.4).astype(np.int8)
    labels[2] = 0
    return unit(rng, 5, 16), tokens, mask, unit(rng, 6, 16), labels


def test_global_logits(case):
    features, _, _, categories, _ = case
    expected = np.array([[TAU * sum(g * c) for c in categories] for g in features])
    actual = global_logits(torch.tensor(features), torch.tensor(categories), TAU)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-10)


def test_local_logits_with_padding(case):
    _, tokens, mask, categories, _ = case
    expected = np.zeros((5, 6))
    for n in range(5):
        for k in range(6):
            cosines = np.array([t @ categories[k] for t, real in zip(tokens[n], mask[n], strict=True) if real])
            weights = np.exp(cosines / BETA)
            expected[n, k] = TAU * (weights / weights.sum() * cosines).sum()
    actual = local_logits(torch.tensor(tokens), torch.tensor(categories), TAU, BETA, torch.tensor(mask))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-8)
    flat = torch.tensor(tokens[mask]), torch.tensor(mask.sum(axis=1))
    np.testing.assert_allclose(token_logits(*flat, torch.tensor(categories), TAU, BETA).numpy(), expected, rtol=1e-8)


def test_local_logits_lie_between_mean_and_maximum_of_the_positions(case):
    _, tokens, _, categories, _ = case
    at_positions = position_logits(torch.tensor(tokens), torch.tensor(categories), TAU)
    actual = local_logits(torch.tensor(tokens), torch.tensor(categories), TAU, BETA)
    assert (actual <= at_positions.amax(dim=1) + 1e-9).all()
    assert (actual >= at_positions.mean(dim=1)).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ranking_loss(case, reduction):
    features, _, _, categories, labels = case
    scores = TAU * features @ categories.T
    total = 0.0
    for n in range(5):
        for p in np.flatnonzero(labels[n]):
            for q in np.flatnonzero(labels[n] == 0):
                total += max(0.0, MARGIN - scores[n, p] + scores[n, q])
    expected = total / 5 if reduction == "mean" else total
    actual = ranking_loss(torch.tensor(scores), torch.tensor(labels), MARGIN, reduction)
    assert actual.item() == pytest.approx(expected, rel=1e-10)
    assert expected > 0


def test_ranking_loss_of_no_text_is_zero_and_differentiable():
    scores = torch.zeros(0, 4, requires_grad=True)
    loss = ranking_loss(scores, torch.zeros(0, 4), MARGIN)
    loss.backward()
    assert loss.item() == 0
