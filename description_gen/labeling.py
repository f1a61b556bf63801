"""Which categories a sentence really mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import simplemma
import yaml
from numpy.typing import NDArray

from .categories import Category

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
POSSESSIVE = re.compile(r"['\u2019]s?$")
# Scripts that are written without spaces: names in them are found as they stand.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Words whose lemma would make a thing of an act: "building" and "trained" are no build and no train.
VERBAL = ("ing", "ed")
NOT_A_CATEGORY = -1


class SentenceLabeler:
    """Finds category names and synonyms in sentences: longest match first, whatever the number, case and hyphens.

    Args:
        categories: the K categories.

    Example:
        >>> labeler = SentenceLabeler([Category("dog"), Category("wine glass"), Category("cup", ("mug",))])
        >>> labeler.label("Two dogs eat a hot dog beside wine-glasses.").tolist()
        [1, 1, 0]
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self.num_categories = len(categories)
        self._by_first: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        self._unspaced: list[tuple[str, int]] = []
        names = {tuple(lemmas(name)): index for index, category in enumerate(categories) for name in category.all_names}
        for compound in _compounds():
            names.setdefault(tuple(lemmas(compound)), NOT_A_CATEGORY)
        for words, index in names.items():
            if words:
                self._by_first.setdefault(words[0], []).append((words, index))
        for candidates in self._by_first.values():
            candidates.sort(key=lambda candidate: -len(candidate[0]))
        for index, category in enumerate(categories):
            self._unspaced += [(name, index) for name in category.all_names if UNSPACED.search(name)]
        self._unspaced.sort(key=lambda pair: -len(pair[0]))

    def label(self, sentence: str) -> NDArray[np.int8]:
        """Multi-hot (K,) of the categories that the sentence mentions."""
        labels = np.zeros(self.num_categories, dtype=np.int8)
        if self._unspaced and UNSPACED.search(sentence):
            for name, index in self._unspaced:
                if name in sentence:
                    labels[index] = 1
                    sentence = sentence.replace(name, " ")
        words = lemmas(sentence)
        position = 0
        while position < len(words):
            for candidate, index in self._by_first.get(words[position], ()):
                if tuple(words[position : position + len(candidate)]) == candidate:
                    if index != NOT_A_CATEGORY:
                        labels[index] = 1
                    position += len(candidate)
                    break
            else:
                position += 1
        return labels

    def label_batch(self, sentences: Iterable[str]) -> NDArray[np.int8]:
        """Multi-hot (N, K) of N sentences."""
        rows = [self.label(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.num_categories), dtype=np.int8)


def lemmas(text: str) -> list[str]:
    """A text's words as singular, lower-case forms; possessives and hyphens are gone."""
    return [_lemma(word) for word in WORD.findall(text.casefold())]


@lru_cache(maxsize=1 << 16)
def _lemma(word: str) -> str:
    word = POSSESSIVE.sub("", word)
    return word if word.endswith(VERBAL) else simplemma.lemmatize(word, lang="en").casefold()


@cache
def _compounds() -> list[str]:
    compounds: list[str] = yaml.safe_load((files(__package__) / "compounds.yaml").read_text(encoding="utf-8"))
    return compounds
