"""Score options that need no label: standardisation over categories and over photos, and compound-prompt fusion.

All three are SPARC's (arXiv 2502.16911, sections 2.1 to 2.3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

ScoreOption = Literal["none", "images", "categories", "sparc"]
SCORE_OPTIONS: tuple[ScoreOption, ...] = get_args(ScoreOption)
COMPOUNDS_PER_CATEGORY = 4
MAX_COMPOUND_SIZE = 3
EPSILON = 1e-6  # of a standard deviation: scores that never differ stay 0


@dataclass(frozen=True)
class ScoreStatistics:
    """What unlabelled photos say of a model's scores.

    Attributes:
        mean: (K,), of each category's score over photos.
        std: (K,), its standard deviation.
        compound_mean: (P,), of each compound prompt's score.
        compound_std: (P,), its standard deviation.
        fusion_weights: (K, C + 1), of a category's compound scores in ascending order and of its own score; rows are
            filled up with zeros before the last.
    """

    mean: Tensor
    std: Tensor
    compound_mean: Tensor
    compound_std: Tensor
    fusion_weights: Tensor


def standardize_images(scores: Tensor, reference: Tensor | None = None) -> Tensor:
    """Takes a photo's own level and spread out of its scores: (z - mean_k z) / std_k z (SPARC, section 2.2).

    Args:
        scores: (N, K), or (N, P) scores of compound prompts.
        reference: (N, K), the scores whose mean and standard deviation are taken; the scores themselves by default.
    """
    reference = scores if reference is None else reference
    return (scores - reference.mean(dim=1, keepdim=True)) / reference.std(dim=1, keepdim=True).clamp(min=EPSILON)


def standardize_categories(scores: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Takes a prompt's own level and spread over photos out of its scores (SPARC, section 2.2): (N, K) -> (N, K)."""
    return (scores - mean) / std.clamp(min=EPSILON)


def fuse_compounds(
    scores: Tensor, compound_scores: Tensor, members: Sequence[Sequence[int]], weights: Tensor
) -> Tensor:
    """Half a category's own score, half the projection of its sorted compound scores and own score (section 2.3).

    Sorting makes the "second-highest" score a feature of its own: the highest is often high for the company alone.

    Args:
        scores: (N, K), standardised.
        compound_scores: (N, P), standardised.
        members: for each of the K categories, the numbers of its compounds; a category without any keeps its score.
        weights: (K, C + 1), see `ScoreStatistics`.
    """
    fused = scores.clone()
    for k, compounds in enumerate(members):
        if compounds:
            features = _sorted_features(scores[:, k], compound_scores[:, list(compounds)])
            fused[:, k] = 0.5 * features @ weights[k, -features.shape[1] :].to(features) + 0.5 * scores[:, k]
    return fused


def _sorted_features(score: Tensor, compounds: Tensor) -> Tensor:
    return torch.cat([compounds.sort(dim=1).values, score.unsqueeze(1)], dim=1)


def fit_fusion_weights(scores: Tensor, compound_scores: Tensor, members: Sequence[Sequence[int]]) -> Tensor:
    """First principal direction of each category's sorted compound scores and own score, over photos (section 2.3).

    The direction's sign makes the mean weight positive, its absolute weights sum to 1.

    Args:
        scores: (N, K), standardised; N at least 2.
        compound_scores: (N, P), standardised.
        members: for each of the K categories, the numbers of its compounds.

    Returns:
        (K, C + 1), with C the largest number of compounds of a category.
    """
    longest = max(map(len, members), default=0)
    weights = torch.zeros(scores.shape[1], longest + 1)
    for k, compounds in enumerate(members):
        if compounds:
            features = _sorted_features(scores[:, k], compound_scores[:, list(compounds)])
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


def apply_score_option(
    option: ScoreOption,
    scores: Tensor,
    compound_scores: Tensor,
    members: Sequence[Sequence[int]],
    statistics: ScoreStatistics | None,
) -> Tensor:
    """Logits (N, K) under a score option.

    Args:
        option: which steps are taken, each with those before it.
        scores: (N, K) logits of both branches.
        compound_scores: (N, P) logits of the compound prompts; looked at for "sparc" only.
        members: for each of the K categories, the numbers of its compounds; looked at for "sparc" only.
        statistics: of photos; looked at for "categories" and "sparc".
    """
    if option == "none":
        return scores
    standardized = standardize_images(scores)
    if option == "images":
        return standardized
    assert statistics is not None
    standardized = standardize_categories(standardized, statistics.mean, statistics.std)
    if option == "categories":
        return standardized
    compounds = standardize_images(compound_scores, scores)
    compounds = standardize_categories(compounds, statistics.compound_mean, statistics.compound_std)
    return fuse_compounds(standardized, compounds, members, statistics.fusion_weights)


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


def compound_text(names: Sequence[str]) -> str:
    """The compound prompt of some categories: "a photo of a cat and a dog."."""
    return f"a photo of a {' and a '.join(names)}."
