"""What score standardizations need to know beforehand: compounds from sentences, statistics and directions from photos.

Apart from applying them (`score_standardizations.py`), which is all that labeling photos takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import needs

from .standardization import ScoreStatistics, sorted_features, standardize_categories, standardize_images

with needs("train"):
    from sklearn.decomposition import PCA

COMPOUNDS_PER_CATEGORY = 4
MAX_COMPOUND_SIZE = 3


def fit_fusion_weights(scores: Tensor, compound_scores: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
    """First principal direction of each category's sorted compound scores and own score, over photos (section 2.3).

    The direction's sign makes the mean weight positive, its absolute weights sum to 1.

    Args:
        scores: (N, K), standardized; N at least 2.
        compound_scores: (N, P), standardized.
        members: for each of the K categories, the numbers of its compounds.

    Returns:
        (K, C + 1), with C the largest number of compounds of a category.
    """
    longest = max(map(len, members), default=0)
    weights = torch.zeros(scores.shape[1], longest + 1)
    for k, compounds in enumerate(members):
        if compounds:
            features = sorted_features(scores[:, k], compound_scores[:, list(compounds)])
            with np.errstate(invalid="ignore"):  # scores that never differ have no variance to explain
                direction = PCA(n_components=1).fit(features.double().numpy()).components_[0]
            direction = direction * (np.sign(direction.mean()) or 1.0) / np.abs(direction).sum()
            weights[k, -len(direction) :] = torch.from_numpy(direction)
        else:
            weights[k, -1] = 1.0
    return weights


def fit_statistics(scores: Tensor, compound_scores: Tensor, members: Sequence[Sequence[int]]) -> ScoreStatistics:
    """All statistics of N photos' logits (N, K) and compound logits (N, P), photos in memory."""
    compounds = standardize_images(compound_scores, scores)
    scores = standardize_images(scores)
    moments = (scores.mean(dim=0), scores.std(dim=0), compounds.mean(dim=0), compounds.std(dim=0))
    weights = fit_fusion_weights(
        standardize_categories(scores, *moments[:2]), standardize_categories(compounds, *moments[2:]), members
    )
    return ScoreStatistics(*moments, weights)


def choose_compounds(labels: NDArray[np.integer]) -> list[list[int]]:
    """The sets of 2 or 3 categories that sentences mention together most often, about 4 for each category.

    Args:
        labels: (N, K) multi-hot labels of the sentences.

    Returns:
        P sets of category numbers; rarer sets come in only where a category would have too few.
    """
    sets = Counter(tuple(np.flatnonzero(row).tolist()) for row in labels if 2 <= int(row.sum()) <= MAX_COMPOUND_SIZE)
    used: Counter[int] = Counter()
    chosen = []
    for members, _ in sets.most_common():
        if any(used[k] < COMPOUNDS_PER_CATEGORY for k in members):
            chosen.append(list(members))
            used.update(members)
    return chosen
