"""Photos' features moved towards what sentences look like, by a memory of sentence features.

Texts and photos lie apart in the space that they share (the modality gap, arXiv 2203.02053). What was learned or
averaged from sentences fits photos better once their features are told in sentences.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# From cosine to the logit of the attention: CLIP's own scale, with which its two halves are compared in training.
MEMORY_TEMPERATURE = 1 / 100


def attend(features: Tensor, memory: Tensor, temperature: float = MEMORY_TEMPERATURE) -> Tensor:
    """Features told in sentences: the mean of a memory's rows, weighted by how near they are.

    a = unit( softmax_j( <f, m_j> / temperature ) M )

    The context-guided visual feature of class concepts (openreview up0qqbdeQu and OjxRLBdsgb), and the cross-modal
    mapping of CoMC (ICML 2024, openreview sHswzNWUW2; temperature 1/100 as in its code).

    Args:
        features: (..., D), unit vectors of photos or patches.
        memory: (M, D), unit vectors of sentences.
        temperature: small values come near the nearest sentence.

    Returns:
        (..., D), unit vectors.
    """
    return F.normalize((features @ memory.T / temperature).softmax(dim=-1) @ memory, dim=-1)


def pull(features: Tensor, memory: Tensor, weight: float, temperature: float = MEMORY_TEMPERATURE) -> Tensor:
    """Features part of the way to the memory: f' = (1 - w) f + w attend(f), not normalized (CoMC, w = 0.3).

    Args:
        features: (..., D), unit vectors of photos or patches.
        memory: (M, D), unit vectors of sentences.
        weight: w, in [0, 1].
        temperature: see `attend`.
    """
    return (1 - weight) * features + weight * attend(features, memory, temperature)
