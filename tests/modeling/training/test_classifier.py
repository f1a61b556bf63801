"""CoMC's classifier of sentence features, against a loop in numpy, and what its noise and its balance do."""

import numpy as np
import pytest
import torch

from wordsight.modeling.training.classifier import draw_chances, train_classifier
from wordsight.modeling.training.labeled_features import LabeledFeatures
from wordsight.utils.errors import InvalidInputError


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


@pytest.fixture
def sentences():
    """Sentences near the sum of what they mention."""
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 6)) < 0.3).astype(np.int8)
    labels[np.arange(300), rng.integers(6, size=300)] = 1
    features = unit(labels @ unit(rng.normal(size=(6, 16))) + 0.3 * rng.normal(size=(300, 16)))
    return LabeledFeatures(torch.from_numpy(features).float(), labels)


def test_the_first_step_goes_where_the_formula_says(sentences):
    """Adam's first step is the gradient's sign: from W = 0, minus the sum over violated pairs of x_n - x_p."""
    weight = train_classifier(sentences, noise=0.0, steps=1, seed=3).double().numpy()
    generator = torch.Generator().manual_seed(3)
    rows = torch.multinomial(draw_chances(sentences.labels), 512, replacement=True, generator=generator).numpy()
    gradient = np.zeros((6, 16))
    for row in rows:  # every pair is violated by the margin
        x, y = sentences.features[row].double().numpy(), sentences.labels[row]
        for p in np.flatnonzero(y == 1):
            for n in np.flatnonzero(y == 0):
                gradient[p] -= x
                gradient[n] += x
    np.testing.assert_array_equal(np.sign(weight), -np.sign(gradient))
    np.testing.assert_allclose(np.abs(weight), 0.25, atol=1e-3)  # 16 coordinates of the same size


def test_it_tells_sentences_apart_and_a_seed_decides_all(sentences):
    weight = train_classifier(sentences, noise=0.5, steps=200)
    scores = (sentences.features @ weight.T).numpy()
    present = sentences.labels == 1
    assert np.mean([(scores[present[:, k], k][:, None] > scores[~present[:, k], k]).mean() for k in range(6)]) > 0.9
    np.testing.assert_allclose(np.linalg.norm(weight, axis=1), 1, atol=1e-5)
    assert torch.equal(weight, train_classifier(sentences, noise=0.5, steps=200))
    assert not torch.equal(weight, train_classifier(sentences, noise=0.5, steps=200, seed=1))


def test_each_number_of_labels_is_drawn_as_often():
    labels = np.array([[1, 0, 0, 0, 0, 0, 0]] * 8 + [[1, 1, 0, 0, 0, 0, 0]] * 2 + [[1] * 6 + [0], [0] * 7])
    chances = draw_chances(labels).numpy()
    assert chances[:8].sum() == pytest.approx(chances[8:10].sum())
    assert len(set(chances[:8])) == 1
    assert chances[10:].sum() == 0
    with pytest.raises(InvalidInputError, match="No sentence mentions 1 to 5 categories"):
        draw_chances(labels[10:])
