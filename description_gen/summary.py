"""What is in a dataset of labeled sentences, and how good it is."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError

from .dataset import categories_of, dropped_shares, knowledge_of, multi_hot
from .label_column import check_texts, names_in
from .tokens import tokens

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from .categories import Category
    from .knowledge import Knowledge

Bigram = tuple[str, str]

ASKED = "asked"  # the column that says which categories a sentence was asked to name
TOP = 5  # categories that are listed as seen with another
RESEMBLANCE = 0.5  # from which two sentences are near-duplicates
MOST_COMPARED = 10_000  # sentences; formulaic ones take a time that grows with the square of their number


@dataclass(frozen=True)
class CategorySummary:
    """What the sentences and the language model say of one category.

    Attributes:
        name: its name.
        sentences: sentences that mention it.
        asked: sentences that were asked to mention it; None where the dataset doesn't say.
        naming_all: share of those that mention every category they were asked to; None where there are none.
        scenes: where it is seen, as the language model said.
        co_occurrence: the up to five categories most often seen with it and their weights, as the language model said.
        in_sentences: the up to five categories mentioned with it most often, and in how many sentences.
    """

    name: str
    sentences: int
    asked: int | None
    naming_all: float | None
    scenes: list[str]
    co_occurrence: dict[str, float]
    in_sentences: dict[str, int]


@dataclass(frozen=True)
class TextsSummary:
    """What is in a dataset of labeled sentences, and how good it is.

    Attributes:
        sentences: how many there are.
        model: the language model that wrote them; None where the dataset doesn't say.
        naming_all: share of the sentences that mention every category they were asked to; None where the dataset
            doesn't say what was asked.
        distinct_2: distinct pairs of consecutive words, divided by the number of words (Li et al. 2016, "A
            Diversity-Promoting Objective Function for Neural Conversation Models", section 5). More sentences have
            lower values: compare equally many.
        repeats: share of the first 10,000 sentences that are near-duplicates of an earlier one: of the distinct pairs
            of consecutive words that the two have, they share at least half (the resemblance of Broder et al. 1997,
            "Syntactic Clustering of the Web"). In sentences of twelve words about one word differs.
        dropped: why -> share of what the language model wrote that was dropped for it; None where that was not counted.
        categories: a summary of each, in the order of the labels.

    Example:
        >>> from wordsight import TextsSummary, load_texts, texts_summary
        >>> summary = texts_summary(load_texts("my-texts")[0])
        >>> isinstance(summary, TextsSummary), summary.sentences == len(load_texts("my-texts")[0])
        (True, True)
        >>> summary.to_dict()["categories"][0]["co_occurrence"]
        {'dog': 0.9}
    """

    sentences: int
    model: str | None
    naming_all: float | None
    distinct_2: float
    repeats: float
    dropped: dict[str, float] | None
    categories: list[CategorySummary]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as can be written as JSON."""
        return asdict(self)

    @property
    def dropped_in_words(self) -> str:
        """The reasons with their shares, the most frequent first."""
        if self.dropped is None:
            return "not counted"
        reasons = sorted(self.dropped.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{reason} {percent(share)}" for reason, share in reasons) or "nothing"


def percent(share: float | None) -> str:
    """A share in percent; a hyphen where there is none.

    Example:
        >>> percent(0.874), percent(0.002), percent(None)
        ('87%', '0.2%', '-')
    """
    return "-" if share is None else f"{100 * share:.{1 if 0 < share < 0.01 else 0}f}%"


def texts_summary(texts: Dataset | DatasetDict) -> TextsSummary:
    """What is in a dataset of labeled sentences, and how good it is.

    Args:
        texts: from `generate_texts` or `load_texts`, or any with `text`, `labels` and categories that it knows; of
            several splits, all are taken.

    Raises:
        InvalidInputError: it has no sentences, a column is missing, or it doesn't say what its labels stand for.

    Example:
        >>> from wordsight import label_texts, texts_summary
        >>> captions = label_texts(["A cat on a mat.", "A cat on a sofa.", "A dog and a cat."], ["cat", "dog"])
        >>> summary = texts_summary(captions)
        >>> round(summary.distinct_2, 2), round(summary.repeats, 2), summary.dropped
        (0.53, 0.33, None)
        >>> summary.categories[1].sentences, summary.categories[1].in_sentences
        (1, {'cat': 1})
    """
    splits = list(texts.values()) if isinstance(texts, dict) else [texts]
    if not sum(map(len, splits)):
        raise InvalidInputError("The dataset has no sentences. Pass one that `generate_texts` or `load_texts` gave.")
    categories = categories_of(splits[0]) or names_in(splits[0])
    if categories is None:
        raise InvalidInputError(
            "The dataset doesn't say what its labels stand for. Attach that with `with_categories(dataset, "
            "categories)`, or pass what `load_texts` gave."
        )
    labels = np.concatenate([multi_hot(split, categories) for split in splits])
    sentences = [tokens(text) for split in splits for text in check_texts(split)]
    compared = sentences[:MOST_COMPARED]
    knowledge = knowledge_of(splits[0])
    asked = _asked(splits, categories)
    named = None if asked is None else np.asarray((labels >= asked).all(axis=1))
    return TextsSummary(
        sentences=len(sentences),
        model=knowledge.model if knowledge else None,
        naming_all=None if asked is None or named is None else _mean(named[asked.any(axis=1)]),
        distinct_2=distinct_2(sentences),
        repeats=count_repeats(compared) / len(compared),
        dropped=dropped_shares(splits[0]),
        categories=_categories(categories, knowledge, labels, asked, named),
    )


def _asked(splits: Sequence[Dataset], categories: Sequence[Category]) -> NDArray[np.int8] | None:
    """(N, K): which categories were asked for; None where a split doesn't say."""
    if any(ASKED not in split.column_names for split in splits):
        return None
    number = {name.casefold(): index for index, category in enumerate(categories) for name in category.all_names}
    rows = [names for split in splits for names in split[ASKED]]
    asked = np.zeros((len(rows), len(categories)), dtype=np.int8)
    for row, names in enumerate(rows):
        asked[row, [number[name.casefold()] for name in names or () if name.casefold() in number]] = 1
    return asked


def _categories(
    categories: Sequence[Category],
    knowledge: Knowledge | None,
    labels: NDArray[np.int8],
    asked: NDArray[np.int8] | None,
    named: NDArray[np.bool_] | None,
) -> list[CategorySummary]:
    names = [category.name for category in categories]
    together = labels.T.astype(np.int64) @ labels
    summaries = []
    for index, name in enumerate(names):
        rows = None if asked is None else asked[:, index] == 1
        counts = {other: int(count) for other, count in zip(names, together[index], strict=True) if other != name}
        summaries.append(
            CategorySummary(
                name=name,
                sentences=int(together[index, index]),
                asked=None if rows is None else int(rows.sum()),
                naming_all=None if rows is None or named is None else _mean(named[rows]),
                scenes=list(knowledge.scenes.get(name, [])) if knowledge else [],
                co_occurrence=_top(knowledge.co_occurrence.get(name, {}) if knowledge else {}),
                in_sentences=_top(counts),
            )
        )
    return summaries


def _top(weights: dict[str, Any]) -> dict[str, Any]:
    ranked = sorted(weights.items(), key=lambda pair: -pair[1])
    return {name: weight for name, weight in ranked[:TOP] if weight > 0}


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def distinct_2(sentences: Sequence[Sequence[str]]) -> float:
    """Distinct pairs of consecutive words, divided by the number of words (Li et al. 2016).

    Args:
        sentences: each as its words.
    """
    total = sum(map(len, sentences))
    return len({pair for words in sentences for pair in pairwise(words)}) / total if total else 0.0


def count_repeats(sentences: Sequence[Sequence[str]]) -> int:
    """How many sentences would go if each near-duplicate of one that stays were removed, in their order.

    Args:
        sentences: each as its words.
    """
    found = [frozenset(pairwise(words)) for words in sentences]
    frequency = Counter(pair for pairs in found for pair in pairs)
    holders: defaultdict[Bigram, list[frozenset[Bigram]]] = defaultdict(list)
    repeats = 0
    for pairs in found:
        # Two sets that share enough have at least one of so many of each one's rarest in common (prefix filtering,
        # Bayardo et al. 2007): without it, all pairs of sentences would have to be compared.
        number = len(pairs) - math.ceil(RESEMBLANCE * len(pairs)) + 1
        rarest = sorted(pairs, key=lambda pair: (frequency[pair], pair))[:number]
        if any(_resemblance(pairs, other) >= RESEMBLANCE for pair in rarest for other in holders[pair]):
            repeats += 1
            continue
        for pair in rarest:
            holders[pair].append(pairs)
    return repeats


def _resemblance(one: frozenset[Bigram], other: frozenset[Bigram]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
