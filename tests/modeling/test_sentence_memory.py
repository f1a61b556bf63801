"""Photos' features told in sentences, against numpy."""

import numpy as np
import pytest
import torch

from wordsight.modeling.scoring import local_logits
from wordsight.modeling.sentence_memory import attend, pull


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return unit(rng.normal(size=(3, 5, 8))), unit(rng.normal(size=(7, 8)))


def test_attend_and_pull_by_the_formulas(vectors):
    """unit(softmax(100 f T^t) T), one patch after the other; 0.7 f + 0.3 of it, as long as it comes out."""
    patches, memory = vectors
    expected = np.empty_like(patches)
    for place in np.ndindex(patches.shape[:2]):
        weights = np.exp(100 * memory @ patches[place])
        expected[place] = unit(weights / weights.sum() @ memory)
    given = torch.from_numpy(patches), torch.from_numpy(memory)
    np.testing.assert_allclose(attend(*given), expected, atol=1e-12)
    np.testing.assert_allclose(pull(*given, 0.3), 0.7 * patches + 0.3 * expected, atol=1e-12)
    np.testing.assert_allclose(pull(*given, 0.0), patches, atol=1e-12)


def test_a_cold_attention_takes_the_nearest_sentence_and_a_warm_one_the_mean(vectors):
    patches, memory = vectors
    cold, warm = (attend(torch.from_numpy(patches), torch.from_numpy(memory), t).numpy() for t in (1e-6, 1e6))
    np.testing.assert_allclose(cold, memory[(patches @ memory.T).argmax(-1)], atol=1e-9)
    np.testing.assert_allclose(warm, np.broadcast_to(unit(memory.mean(0)), warm.shape), atol=1e-5)


def test_a_temperature_of_0_takes_the_best_patch(vectors):
    patches, memory = vectors
    found = local_logits(torch.from_numpy(patches), torch.from_numpy(memory), 4, 0)
    np.testing.assert_allclose(found, 4 * (patches @ memory.T).max(axis=1), atol=1e-12)
    mask = torch.tensor([[True] * 2 + [False] * 3] * 3)
    masked = local_logits(torch.from_numpy(patches), torch.from_numpy(memory), 4, 0, mask)
    np.testing.assert_allclose(masked, 4 * (patches[:, :2] @ memory.T).max(axis=1), atol=1e-12)
