"""Hierarchical prompts: the learned tokens of each branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .configuration_wordsight import WordsightConfig


def level_rows(config: WordsightConfig) -> dict[str, list[int]]:
    """Level -> for each of the K categories, which of the level's sets of tokens is its own; in a prompt's order."""
    categories = len(config.category_names)
    return {
        "shared": [0] * categories,
        "attribute": config.group_index("attribute_groups"),
        "cooccurrence": config.group_index("cooccurrence_groups"),
        "category": list(range(categories)),
    }


def level_counts(config: WordsightConfig) -> dict[str, int]:
    """Level -> how many tokens a prompt has of it; in a prompt's order."""
    return {
        "shared": config.num_shared_tokens,
        "attribute": config.num_attribute_tokens,
        "cooccurrence": config.num_cooccurrence_tokens,
        "category": config.num_category_tokens,
    }


def soft_token_keys(config: WordsightConfig) -> Tensor:
    """(K, M) numbers of the soft tokens in each prompt; categories that share a token have the same number."""
    counts = level_counts(config)
    columns, before = [], 0
    for level, rows in level_rows(config).items():
        sets, count = torch.tensor(rows).unsqueeze(-1), counts[level]
        columns.append(before + sets * count + torch.arange(count))
        before += (max(rows) + 1) * count
    return torch.cat(columns, dim=1)


class PromptTokens(nn.Module):
    """The learned tokens of one branch, shared level by level.

    Input: none. Output of `forward`: (K, M, d), the M = m_g + m_a + m_c + m_s tokens of each of the K categories.
    """

    def __init__(self, config: WordsightConfig) -> None:
        super().__init__()
        sets = {
            "shared": 1,
            "attribute": len(config.attribute_groups or ()),
            "cooccurrence": len(config.cooccurrence_groups or ()),
            "category": len(config.category_names),
        }
        counts = level_counts(config).items()
        # A level of length 0 has no parameter at all: empty tensors would only trouble optimizers and savers.
        self.levels = nn.ParameterDict(
            {level: nn.Parameter(torch.zeros(sets[level], n, config.prompt_width)) for level, n in counts if n}
        )
        self.rows = level_rows(config)

    def forward(self) -> Tensor:
        """All categories' tokens: (K, M, d)."""
        # ParameterDict sorts its keys, so the order within a prompt is that of `rows`.
        return torch.cat([self.levels[level][rows] for level, rows in self.rows.items() if level in self.levels], dim=1)

    @torch.no_grad()
    def initialize(self, embedding: nn.Embedding, template_ids: list[int], generator: torch.Generator) -> None:
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
