"""Labels that a model does not know by name, and which of its categories they may yet mean."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wordsight.description_gen.categories import Category
from wordsight.description_gen.dataset import mentioned
from wordsight.utils.errors import InvalidInputError


def related_categories(labels: Sequence[str], categories: Sequence[Category]) -> NDArray[np.bool_]:
    """Which categories (N, K) each of N labels may mean: "tabby cat" and "cats" a "cat", "table" a "dining table".

    A photo with such a label can't be taken for one that does not show the category.

    Args:
        labels: labels that are no category's name or synonym.
        categories: the K categories.
    """
    as_category = [Category(" ".join(label.split())) for label in labels]
    names = [category.all_names for category in categories]
    owner = np.repeat(np.arange(len(categories)), [len(own) for own in names])
    related = _mentioned([" ".join(label.replace("_", " ").split()) for label in labels], categories, categories)
    reverse = _mentioned([name for own in names for name in own], as_category, categories)
    for k in range(len(categories)):
        related[:, k] |= reverse[owner == k].any(axis=0)
    return related


def _mentioned(texts: Sequence[str], categories: Sequence[Category], as_in: Sequence[Category]) -> NDArray[np.bool_]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return mentioned(texts, categories, as_in).astype(bool)
        except InvalidInputError:  # names that no text can tell apart
            columns = [_alone(texts, category, as_in) for category in categories]
            return np.stack(columns, axis=1)


def _alone(texts: Sequence[str], category: Category, as_in: Sequence[Category]) -> NDArray[np.bool_]:
    try:
        return mentioned(texts, [category], as_in)[:, 0].astype(bool)
    except InvalidInputError:  # a name without letters
        return np.zeros(len(texts), dtype=bool)
