"""A linear classifier of sentence features, to be used on photos' (CoMC, ICML 2024, openreview sHswzNWUW2)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..scoring import global_logits, ranking_loss

MAX_LABELS = 5


def train_classifier(
    features: Tensor,
    labels: NDArray[np.integer],
    *,
    logit_scale: float = 4.0,
    margin: float = 1.0,
    noise: float = 0.1,
    learning_rate: float = 1e-3,
    steps: int = 400,
    batch_size: int = 512,
    seed: int = 0,
) -> Tensor:
    """Learns W (K, D) from sentences alone: Adam on the ranking loss of tau (x + n) W^T, n ~ N(0, noise^2).

    The noise spreads sentences over what lies between them and photos; x + n is not normalized again. Noise, optimizer
    and learning rate are those of CoMC's code, tau and margin those of its paper. Its language model is asked for texts
    of 1 to 5 objects, as many of each; here, sentences are drawn so that each number of labels comes as often, and
    those of more than 5 are not. The number of steps is ours (CoMC: 20 epochs of texts by the ten thousand), and so is
    that W begins as zeros and not at random.

    Args:
        features: (N, D), unit vectors of sentences.
        labels: (N, K), multi-hot.
        logit_scale: tau.
        margin: of the ranking loss.
        noise: standard deviation of each coordinate.
        learning_rate: at the start; it falls to 0 as a cosine.
        steps: batches to learn from.
        batch_size: sentences of a batch.
        seed: of noise and order; the same seed gives the same W.

    Returns:
        W (K, D) with rows of norm 1: each category's scores keep their order over photos. A category that no sentence
        tells from others keeps a row of zeros.

    Raises:
        ValueError: no sentence has 1 to 5 labels.
    """
    counts = labels.astype(np.int64).sum(axis=1)
    chances = _balanced(counts)
    targets = torch.from_numpy(labels.astype(np.int64))
    generator = torch.Generator().manual_seed(seed)
    weight = torch.zeros(labels.shape[1], features.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.multinomial(chances, batch_size, replacement=True, generator=generator)
        noised = features[rows] + noise * torch.randn(batch_size, features.shape[1], generator=generator)
        optimizer.zero_grad()
        ranking_loss(global_logits(noised, weight, logit_scale), targets[rows], margin).backward()
        optimizer.step()
        scheduler.step()
    return F.normalize(weight.detach(), dim=-1)


def _balanced(counts: NDArray[np.int64]) -> Tensor:
    """How often each sentence is drawn (N,): each number of labels from 1 to 5 as often as the others."""
    usable = (counts >= 1) & (counts <= MAX_LABELS)
    if not usable.any():
        raise ValueError(f"No sentence has 1 to {MAX_LABELS} labels.")
    shares = 1 / np.bincount(counts, minlength=MAX_LABELS + 1)[counts].clip(1)
    return torch.from_numpy(np.where(usable, shares, 0.0))
