"""The sentences of a training run: read, checked, split, with template sentences mixed in."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordsight.description_gen import load_texts
from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from wordsight.description_gen import Category, Knowledge


@dataclass(frozen=True)
class TrainingTexts:
    """Sentences with what they mention, apart for training and validation.

    Attributes:
        train_texts: N sentences.
        train_labels: (N, K) multi-hot.
        validation_texts: M held-out sentences.
        validation_labels: (M, K) multi-hot.
        knowledge: what the LLM said of the categories.
    """

    train_texts: list[str]
    train_labels: NDArray[np.int8]
    validation_texts: list[str]
    validation_labels: NDArray[np.int8]
    knowledge: Knowledge

    @property
    def categories(self) -> list[Category]:
        """The K categories, in the order of the labels."""
        return self.knowledge.categories

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [category.name for category in self.categories]

    def examples(self, count: int = 4) -> dict[str, list[str]]:
        """The first sentences that mention each category; template sentences, which come last, where there are few."""
        mentioned = zip(self.names, self.train_labels.T, strict=True)
        return {name: [self.train_texts[i] for i in np.flatnonzero(column)[:count]] for name, column in mentioned}


def template_sentences(categories: list[Category], template: str = "a photo of a {}.") -> list[tuple[str, int]]:
    """One sentence for each name and synonym, with the category it is about (METHOD.md, section 4)."""
    return [
        (template.format(name), index)
        for index, category in enumerate(categories)
        for name in (category.name, *category.synonyms)
    ]


def load_training_texts(path: Path, validation_share: float, templates: bool, seed: int) -> TrainingTexts:
    """Reads what `wordsight describe` wrote.

    Args:
        path: folder with the sentences and `knowledge.json`.
        validation_share: share of the sentences to hold out.
        templates: whether to add template sentences to the training part.
        seed: seed of the split.

    Raises:
        InvalidInputError: the folder is not one, or too few of its sentences mention a category.
    """
    dataset, knowledge = load_texts(path)
    labels = np.asarray(dataset["labels"], dtype=np.int8).reshape(len(dataset), -1)
    usable = np.flatnonzero(labels.any(axis=1)) if labels.size else np.empty(0, dtype=np.int64)
    if len(usable) < 2:
        raise InvalidInputError(
            f"{path} holds no two sentences that mention a category: nothing to learn from. Write more with "
            "`wordsight describe --sentences N`."
        )
    names = [category.name for category in knowledge.categories]
    missing = [name for name, count in zip(names, labels.sum(axis=0), strict=True) if not count]
    if missing:
        remedy = "They are learned from template sentences alone" if templates else "They learn from others' sentences"
        warnings.warn(
            f"No sentence mentions {', '.join(missing)}. {remedy}; add synonyms or write more sentences.", stacklevel=2
        )
    return split_texts(list(dataset["text"]), labels, knowledge, validation_share, templates, seed)


def split_texts(
    texts: list[str],
    labels: NDArray[np.int8],
    knowledge: Knowledge,
    validation_share: float,
    templates: bool,
    seed: int,
) -> TrainingTexts:
    """Parts labeled sentences for training and validation; see `load_training_texts`.

    Args:
        texts: N sentences; those without a label are left out.
        labels: (N, K) multi-hot.
        knowledge: of the K categories.
        validation_share: share of the sentences to hold out.
        templates: whether to add template sentences to the training part.
        seed: seed of the split.
    """
    usable = np.flatnonzero(labels.any(axis=1))
    order = np.random.default_rng(seed).permutation(usable)
    held_out = max(1, round(len(order) * validation_share))
    validation, train = sorted(order[:held_out]), sorted(order[held_out:])
    train_texts, train_labels = [texts[i] for i in train], labels[train]
    if templates:
        extra = template_sentences(knowledge.categories)
        train_texts += [text for text, _ in extra]
        train_labels = np.concatenate(
            [train_labels, np.eye(labels.shape[1], dtype=np.int8)[[index for _, index in extra]]]
        )
    return TrainingTexts(train_texts, train_labels, [texts[i] for i in validation], labels[validation], knowledge)
