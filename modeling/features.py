"""Sentence features: computed once, since nothing that is learned changes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from wordsight.progress import progress_bar

from .encoders import TextEncoder


@dataclass(frozen=True)
class SentenceFeatures:
    """Embeddings of N sentences, kept on the CPU.

    Attributes:
        pooled: (N, D), unit vectors.
        tokens: N tensors (L_n, D), unit vectors in half precision, real tokens only.
    """

    pooled: Tensor
    tokens: list[Tensor]

    def batch(self, rows: list[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Some sentences' features on a device: pooled (B, D), tokens (B, L, D) padded to the longest, mask (B, L)."""
        tokens = [self.tokens[row] for row in rows]
        padded = pad_sequence(tokens, batch_first=True) if tokens else torch.zeros(0, 1, self.pooled.shape[-1])
        lengths = torch.tensor([len(row) for row in tokens])
        mask = torch.arange(padded.shape[1]) < lengths.unsqueeze(-1)
        return self.pooled[rows].to(device), padded.to(device).float(), mask.to(device)


@torch.no_grad()
def sentence_features(
    texts: list[str], encoder: TextEncoder, batch_size: int = 256, progress: bool = True
) -> SentenceFeatures:
    """Runs sentences through the frozen text encoder, like with like in length so that little padding is computed.

    Args:
        texts: N sentences; longer ones than the encoder takes are cut.
        encoder: the text encoder, on the device that is to do the work.
        batch_size: sentences at a time.
        progress: whether to show a progress bar.
    """
    device = next(encoder.parameters()).device
    encoded = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_length)["input_ids"] if texts else []
    order = sorted(range(len(texts)), key=lambda row: len(encoded[row]))
    pooled: list[Tensor] = [torch.empty(0)] * len(texts)
    tokens: list[Tensor] = [torch.empty(0)] * len(texts)
    with progress_bar("Sentence features", len(texts), "text", progress) as bar:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs = encoder.tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="pt")
            output = encoder(inputs["input_ids"].to(device), inputs["attention_mask"].to(device))
            for position, row in enumerate(rows):
                pooled[row] = output.pooled[position].float().cpu()
                tokens[row] = output.tokens[position][output.mask[position]].half().cpu()
            bar.update(len(rows))
    return SentenceFeatures(torch.stack(pooled) if pooled else torch.empty(0, 0), tokens)
