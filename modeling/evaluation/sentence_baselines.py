"""Category embeddings made of sentences' features alone, without prompts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..training.labeled_features import LabeledFeatures


def class_concepts(sentences: LabeledFeatures, missing: Tensor) -> Tensor:
    """Class concepts: t_k = the mean feature of the sentences that mention category k (openreview up0qqbdeQu).

    Args:
        sentences: N sentences.
        missing: (K, D), taken for categories that no sentence mentions.

    Returns:
        (K, D), unit vectors.
    """
    mentioned = torch.from_numpy(sentences.labels).to(sentences.features)
    concepts = F.normalize(mentioned.T @ sentences.features, dim=-1)
    return torch.where(mentioned.any(dim=0).unsqueeze(1), concepts, missing.to(concepts))
