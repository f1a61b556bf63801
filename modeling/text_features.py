"""Sentence features: what the frozen text encoder says of sentences, which nothing that is learned changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.progress import progress_bar

from .encoders import TextEncoder
from .encoders.base import TextEmbeddings
from .memory import Pieces

BATCH_SIZE = 256


@dataclass(frozen=True)
class SentenceFeatures:
    """Embeddings of N sentences with T tokens in all, kept on the CPU: in memory, or mapped from files.

    Attributes:
        pooled: (N, D) float32, unit vectors.
        tokens: (T, D) float16, unit vectors of the real tokens, sentence by sentence.
        offsets: (N + 1,) where each sentence's tokens begin in `tokens`; the last is T.
    """

    pooled: NDArray[np.float32]
    tokens: NDArray[np.float16]
    offsets: NDArray[np.int64]

    def batch(self, rows: Sequence[int] | NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Some sentences' features on a device: pooled (B, D), tokens (T', D), and their numbers of tokens (B,)."""
        parts = [self.tokens[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        tokens = np.concatenate([self.tokens[:0], *parts])
        lengths = torch.tensor([len(part) for part in parts], dtype=torch.long)
        pooled = torch.from_numpy(np.array(self.pooled[rows]))
        return pooled.to(device), torch.from_numpy(tokens).to(device).float(), lengths.to(device)


@dataclass(frozen=True)
class TokenizedTexts:
    """Texts as token ids, in batches of like length, so that little padding is computed.

    Attributes:
        ids: N lists of token ids.
        batches: rows of the texts, batch by batch.
    """

    ids: list[list[int]]
    batches: list[list[int]]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(N + 1,) where each text's tokens begin."""
        return np.cumsum([0, *map(len, self.ids)], dtype=np.int64)


def tokenize(texts: Sequence[str], encoder: TextEncoder, batch_size: int = BATCH_SIZE) -> TokenizedTexts:
    """Cuts texts in tokens; longer ones than the encoder takes are cut off."""
    ids = encoder.tokenizer(list(texts), truncation=True, max_length=encoder.max_length)["input_ids"] if texts else []
    order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
    return TokenizedTexts(ids, [order[start : start + batch_size] for start in range(0, len(order), batch_size)])


def _padded(tokenized: TokenizedTexts, encoder: TextEncoder, rows: list[int]) -> tuple[Tensor, Tensor]:
    """Token ids and mask (B, L) of some texts, padded to their longest."""
    inputs = encoder.tokenizer.pad({"input_ids": [tokenized.ids[row] for row in rows]}, return_tensors="pt")
    return inputs["input_ids"], inputs["attention_mask"]


@torch.no_grad()
def encode_sentences(
    tokenized: TokenizedTexts, encoder: TextEncoder, batches: Sequence[list[int]]
) -> Iterator[tuple[list[int], Tensor, list[Tensor]]]:
    """Runs batches of sentences through the text encoder.

    Args:
        tokenized: the sentences.
        encoder: the text encoder, on the device that is to do the work.
        batches: those of `tokenized.batches` to run. A batch gives the same numbers whichever others are run.

    Yields:
        rows, pooled (B, D) float32, and B tensors of the real tokens (L_n, D) float16, on the CPU.
    """
    device = next(encoder.parameters()).device
    pieces = Pieces("sentences")
    for rows in batches:
        ids, mask = _padded(tokenized, encoder, rows)

        def encode(some: slice, ids: Tensor = ids, mask: Tensor = mask) -> tuple[Tensor, list[Tensor]]:
            output: TextEmbeddings = encoder(ids[some].to(device), mask[some].to(device))
            tokens, real = output.tokens.half().cpu(), output.mask.cpu()
            return output.pooled.float().cpu(), [line[kept] for line, kept in zip(tokens, real, strict=True)]

        pooled, tokens = zip(*pieces(encode, len(rows)), strict=True)
        yield rows, torch.cat(pooled), [line for part in tokens for line in part]


@torch.no_grad()
def pooled_features(texts: Sequence[str], encoder: TextEncoder) -> Tensor:
    """Embeddings (N, D) of texts, unit vectors, on the CPU.

    Args:
        texts: N texts, such as category names in a template.
        encoder: the text encoder, on the device that is to do the work.
    """
    device = next(encoder.parameters()).device
    tokenized = tokenize(texts, encoder)
    pooled: list[Tensor] = [torch.empty(0)] * len(texts)
    with progress_bar("Encoding texts", len(texts), "text", enabled=len(tokenized.batches) > 1) as bar:
        for rows in tokenized.batches:
            ids, mask = _padded(tokenized, encoder, rows)
            output = encoder.pool_texts(ids.to(device), mask.to(device))
            for row, embedding in zip(rows, output.float().cpu(), strict=True):
                pooled[row] = embedding
            bar.update(len(rows))
    return torch.stack(pooled)
