"""A linear classifier of sentence features, to be used on photos' (CoMC, ICML 2024, openreview sHswzNWUW2)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import InvalidInputError

from ..scoring import global_logits, ranking_loss
from .labeled_features import LabeledFeatures

# Sentences of more labels are not learned from: CoMC asks its language model for 1 to 5 objects.
MAX_LABELS = 5
# What the memory counts in a photo's features (see `pull`).
MEMORY_WEIGHT = 0.3
# Expected norm of the noise. CoMC's code draws each of D = 1024 coordinates with a standard deviation of 0.1.
NOISE = 3.2


def train_classifier(
    sentences: LabeledFeatures,
    *,
    logit_scale: float = 4.0,
    margin: float = 1.0,
    noise: float = NOISE,
    learning_rate: float = 1e-3,
    steps: int = 500,
    batch_size: int = 512,
    seed: int = 0,
) -> Tensor:
    """Learns W (K, D) from sentences alone: Adam on the ranking loss of tau (x + n) W^T with Gaussian noise n.

    The noise spreads sentences over what lies between them and photos; x + n is not normalized again. Optimizer,
    learning rate and noise are those of CoMC's code, tau and margin those of its paper. Its language model is asked
    for as many texts of each number of objects from 1 to 5; here, sentences are drawn so that each number of labels
    comes as often. The number of steps is ours (CoMC: 20 epochs of texts by the ten thousand), and so is that W begins
    as zeros and not at random.

    Args:
        sentences: N sentences.
        logit_scale: tau.
        margin: of the ranking loss.
        noise: expected norm of n; features have norm 1.
        learning_rate: at the start; it falls to 0 as a cosine.
        steps: batches to learn from.
        batch_size: sentences of a batch.
        seed: of noise and order; the same seed gives the same W.

    Returns:
        W (K, D) with rows of norm 1, which does not change the order of photos in a category.

    Raises:
        InvalidInputError: no sentence has 1 to 5 labels.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from wordsight.modeling.training.classifier import train_classifier
        >>> from wordsight.modeling.training.labeled_features import LabeledFeatures
        >>> sentences = LabeledFeatures(torch.eye(2), np.eye(2, dtype=np.int8))
        >>> train_classifier(sentences, noise=0.1, steps=20).diagonal() > 0.7
        tensor([True, True])
    """
    chances = draw_chances(sentences.labels)
    targets = torch.from_numpy(sentences.labels.astype(np.int64))
    dim, generator = sentences.features.shape[1], torch.Generator().manual_seed(seed)
    weight = torch.zeros(targets.shape[1], dim, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.multinomial(chances, batch_size, replacement=True, generator=generator)
        noised = torch.randn(batch_size, dim, generator=generator).mul_(noise / dim**0.5).add_(sentences.features[rows])
        optimizer.zero_grad()
        ranking_loss(global_logits(noised, weight, logit_scale), targets[rows], margin).backward()
        optimizer.step()
        scheduler.step()
    return F.normalize(weight.detach(), dim=-1)


def draw_chances(labels: NDArray[np.integer]) -> Tensor:
    """How often each of N sentences is drawn: each number of labels from 1 to 5 as often as the others.

    Args:
        labels: (N, K), multi-hot.

    Raises:
        InvalidInputError: no sentence has 1 to 5 labels.
    """
    counts = labels.astype(np.int64).sum(axis=1)
    usable = (counts >= 1) & (counts <= MAX_LABELS)
    if not usable.any():
        raise InvalidInputError(
            f"No sentence mentions 1 to {MAX_LABELS} categories: there is nothing to learn a classifier from. Write "
            "more with `wordsight describe --sentences N`."
        )
    return torch.from_numpy(np.where(usable, 1 / np.bincount(counts)[counts], 0.0))
