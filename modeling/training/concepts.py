"""Class concepts: a category told by the mean feature of the sentences that mention it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .labeled_features import LabeledFeatures


def class_concepts(sentences: LabeledFeatures, *, centered: bool = False, missing: Tensor | None = None) -> Tensor:
    """Class concepts: t_k = the mean feature of the sentences that mention category k (openreview up0qqbdeQu).

    Args:
        sentences: N sentences.
        centered: whether the mean of all sentences is taken off first, so that what they have in common does not count.
        missing: (K, D), taken for categories that no sentence mentions; by default zeros.

    Returns:
        (K, D), unit vectors.
    """
    mentioned = torch.from_numpy(sentences.labels).to(sentences.features)
    counts = mentioned.sum(dim=0).unsqueeze(1)
    means = mentioned.T @ sentences.features / counts.clamp(min=1)
    if centered:
        means = means - sentences.features.mean(dim=0)
    concepts = F.normalize(means, dim=-1)
    return torch.where(counts > 0, concepts, torch.zeros_like(concepts) if missing is None else missing.to(concepts))
