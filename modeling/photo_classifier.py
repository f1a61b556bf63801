"""A classifier of photos that unlabeled photos give: Gaussian discriminant analysis on confidently scored ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import needs

with needs("train"):
    from sklearn.covariance import OAS

# Confident photos of a category: at most, and at least, so many.
MOST_CONFIDENT = 20
FEWEST_CONFIDENT = 5


class PhotoClassifier(NamedTuple):
    """A linear function of photos' features for each category, at the level of the category's own scores.

    Attributes:
        weight: (K, D).
        bias: (K,).
        fitted: (K,) 1 where there is one; other categories keep their own scores.
    """

    weight: Tensor
    bias: Tensor
    fitted: Tensor


def fit_photo_classifier(features: Tensor, scores: Tensor, found: NDArray[np.integer]) -> PhotoClassifier:
    """Fits one Gaussian for each category to its confident photos and one to all, with a shared covariance S.

    d_k(f) = <S^-1 (m_k - m), f>,   score_k(f) = mean z_k + (d_k(f) - mean d_k) / std d_k * std z_k

    with m_k the mean feature of the confident photos, m that of all, and means and deviations over all photos: a
    linear discriminant whose scores have the level and spread of the category's own scores z_k. After PIAA (arXiv
    2605.25821), which fits patches of least entropy, one category each, and subtracts no common mean; here it is whole
    photos, that can show several, against all photos. S is that of all photos, shrunk as Chen et al. 2010 ("OAS").

    Args:
        features: (N, D), unit vectors of N unlabeled photos.
        scores: (N, K), their scores.
        found: (K,), on how many photos each category is found: so many, but at most 20, with the highest scores are its
            confident ones. A category of fewer than 5 keeps its own scores.
    """
    mean = features.mean(dim=0)
    precision = torch.from_numpy(OAS(assume_centered=True).fit((features - mean).double().numpy()).precision_)
    weight, bias = torch.zeros(scores.shape[1], features.shape[1]), torch.zeros(scores.shape[1])
    fitted = torch.zeros(scores.shape[1])
    for k, (score, count) in enumerate(zip(scores.T, found, strict=True)):
        if count < FEWEST_CONFIDENT:
            continue
        confident = score.argsort(descending=True, stable=True)[: min(count, MOST_CONFIDENT)]
        direction = (precision @ (features[confident].mean(dim=0) - mean).double()).float()
        spread = (features @ direction).std()
        if spread > 0:
            fitted[k] = 1
            weight[k] = direction * (score.std() / spread)
            bias[k] = score.mean() - mean @ weight[k]
    return PhotoClassifier(weight, bias, fitted)
