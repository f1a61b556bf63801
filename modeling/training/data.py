"""The sentences of a training run: read, checked, split, with template sentences mixed in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordsight.description_gen.dataset import multi_hot, normalize_texts
from wordsight.utils.errors import InvalidInputError, shortened

from .batches import Sentences

if TYPE_CHECKING:
    from wordsight.description_gen.categories import Category


def template_sentences(categories: Sequence[Category], template: str = "a photo of a {}.") -> list[tuple[str, int]]:
    """One sentence for each name and synonym, with the category it is about."""
    return [
        (template.format(category.in_prompt_as(name)), index)
        for index, category in enumerate(categories)
        for name in category.all_names
    ]


def read_sentences(source: Any, categories: Sequence[Category]) -> Sentences:
    """Labeled sentences from anything that `normalize_texts` takes, without those that mention no category.

    Args:
        source: a dataset, a folder, a file, or an id on the Hub.
        categories: the model's K categories.

    Raises:
        InvalidInputError: they can't be read, or no label is one of the categories.
    """
    dataset, _ = normalize_texts(source, categories)
    labels = multi_hot(dataset, categories)
    return Sentences(list(dataset["text"]), labels).select(np.flatnonzero(labels.any(axis=1)))


def hold_out(sentences: Sentences, share: float, seed: int) -> tuple[Sentences, Sentences]:
    """Parts sentences for training and validation; the same seed parts the same sentences alike.

    Args:
        sentences: N of them.
        share: share to hold out; at least one sentence is.
        seed: seed of the split.
    """
    order = np.random.default_rng(seed).permutation(len(sentences))
    held_out = max(1, round(len(order) * share))
    return sentences.select(sorted(order[held_out:])), sentences.select(sorted(order[:held_out]))


def check_sentences(sentences: Sentences, categories: Sequence[Category], templates: bool) -> None:
    """Says which categories no sentence mentions.

    Args:
        sentences: all that there are.
        categories: the K categories.
        templates: whether template sentences are added.

    Raises:
        InvalidInputError: fewer than two sentences mention a category.
    """
    if len(sentences) < 2:
        raise InvalidInputError(
            "There are no two sentences that mention a category: nothing to learn from. Write more with `wordsight "
            "describe --sentences N`, or label your own with `label_texts(dataset, categories)`."
        )
    counts = sentences.labels.sum(axis=0)
    missing = [category.name for category, count in zip(categories, counts, strict=True) if not count]
    if missing:
        remedy = "They are learned from template sentences alone" if templates else "They learn from others' sentences"
        warnings.warn(
            f"No sentence mentions {shortened(missing)}. {remedy}; add synonyms or write more sentences.", stacklevel=3
        )


def with_templates(sentences: Sentences, categories: Sequence[Category]) -> Sentences:
    """The sentences with template sentences behind them."""
    extra = template_sentences(categories)
    labels: NDArray[np.int8] = np.eye(len(categories), dtype=np.int8)[[index for _, index in extra]]
    return Sentences([*sentences.texts, *(text for text, _ in extra)], np.concatenate([sentences.labels, labels]))


def example_sentences(sentences: Sentences, categories: Sequence[Category], count: int = 4) -> dict[str, list[str]]:
    """The first sentences that mention each category; template sentences, which come last, where there are few."""
    mentioned = zip(categories, sentences.labels.T, strict=True)
    return {
        category.name: [sentences.texts[row] for row in np.flatnonzero(column)[:count]]
        for category, column in mentioned
    }
