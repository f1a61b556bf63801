"""Gaussian noise on text features: the same for a sentence in an epoch, whatever else is in its batch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

BANK_ROWS = 16384


class FeatureNoise:
    """Noise for the features of sentences, taken from a bank of vectors that is drawn once.

    Drawing fresh noise for each token took a tenth of a training step, and noise drawn for a whole batch would depend
    on the batch, and so on the number of processes. So each sentence begins at a random row of a bank of Gaussian
    vectors, another one in each epoch; its pooled embedding takes that row, its tokens take the next ones. Where two
    sentences meet the same rows, they do so at different tokens and in other pairs each epoch.

    Args:
        norm: expected norm of the noise; features have norm 1.
        dim: D, of the features.
        seed: seed of the run.

    Example:
        >>> import torch
        >>> from wordsight.modeling.training.noise import FeatureNoise
        >>> noise = FeatureNoise(norm=0.5, dim=4, seed=0)
        >>> pooled, tokens = torch.eye(4)[:2], torch.eye(4)[:3]
        >>> starts = torch.from_numpy(noise.starts(epoch=0, sentences=2))
        >>> pooled, tokens = noise(pooled, tokens, torch.tensor([1, 2]), starts)
        >>> pooled.norm(dim=-1)
        tensor([1., 1.])
    """

    def __init__(self, norm: float, dim: int, seed: int) -> None:
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.bank = torch.randn(BANK_ROWS, dim, generator=generator) * (norm / dim**0.5)

    def starts(self, epoch: int, sentences: int) -> NDArray[np.int64]:
        """The row at which each of N sentences begins in an epoch."""
        return np.random.default_rng([self.seed, epoch, 1]).integers(BANK_ROWS, size=sentences)

    def __call__(self, pooled: Tensor, tokens: Tensor, counts: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Adds noise to unit features; unit vectors again.

        Args:
            pooled: (B, D), of B sentences.
            tokens: (T, D), of their tokens, sentence by sentence.
            counts: (B,) tokens of each sentence.
            starts: (B,) see `starts`.
        """
        if self.bank.device != pooled.device:
            self.bank = self.bank.to(pooled.device)
        before = counts.cumsum(0) - counts
        # The j-th token of a sentence has row start + 1 + j.
        rows = torch.arange(1, len(tokens) + 1, device=tokens.device) + torch.repeat_interleave(starts - before, counts)
        noised_tokens = self.bank.index_select(0, rows % BANK_ROWS).add_(tokens)
        # In place: these are the largest tensors of a step, and new memory costs more than the arithmetic.
        noised_tokens.div_(torch.linalg.vector_norm(noised_tokens, dim=-1, keepdim=True))
        noised_pooled = self.bank.index_select(0, starts).add_(pooled)
        return F.normalize(noised_pooled, dim=-1), noised_tokens
