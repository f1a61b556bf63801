"""Where the learned tokens stand: the K prompts as token ids, cut in chunks, and what they begin with alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from wordsight.description_gen.categories import Category

    from .encoders.base import TextEncoder

# Stands at the soft tokens' positions in `input_ids`. Its own embedding never counts; it must only not be the EOS by
# which CLIP pools, and not the greatest id, by which old CLIP configurations find their EOS.
PLACEHOLDER_ID = 0


@dataclass(frozen=True)
class PrefixTree:
    """The tokens of N prompts, with those that several prompts begin with alike only once.

    A causal text encoder gives a token the same states in all texts that are the same up to it.

    Attributes:
        nodes: (N, L) number of the node that each token is; padding is node 0, which no later token looks at.
        first: (U,) position in the flattened (N * L) tokens where each node comes first.
        columns: (U,) its place in the prompt.
        ends: (N,) position in the flattened tokens of each prompt's last token.
    """

    nodes: Tensor
    first: Tensor
    columns: Tensor
    ends: Tensor


@dataclass(frozen=True)
class PromptChunk:
    """Some prompts as token ids, with placeholders where their M soft tokens go.

    Attributes:
        input_ids: (N, L).
        attention_mask: (N, L), 1 at real tokens (placeholders are real tokens).
        soft_positions: (N, L) bool, True at the M placeholders of each row.
        soft_keys: (N, M), equal numbers where the soft tokens are one and the same parameter.
    """

    input_ids: Tensor
    attention_mask: Tensor
    soft_positions: Tensor
    soft_keys: Tensor

    @cached_property
    def prefix_tree(self) -> PrefixTree:
        """Which tokens have the same tokens before them in several prompts."""
        # One number for what stands at a position: ids from 0 up, soft tokens from -1 down.
        symbols = self.input_ids.masked_scatter(self.soft_positions, -1 - self.soft_keys)
        width = symbols.shape[1]
        lengths = self.attention_mask.sum(dim=1)
        known: dict[tuple[int, int], int] = {}  # (node before, symbol) -> node
        nodes = torch.zeros_like(symbols)
        first: list[int] = []
        for row, (line, length) in enumerate(zip(symbols.tolist(), lengths.tolist(), strict=True)):
            node = -1
            for column, symbol in enumerate(line[:length]):
                before = node
                node = known.setdefault((before, symbol), len(first))
                if node == len(first):
                    first.append(row * width + column)
                nodes[row, column] = node
        positions = torch.tensor(first)
        return PrefixTree(nodes, positions, positions % width, torch.arange(len(symbols)) * width + lengths - 1)


class PromptLayout:
    """The K prompts of one branch, for one encoder.

    Args:
        categories: the K categories.
        soft_keys: (K, M), equal numbers where prompts share a soft token (see `soft_token_keys`).
        encoder: the text encoder, for its tokenizer and its limit.
        chunk_size: prompts that go through the text encoder at once while gradients are kept; what is in between is
            then computed a second time for the gradient (gradient checkpointing) instead of being held. 0 for all.

    Raises:
        InvalidInputError: a category's prompt is longer than the encoder takes.
    """

    def __init__(
        self, categories: Sequence[Category], soft_keys: Tensor, encoder: TextEncoder, chunk_size: int = 0
    ) -> None:
        tokenizer, num_soft_tokens = encoder.tokenizer, soft_keys.shape[1]
        rows: list[list[int]] = []
        prefixes: list[int] = []
        for category in categories:
            name = category.in_prompt
            encoded = tokenizer(name, return_special_tokens_mask=True)
            ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
            if 0 not in special:
                raise InvalidInputError(f"Category {name!r}: the encoder's tokenizer knows none of its characters.")
            prefix = special.index(0)
            length = len(ids) + num_soft_tokens
            if length > encoder.max_length:
                raise InvalidInputError(
                    f"Category {name!r} is {len(ids)} tokens long; with {num_soft_tokens} prompt tokens that makes "
                    f"{length}, and the encoder takes {encoder.max_length}. Use a shorter name or "
                    "description, or fewer prompt tokens."
                )
            rows.append(ids[:prefix] + [PLACEHOLDER_ID] * num_soft_tokens + ids[prefix:])
            prefixes.append(prefix)
        longest = max(map(len, rows))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        input_ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        attention_mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        columns = torch.arange(longest)
        start = torch.tensor(prefixes).unsqueeze(-1)
        soft_positions = (columns >= start) & (columns < start + num_soft_tokens)
        self.whole = PromptChunk(input_ids, attention_mask, soft_positions, soft_keys)
        self.resize_chunks(chunk_size)

    def resize_chunks(self, chunk_size: int) -> None:
        """Cuts the prompts anew; see `chunk_size` of the class."""
        whole, size = self.whole, chunk_size or len(self.whole.input_ids)
        tensors = (whole.input_ids, whole.attention_mask, whole.soft_positions, whole.soft_keys)
        self.chunks = [PromptChunk(*parts) for parts in zip(*(tensor.split(size) for tensor in tensors), strict=True)]

    def encode(self, encoder: TextEncoder, soft_tokens: Tensor) -> Tensor:
        """Soft tokens (K, M, d) through the text encoder: category embeddings (K, D), unit vectors, with gradient."""
        if len(self.chunks) == 1:
            return encoder.encode_prompts(self.chunks[0], soft_tokens)
        parts = soft_tokens.split([len(chunk.input_ids) for chunk in self.chunks])
        embeddings = [
            checkpoint(encoder.encode_prompts, chunk, part, use_reentrant=False)
            for chunk, part in zip(self.chunks, parts, strict=True)
        ]
        return torch.cat(embeddings)
