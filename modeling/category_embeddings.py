"""What photos are compared with: one embedding a category and branch, made from prompts and from names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight.description_gen.categories import CATEGORY_LISTS, Category, shipped_categories

from .configuration_wordsight import WordsightConfig
from .prompt_layout import PromptLayout
from .prompts import HierarchicalPrompts, soft_token_keys
from .text_features import pooled_features

if TYPE_CHECKING:
    from .encoders.base import TextEncoder

TEMPLATE = "a photo of a {}."
# The mean over a user's categories counts K, that over common categories as if it were of so many.
REFERENCE_STRENGTH = 20


class CategoryEmbedder:
    """Makes category embeddings from prompts, for one configuration and one encoder.

    embedding_i = unit( unit((1 - w) unit(prompt_i + prior_weight * Z_i) + w C_i) - mean ), where Z_i is the zero-shot
    embedding of the category's name and synonyms, and C_i that of its correlative prompt, which names what it is often
    seen with (after DualPrompt, ICLR 2026), w being `correlative_weight`; a category that is seen with none has no C_i.
    The residual to the zero-shot embedding keeps prompts from small language models' sentences from forgetting what the
    name says (as KgCoOp, arXiv 2303.13283, section 3.2, does by a loss); the mean is what all categories have in common
    and no photo should be ranked by.

    Args:
        config: names, synonyms, `prior_weight`, `cooccurring_categories`, `correlative_weight` and `mean_shift`.
        text_encoder: the frozen text encoder.
        chunk_size: prompts at a time (see `PromptLayout`).
    """

    def __init__(self, config: WordsightConfig, text_encoder: TextEncoder, chunk_size: int = 0) -> None:
        self.config = config
        self.layout = PromptLayout(config.categories, soft_token_keys(config), text_encoder, chunk_size)
        self.text_encoder = text_encoder

    @cached_property
    @torch.no_grad()
    def zero_shot(self) -> Tensor:
        """Embeddings (K, D) of the categories' names and synonyms (see `zero_shot_embeddings`)."""
        return zero_shot_embeddings(self.config.categories, self.text_encoder)

    @cached_property
    @torch.no_grad()
    def _reference(self) -> Tensor:
        return reference_mean(self.text_encoder)

    @cached_property
    @torch.no_grad()
    def correlative(self) -> Tensor:
        """Embeddings (K, D) of the correlative prompts; 0 where a category is seen with no other."""
        together = self.config.cooccurring_categories or {}
        in_full = {category.name: category.in_full for category in self.config.categories}
        rows = [k for k, name in enumerate(self.config.category_names) if together.get(name)]
        texts = [
            correlative_text(in_full[name], [in_full[other] for other in together[name]])
            for name in (self.config.category_names[k] for k in rows)
        ]
        embeddings = torch.zeros_like(self.zero_shot)
        if texts:
            embeddings[rows] = pooled_features(texts, self.text_encoder).to(embeddings)
        return embeddings

    def prompt_embeddings(self, prompts: HierarchicalPrompts) -> tuple[Tensor, Tensor]:
        """The prompts' own embeddings (K, D) of the global and of the local branch, with gradient."""
        return (
            self.layout.encode(self.text_encoder, prompts.global_branch()),
            self.layout.encode(self.text_encoder, prompts.local_branch()),
        )

    @torch.no_grad()
    def finish(self, prompt_embeddings: Tensor) -> Tensor:
        """The prompts' embeddings (K, D) of one branch to what photos are compared with."""
        finished = prompt_embeddings
        if self.config.prior_weight:
            finished = F.normalize(finished + self.config.prior_weight * self.zero_shot.to(finished), dim=-1)
        return self._shifted(self._with_correlative(finished))

    @torch.no_grad()
    def names_only(self) -> Tensor:
        """Embeddings (K, D) without any prompt: the zero-shot embeddings of names and synonyms, finished likewise."""
        return self._shifted(self._with_correlative(self.zero_shot))

    def _with_correlative(self, embeddings: Tensor) -> Tensor:
        """Mixes the correlative prompts' embeddings (K, D) into others, where there are any."""
        weight = self.config.correlative_weight
        if not weight:
            return embeddings
        correlative = self.correlative.to(embeddings)
        mixed = F.normalize((1 - weight) * embeddings + weight * correlative, dim=-1)
        return torch.where(correlative.any(dim=-1, keepdim=True), mixed, embeddings)

    def _shifted(self, embeddings: Tensor) -> Tensor:
        return shift_mean(embeddings, self._reference.to(embeddings)) if self.config.mean_shift else embeddings

    @cached_property
    @torch.no_grad()
    def compounds(self) -> Tensor:
        """Embeddings (P, D) of the compound prompts, which nothing that is learned changes."""
        in_full = {category.name: category.in_full for category in self.config.categories}
        texts = [compound_text([in_full[name] for name in names]) for names in self.config.compounds or ()]
        return pooled_features(texts, self.text_encoder)

    @torch.no_grad()
    def __call__(self, prompts: HierarchicalPrompts) -> tuple[Tensor, Tensor]:
        """Finished embeddings (K, D) of the global and of the local branch, unit vectors."""
        global_branch, local_branch = self.prompt_embeddings(prompts)
        return self.finish(global_branch), self.finish(local_branch)


@torch.no_grad()
def zero_shot_embeddings(
    categories: list[Category], text_encoder: TextEncoder, templates: tuple[str, ...] = (TEMPLATE,)
) -> Tensor:
    """Embeddings (K, D) of category names in templates; half of each is the name's, half that of all its names.

    Args:
        categories: names, synonyms and descriptions.
        text_encoder: the text encoder, on its device.
        templates: with "{}" for the name; several are averaged (CLIP, arXiv 2103.00020, section 3.1.4).
    """

    def embed(names: list[str]) -> Tensor:
        texts = [template.format(name) for name in names for template in templates]
        pooled = pooled_features(texts, text_encoder)
        return F.normalize(pooled.view(len(names), len(templates), -1).mean(dim=1), dim=-1)

    of_all = embed([category.in_prompt_as(name) for category in categories for name in category.all_names])
    of_each = of_all.split([len(category.all_names) for category in categories])
    own = torch.stack([names[0] for names in of_each])
    means = torch.stack([names.mean(dim=0) for names in of_each])
    return F.normalize(own + F.normalize(means, dim=-1), dim=-1)


def reference_mean(text_encoder: TextEncoder) -> Tensor:
    """Mean embedding (D,) of common categories' names: what any category's embedding has in common with others."""
    lists = [shipped_categories(name) for name in CATEGORY_LISTS]
    names = dict.fromkeys(category.name for categories in lists for category in categories)
    texts = [TEMPLATE.format(name) for name in names]
    return pooled_features(texts, text_encoder).mean(dim=0)


def shift_mean(embeddings: Tensor, reference: Tensor) -> Tensor:
    """Takes the mean out of category embeddings (K, D); unit vectors again.

    The mean of few categories is mostly their own meaning, so it is shrunk towards that of common categories.

    Args:
        embeddings: (K, D), unit vectors.
        reference: (D,), see `reference_mean`.
    """
    mean = (embeddings.sum(dim=0) + REFERENCE_STRENGTH * reference) / (len(embeddings) + REFERENCE_STRENGTH)
    return F.normalize(embeddings - mean, dim=-1)


def compound_text(names: Sequence[str]) -> str:
    """The compound prompt of some categories: "a photo of a cat and a dog."."""
    return f"a photo of a {' and a '.join(names)}."


def correlative_text(name: str, others: Sequence[str]) -> str:
    """What a category is often seen with: "A photo of a cup often includes a spoon, a person."."""
    return f"A photo of a {name} often includes {', '.join(f'a {other}' for other in others)}."
