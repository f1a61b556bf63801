"""Score standardization without labels: over categories, over photos, and compound-prompt fusion.

All three are SPARC's (arXiv 2502.16911, sections 2.1 to 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

ScoreStandardization = Literal["none", "images", "categories", "sparc"]
SCORE_STANDARDIZATIONS: tuple[ScoreStandardization, ...] = get_args(ScoreStandardization)
# From so many categories on, new models of contrastive encoders standardize each photo's scores. Of K scores, level and
# spread are taken away: of 2, only which is higher is left. One category alone stands (K - 1) / sqrt(K) above the mean,
# and the highest of K normally distributed scores of a photo that shows nothing 1.2 (K = 5), 1.5 (10) or 1.9 (20): from
# 10 on, these are more than a standard deviation apart.
FEWEST_CATEGORIES = 10
EPSILON = 1e-6  # of a standard deviation: scores that never differ stay 0


@dataclass(frozen=True)
class ScoreStatistics:
    """What unlabeled photos say of a model's scores.

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
        scores: (N, K), standardized.
        compound_scores: (N, P), standardized.
        members: for each of the K categories, the numbers of its compounds; a category without any keeps its score.
        weights: (K, C + 1), see `ScoreStatistics`.
    """
    fused = scores.clone()
    for k, compounds in enumerate(members):
        if compounds:
            features = sorted_features(scores[:, k], compound_scores[:, list(compounds)])
            fused[:, k] = 0.5 * features @ weights[k, -features.shape[1] :].to(features) + 0.5 * scores[:, k]
    return fused


def sorted_features(score: Tensor, compounds: Tensor) -> Tensor:
    """A category's scores (N,) behind its compounds' (N, C), which are sorted: (N, C + 1)."""
    return torch.cat([compounds.sort(dim=1).values, score.unsqueeze(1)], dim=1)


def standardize_scores(
    option: ScoreStandardization,
    scores: Tensor,
    compound_scores: Tensor,
    members: Sequence[Sequence[int]],
    statistics: ScoreStatistics | None,
) -> Tensor:
    """Logits (N, K) under a score standardization.

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
