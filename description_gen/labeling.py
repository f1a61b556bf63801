"""Which categories a sentence really mentions."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError

from .categories import Category
from .languages import ENGLISH, check_language, detect_language
from .tokens import UNSPACED
from .unspaced import UnspacedNames
from .word_forms import Forms, WordForms, normalize

NOT_A_CATEGORY = -1
Words = tuple[str, ...]


@dataclass(frozen=True)
class _Name:
    """What is looked for in a sentence.

    Attributes:
        forms: of each of its words, by any of which it is found.
        index: the category's number.
        written: where several categories have the same lemmas ("glass", "glasses"), the words as each is written.
    """

    forms: tuple[Forms, ...]
    index: int
    written: dict[Words, int]


class SentenceLabeler:
    """Finds category names and synonyms in sentences: longest match first, whatever the number, case and hyphens.

    Words are compared by their lemmas in languages that simplemma knows, without their particles in Korean, without
    articles and prepositions that are written with them in Arabic and French; in German, Dutch and Korean a compound
    counts by its last part ("Hauskatze" is a "Katze"). Names in Chinese, Japanese or Thai are found as they are
    written. Names that are forms of one word ("glass" and "glasses") are found as they are written, too.

    Args:
        categories: the K categories.
        language: of the names, as one of `LANGUAGES`; by default found from them.

    Raises:
        InvalidInputError: two categories have names that differ in nothing but case, hyphens and spaces, a category has
            no name with a letter or digit, or the language is not known.

    Example:
        >>> labeler = SentenceLabeler([Category("dog"), Category("wine glass"), Category("cup", ("mug",))])
        >>> labeler.label("Two dogs eat a hot dog beside wine-glasses.").tolist()
        [1, 1, 0]
    """

    def __init__(self, categories: Sequence[Category], language: str | None = None) -> None:
        self.num_categories = len(categories)
        self.language = check_language(language) or detect_language(categories)
        self._forms = WordForms(self.language)
        self._by_first: dict[str, list[_Name]] = {}
        for name in _names(categories, self._forms, _compounds(self.language)):
            for form in name.forms[0]:
                self._by_first.setdefault(form, []).append(name)
        for candidates in self._by_first.values():
            candidates.sort(key=lambda candidate: -len(candidate.forms))
        self._firsts = frozenset(self._by_first)
        self._unspaced = UnspacedNames(_unspaced_names(categories))

    def label(self, sentence: str) -> NDArray[np.int8]:
        """Multi-hot (K,) of the categories that the sentence mentions."""
        labels = np.zeros(self.num_categories, dtype=np.int8)
        if not sentence.isascii() and UNSPACED.search(sentence):
            found, sentence = self._unspaced.find(normalize(sentence).casefold())
            labels[[index for index in found if index != NOT_A_CATEGORY]] = 1
            sentence = UNSPACED.sub(" ", sentence)  # "两只dogs"
        written = self._forms.split(sentence)
        forms = [*map(self._forms.of_word, written)]
        end = 0
        for position, own in enumerate(forms):
            if position < end or self._firsts.isdisjoint(own) or not (name := self._longest(forms, position)):
                continue
            end = position + len(name.forms)
            index = name.index
            if name.written:
                index = name.written.get(tuple(map(self._forms.lower, written[position:end])), index)
            if index != NOT_A_CATEGORY:
                labels[index] = 1
        return labels

    def _longest(self, forms: list[Forms], position: int) -> _Name | None:
        """The longest name that begins at a position; of equally long ones that by the surest form."""
        longest: _Name | None = None
        for form in forms[position]:
            for candidate in self._by_first.get(form, ()):
                if longest is not None and len(candidate.forms) <= len(longest.forms):
                    break
                if len(candidate.forms) == 1:
                    longest = candidate
                    break
                rest = forms[position + 1 : position + len(candidate.forms)]
                if len(rest) == len(candidate.forms) - 1 and all(
                    not set(own).isdisjoint(theirs) for own, theirs in zip(candidate.forms[1:], rest, strict=True)
                ):
                    longest = candidate
                    break
        return longest

    def label_batch(self, sentences: Iterable[str]) -> NDArray[np.int8]:
        """Multi-hot (N, K) of N sentences."""
        rows = [self.label(sentence) for sentence in sentences]
        return np.stack(rows) if rows else np.zeros((0, self.num_categories), dtype=np.int8)


def _names(categories: Sequence[Category], forms: WordForms, compounds: Sequence[str]) -> list[_Name]:
    """All names and synonyms, and the compounds that are none; says of names that share their lemmas."""
    found: dict[Words, dict[Words, tuple[int, str]]] = {}
    of_lemmas: dict[Words, tuple[Forms, ...]] = {}

    def parts(name: str) -> tuple[Words, Words]:
        """A name's words as they are written, and their lemmas."""
        split = forms.split(name)
        in_forms = tuple(map(forms.of_name, split))
        lemmas = tuple(own[0] for own in in_forms)
        of_lemmas[lemmas] = tuple(
            tuple(dict.fromkeys(known + own))
            for known, own in zip(of_lemmas.get(lemmas, ((),) * len(lemmas)), in_forms, strict=True)
        )
        return tuple(map(forms.lower, split)), lemmas

    for index, category in enumerate(categories):
        for name in category.all_names:
            written, lemmas = parts(name)
            same = found.setdefault(lemmas, {})
            other, other_name = same.setdefault(written, (index, name))
            if written and other != index:
                raise InvalidInputError(
                    f"{other_name!r} (of {categories[other].name!r}) and {name!r} (of {category.name!r}) can't be told "
                    "apart in a sentence. If they mean the same, make one a synonym of the other; else use other words."
                )
        if not any(map(forms.split, category.all_names)):
            raise InvalidInputError(
                f"{category.name!r} has no letter or digit, so that no sentence can be seen to mention it. Give it a "
                f"synonym in words, as in '{category.name}, smiling face'."
            )
    found.pop((), None)  # synonyms without a letter or digit
    for compound in compounds:
        written, lemmas = parts(compound)
        found.setdefault(lemmas, {written: (NOT_A_CATEGORY, compound)})
    names = []
    for lemmas, same in found.items():
        indices = {written: index for written, (index, _) in same.items()}
        several = len(set(indices.values())) > 1
        if several:
            quoted = " and ".join(repr(name) for _, name in same.values())
            warnings.warn(
                f"{quoted} are forms of one word, in different categories: a sentence is labeled by the form that it "
                "uses. If they mean the same, make one a synonym of the other.",
                stacklevel=3,
            )
        # A form that no category has ("glass's" of "glasses") counts for the one named by the lemma itself.
        index = indices.get(lemmas, next(iter(indices.values())))
        names.append(_Name(of_lemmas[lemmas], index, indices if several else {}))
    return names


def _unspaced_names(categories: Sequence[Category]) -> dict[str, int]:
    """Names in scripts without spaces, and the compounds that hold one and are none."""
    names: dict[str, int] = {}
    for index, category in enumerate(categories):
        for name in filter(UNSPACED.search, map(normalize, category.all_names)):
            names.setdefault(name.casefold(), index)
    compounds = [normalize(compound) for code in ("zh", "ja", "th") for compound in _all_compounds()[code]]
    held = {compound: NOT_A_CATEGORY for compound in compounds if any(name in compound for name in names)}
    return held | names


def _compounds(language: str) -> list[str]:
    """Compounds of words, in English and in a language."""
    known = _all_compounds()
    return [*known[ENGLISH], *(known.get(language, []) if language != ENGLISH else [])]


@cache
def _all_compounds() -> dict[str, list[str]]:
    compounds: dict[str, list[str]] = yaml.safe_load(
        (files(__package__) / "compounds.yaml").read_text(encoding="utf-8")
    )
    return compounds
