"""Which categories a sentence really mentions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError, MissingDependencyError

from .categories import Category

try:
    import simplemma
except ImportError as error:
    raise MissingDependencyError("Labeling texts needs simplemma. Run `pip install 'wordsight[generate]'`.") from error

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
POSSESSIVE = re.compile(r"['\u2019]s?$")
# Scripts that are written without spaces: names in them are found as they stand.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Words whose lemma would make a thing of an act: "building" and "trained" are no build and no train.
VERBAL = ("ing", "ed")
NOT_A_CATEGORY = -1
Words = tuple[str, ...]


@dataclass(frozen=True)
class _Name:
    """What is looked for in a sentence.

    Attributes:
        lemmas: its words, as singulars.
        index: the category's number.
        written: where several categories have these lemmas ("glass", "glasses"), the words as each is written.
    """

    lemmas: Words
    index: int
    written: dict[Words, int]


class SentenceLabeler:
    """Finds category names and synonyms in sentences: longest match first, whatever the number, case and hyphens.

    Names that are forms of one word ("glass" and "glasses") are found as they are written.

    Args:
        categories: the K categories.

    Raises:
        InvalidInputError: two categories have names that differ in nothing but case, hyphens and spaces.

    Example:
        >>> labeler = SentenceLabeler([Category("dog"), Category("wine glass"), Category("cup", ("mug",))])
        >>> labeler.label("Two dogs eat a hot dog beside wine-glasses.").tolist()
        [1, 1, 0]
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self.num_categories = len(categories)
        self._by_first: dict[str, list[_Name]] = {}
        self._unspaced: list[tuple[str, int]] = []
        for name in _names(categories):
            self._by_first.setdefault(name.lemmas[0], []).append(name)
        for candidates in self._by_first.values():
            candidates.sort(key=lambda candidate: -len(candidate.lemmas))
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
        written = words(sentence)
        lemmas = [_lemma(word) for word in written]
        position = 0
        while position < len(lemmas):
            for candidate in self._by_first.get(lemmas[position], ()):
                end = position + len(candidate.lemmas)
                if tuple(lemmas[position:end]) == candidate.lemmas:
                    index = candidate.written.get(tuple(written[position:end]), candidate.index)
                    if index != NOT_A_CATEGORY:
                        labels[index] = 1
                    position = end
                    break
            else:
                position += 1
        return labels

    def label_batch(self, sentences: Iterable[str]) -> NDArray[np.int8]:
        """Multi-hot (N, K) of N sentences."""
        rows = [self.label(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.num_categories), dtype=np.int8)


def words(text: str) -> list[str]:
    """A text's words in lower case; possessives and hyphens are gone."""
    return [POSSESSIVE.sub("", word) for word in WORD.findall(text.casefold())]


@lru_cache(maxsize=1 << 16)
def _lemma(word: str) -> str:
    return word if word.endswith(VERBAL) else simplemma.lemmatize(word, lang="en").casefold()


def _names(categories: Sequence[Category]) -> list[_Name]:
    """All names and synonyms, and the compounds that are none; says of names that share their lemmas."""
    found: dict[Words, dict[Words, tuple[int, str]]] = {}
    for index, category in enumerate(categories):
        for name in category.all_names:
            written = tuple(words(name))
            forms = found.setdefault(tuple(map(_lemma, written)), {})
            other, other_name = forms.setdefault(written, (index, name))
            if written and other != index:
                raise InvalidInputError(
                    f"{other_name!r} (of {categories[other].name!r}) and {name!r} (of {category.name!r}) can't be told "
                    "apart in a sentence. Remove one, or use other words."
                )
    found.pop((), None)  # names without a letter or digit
    for compound in _compounds():
        written = tuple(words(compound))
        found.setdefault(tuple(map(_lemma, written)), {written: (NOT_A_CATEGORY, compound)})
    names = []
    for lemmas, forms in found.items():
        indices = {written: index for written, (index, _) in forms.items()}
        several = len(set(indices.values())) > 1
        if several:
            quoted = " and ".join(repr(name) for _, name in forms.values())
            warnings.warn(
                f"{quoted} are forms of one word, in different categories: a sentence is labeled by the form that it "
                "uses. If they mean the same, make one a synonym of the other.",
                stacklevel=3,
            )
        # A form that no category has ("glass's" of "glasses") counts for the one named by the lemma itself.
        index = indices.get(lemmas, next(iter(indices.values())))
        names.append(_Name(lemmas, index, indices if several else {}))
    return names


@cache
def _compounds() -> list[str]:
    compounds: list[str] = yaml.safe_load((files(__package__) / "compounds.yaml").read_text(encoding="utf-8"))
    return compounds
