"""Hierarchical prompts: the learned tokens of one branch, and the way from tokens to category embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from wordsight.errors import InvalidInputError

from .configuration_wordsight import WordsightConfig

if TYPE_CHECKING:
    from .encoders.base import TextEncoder

# Stands at the soft tokens' positions in `input_ids`. Its own embedding never counts; it must only not be the EOS by
# which CLIP pools, and not the greatest id, by which old CLIP configurations find their EOS.
PLACEHOLDER_ID = 0


class PromptTokens(nn.Module):
    """The learned tokens of one branch, shared level by level.

    Input: none. Output of `forward`: (K, M, d), the M = m_g + m_a + m_c + m_s tokens of each of the K categories.
    """

    def __init__(self, config: WordsightConfig) -> None:
        super().__init__()
        categories = len(config.category_names)
        sizes = {
            "shared": (1, config.num_global_tokens),
            "attribute": (len(config.attribute_groups or ()), config.num_attribute_tokens),
            "cooccurrence": (len(config.cooccurrence_groups or ()), config.num_cooccurrence_tokens),
            "category": (categories, config.num_category_tokens),
        }
        # A level of length 0 has no parameter at all: empty tensors would only trouble optimisers and savers.
        self.levels = nn.ParameterDict(
            {level: nn.Parameter(torch.zeros(*size, config.prompt_width)) for level, size in sizes.items() if size[1]}
        )
        self.rows = {
            "shared": [0] * categories,
            "attribute": config.group_index("attribute_groups"),
            "cooccurrence": config.group_index("cooccurrence_groups"),
            "category": list(range(categories)),
        }

    def forward(self) -> Tensor:
        """All categories' tokens: (K, M, d)."""
        # ParameterDict sorts its keys, so the order within a prompt is that of `rows`.
        return torch.cat([self.levels[level][rows] for level, rows in self.rows.items() if level in self.levels], dim=1)

    @torch.no_grad()
    def initialise(self, embedding: nn.Embedding, template_ids: list[int], generator: torch.Generator) -> None:
        """Draws the tokens like the vocabulary's own embeddings; shared ones start as a template's words.

        Args:
            embedding: the text encoder's input embeddings.
            template_ids: token ids of a template's words ("a photo of a"), repeated or cut to the number of shared
                tokens; empty for random ones.
            generator: source of randomness (on the CPU), so that all processes draw the same.
        """
        weight = embedding.weight.float().cpu()
        mean, std = weight.mean(dim=0), weight.std(dim=0)
        for level, tokens in self.levels.items():
            drawn = mean + std * torch.randn(tokens.shape, generator=generator)
            if level == "shared" and template_ids:
                ids = [template_ids[i % len(template_ids)] for i in range(tokens.shape[1])]
                drawn = weight[ids].unsqueeze(0)
            tokens.copy_(drawn)

    @torch.no_grad()
    def adopt(self, known: PromptTokens) -> None:
        """Takes over the tokens of a model with fewer categories, in the same groups; only new ones stay trainable.

        Args:
            known: the tokens of the first categories.
        """
        for level, tokens in self.levels.items():
            old = known.levels[level]
            tokens[: len(old)] = old
            if level == "category":
                new = torch.arange(len(tokens), device=tokens.device) >= len(old)
                # Without gradient, and so without a step (weight decay is the caller's to leave off).
                tokens.register_hook(lambda gradient, new=new: gradient * new.to(gradient)[:, None, None])
            else:
                tokens.requires_grad_(False)


class HierarchicalPrompts(nn.Module):
    """The prompt tokens of both branches: all that a wordsight model learns."""

    def __init__(self, config: WordsightConfig) -> None:
        super().__init__()
        self.global_branch = PromptTokens(config)
        self.local_branch = PromptTokens(config)

    def adopt(self, known: HierarchicalPrompts) -> None:
        """See `PromptTokens.adopt`."""
        self.global_branch.adopt(known.global_branch)
        self.local_branch.adopt(known.local_branch)

    def num_tokens(self) -> dict[str, int]:
        """How many tokens of each level are learned, both branches together."""
        counts: dict[str, int] = {}
        for branch in (self.global_branch, self.local_branch):
            for level in filter(branch.levels.__contains__, branch.rows):
                tokens = branch.levels[level]
                counts[level] = counts.get(level, 0) + tokens.shape[0] * tokens.shape[1]
        return counts


class PromptLayout:
    """The K prompts as token ids, with placeholders where the M soft tokens go.

    Attributes:
        input_ids: (K, L).
        attention_mask: (K, L).
        soft_positions: (K, L) bool, True at the M placeholders of each row.

    Raises:
        InvalidInputError: a category's prompt is longer than the encoder takes.
    """

    def __init__(self, names: list[str], num_soft_tokens: int, encoder: TextEncoder) -> None:
        tokenizer = encoder.tokenizer
        rows: list[list[int]] = []
        prefixes: list[int] = []
        for name in names:
            encoded = tokenizer(name, return_special_tokens_mask=True)
            ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
            if 0 not in special:
                raise InvalidInputError(f"Category {name!r}: the encoder's tokenizer knows none of its characters.")
            prefix = special.index(0)
            length = len(ids) + num_soft_tokens
            if length > encoder.max_length:
                raise InvalidInputError(
                    f"Category {name!r} is {len(ids)} tokens long; with {num_soft_tokens} prompt tokens that makes "
                    f"{length}, and the encoder takes {encoder.max_length}. Use a shorter name or fewer prompt tokens."
                )
            rows.append(ids[:prefix] + [PLACEHOLDER_ID] * num_soft_tokens + ids[prefix:])
            prefixes.append(prefix)
        longest = max(map(len, rows))
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.input_ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        self.attention_mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        columns = torch.arange(longest)
        start = torch.tensor(prefixes).unsqueeze(-1)
        self.soft_positions = (columns >= start) & (columns < start + num_soft_tokens)

    def encode(self, encoder: TextEncoder, soft_tokens: Tensor) -> Tensor:
        """Soft tokens (K, M, d) through the text encoder: category embeddings (K, D), unit vectors, with gradient."""
        device = soft_tokens.device
        embeddings = encoder(
            self.input_ids.to(device), self.attention_mask.to(device), soft_tokens, self.soft_positions.to(device)
        )
        return embeddings.pooled
