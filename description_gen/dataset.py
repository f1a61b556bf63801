"""Labeled sentences as `datasets.Dataset`s: whatever a person has, read into texts and multi-hot labels.

Light to import: `datasets` is loaded when a function is called.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.files import KNOWLEDGE

from .categories import Category, as_categories
from .knowledge import Knowledge
from .label_column import (
    LABELS,
    TEXT,
    categories_of,
    check_texts,
    dropped_of,
    dropped_shares,
    metadata_of,
    multi_hot,
    names_in,
    with_dropped,
    with_metadata,
)
from .sources import open_source

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = [
    "KNOWLEDGE",
    "Knowledge",
    "categories_of",
    "dropped_of",
    "dropped_shares",
    "knowledge_of",
    "label_texts",
    "load_texts",
    "multi_hot",
    "normalize_texts",
    "note_published",
    "published_as",
    "read_texts",
    "train_validation_split",
    "with_categories",
    "with_dropped",
    "with_knowledge",
]

PUBLISHED = "hub.json"  # under which name sentences are on the Hub
VALIDATION_SHARE = 0.1


def with_categories(dataset: Dataset, categories: Sequence[Category | str]) -> Dataset:
    """A copy of a dataset that knows the categories of its labels.

    They are kept in `dataset.info.description`, which `select`, `map`, `train_test_split` and `save_to_disk` carry
    along. Parquet files don't carry it; a dataset repository does, in the `dataset_info` of its card.

    Args:
        dataset: the dataset.
        categories: the K categories, in the order of the labels.
    """
    return with_metadata(dataset, {"categories": [category.to_dict() for category in as_categories(categories)]})


def with_knowledge(dataset: Dataset, knowledge: Knowledge) -> Dataset:
    """A copy of a dataset that knows its categories and what a language model said about them.

    Args:
        dataset: the dataset.
        knowledge: of the K categories, in the order of the labels.
    """
    counts = dropped_of(dataset)
    known = with_metadata(dataset, knowledge.to_dict())
    return known if counts is None else with_dropped(known, counts)


def knowledge_of(dataset: Dataset) -> Knowledge | None:
    """What a language model said about a dataset's categories, where the dataset knows it.

    Args:
        dataset: from `generate_texts`, `load_texts` or `with_knowledge`, or made from such a dataset.
    """
    content = metadata_of(dataset)
    return Knowledge.from_dict(content) if content is not None and "model" in content else None


def load_texts(path: Path | str) -> tuple[Dataset, Knowledge]:
    """Reads what `generate_texts` or `wordsight describe` wrote.

    Args:
        path: the folder.

    Returns:
        All sentences, as one dataset, and what the language model said about the categories.

    Raises:
        InvalidInputError: the folder was not written by `generate_texts`, or is damaged.

    Example:
        >>> from wordsight import load_texts
        >>> texts, knowledge = load_texts("my-texts")
        >>> len(texts[0]["labels"]) == len(knowledge.categories)
        True
    """
    from datasets import Dataset, load_from_disk

    path = Path(path)
    if not (path / KNOWLEDGE).is_file():
        raise InvalidInputError(
            f"{path} is not a folder of sentences ({KNOWLEDGE} is missing). Write one with `wordsight describe --out "
            f"{path}`."
        )
    knowledge = Knowledge.load(path / KNOWLEDGE)
    try:
        dataset = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"The sentences in {path} can't be read: {error}. Run `wordsight describe` again; its answers are kept."
        ) from error
    if not isinstance(dataset, Dataset) or (missing := {TEXT, LABELS} - set(dataset.column_names)):
        missing = {TEXT, LABELS} if not isinstance(dataset, Dataset) else missing
        raise InvalidInputError(f"The sentences in {path} have no column {', '.join(sorted(missing))}.")
    if len(dataset) and len(dataset[0][LABELS]) != len(knowledge.categories):
        raise InvalidInputError(
            f"The labels in {path} are {len(dataset[0][LABELS])} long, but {KNOWLEDGE} names "
            f"{len(knowledge.categories)} categories. Run `wordsight describe` again."
        )
    return with_knowledge(dataset, knowledge), knowledge


def read_texts(source: Dataset | DatasetDict | Path | str, split: str = "train") -> tuple[str, Dataset]:
    """Reads texts from wherever they are, with all their columns and what a language model said of their categories.

    Args:
        source: see `normalize_texts`.
        split: the split to take where there are several.

    Returns:
        How messages call the source, and the dataset.
    """
    place, dataset, knowledge_path = open_source(source, split)
    if knowledge_path is not None and knowledge_of(dataset) is None:
        beside = Knowledge.load(knowledge_path)
        if categories_of(dataset) in (None, beside.categories):
            dataset = with_knowledge(dataset, beside)
    return place, dataset


def normalize_texts(
    source: Dataset | DatasetDict | Path | str,
    categories: Sequence[Category | str] | None = None,
    *,
    split: str = "train",
) -> tuple[Dataset, list[Category]]:
    """Reads labeled texts from wherever they are: two columns, `text` and multi-hot `labels` (int8, K).

    `labels` may be multi-hot, `Sequence(ClassLabel)`, lists of names (of categories or their synonyms), or one
    `ClassLabel` or name a row.

    Args:
        source: a `Dataset` or `DatasetDict`; a folder that `generate_texts` or `save_to_disk` wrote; a file (.jsonl,
            .json, .csv or .parquet); or a dataset's id on the Hub.
        categories: the K categories, in the order wanted. By default those that the dataset knows, or, where labels
            are names, all names in alphabetical order.
        split: the split to take where there are several.

    Returns:
        The dataset, which knows its categories (`categories_of`), and the categories.

    Raises:
        InvalidInputError: the source can't be read, a column is missing, or a row can't be used; names it.

    Example:
        >>> from datasets import Dataset
        >>> captions = Dataset.from_dict({"text": ["A cat and a dog.", "A dog."], "labels": [["cat", "dog"], ["dog"]]})
        >>> texts, categories = normalize_texts(captions)
        >>> texts[1], [category.name for category in categories]
        ({'text': 'A dog.', 'labels': [0, 1]}, ['cat', 'dog'])
    """
    from datasets import Dataset, Features, List, Value

    place, dataset = read_texts(source, split)
    texts = check_texts(dataset, place)
    if LABELS not in dataset.column_names:
        raise InvalidInputError(
            f"{place} has no column {LABELS!r}, only {', '.join(dataset.column_names)}. Make one with "
            "`label_texts(dataset, categories)`, or rename yours."
        )
    known = as_categories(categories) if categories is not None else categories_of(dataset) or names_in(dataset)
    if known is None:
        raise InvalidInputError(
            f"{place} doesn't say what its labels stand for. Pass `categories=`, or attach them with "
            "`with_categories(dataset, categories)`."
        )
    labels = multi_hot(dataset, known, place)
    features = Features({TEXT: Value("string"), LABELS: List(Value("int8"), length=len(known))})
    normalized = Dataset.from_dict({TEXT: texts, LABELS: labels.tolist()}, features=features)
    knowledge = knowledge_of(dataset)
    if knowledge is not None and knowledge.categories == known:
        return with_knowledge(normalized, knowledge), known
    return with_categories(normalized, known), known


def label_texts(
    dataset: Dataset | DatasetDict | Sequence[str],
    categories: Sequence[Category | str],
    *,
    language: str | None = None,
) -> Dataset | DatasetDict:
    """Labels your own texts by the categories that they mention.

    Names and synonyms are found whatever their number, case and hyphens, in any language (see `SentenceLabeler`). A
    text that mentions no category gets labels that are all 0.

    Args:
        dataset: a `Dataset` or `DatasetDict` with a column `text`, or a list of strings.
        categories: the K categories, as `Category` or as strings ("cup, mug": a name and its synonyms).
        language: of the names: "en", "de", "zh", ...; by default found from them.

    Returns:
        The same with a column `labels` (multi-hot, K) that knows the categories; one that was there is replaced.

    Raises:
        InvalidInputError: there is no column `text`, a text is empty, the language is not known, or no text mentions
            any category.

    Example:
        >>> from wordsight import label_texts
        >>> label_texts(["Two cats.", "A mug beside a cat."], ["cat", "cup, mug"]).to_dict()
        {'text': ['Two cats.', 'A mug beside a cat.'], 'labels': [[1, 0], [1, 1]]}
    """
    from datasets import Dataset, DatasetDict

    known = as_categories(categories)
    if isinstance(dataset, DatasetDict):
        parts = {name: _labeled(part, known, f"The split {name!r}", language) for name, part in dataset.items()}
    else:
        whole = dataset if isinstance(dataset, Dataset) else Dataset.from_dict({TEXT: list(dataset)})
        parts = {"": _labeled(whole, known, "The dataset", language)}
    counts = np.sum([np.sum(multi_hot(part, known), axis=0) for part in parts.values()], axis=0)
    silent = [category.name for category, count in zip(known, counts, strict=True) if not count]
    if len(silent) == len(known):
        example = next((text for part in parts.values() for text in part[TEXT]), "")
        raise InvalidInputError(
            f"No text mentions any of the {len(known)} categories. The first text is {example[:80]!r}. Use the words "
            "of your texts as names, or as synonyms ('cup, mug')."
        )
    if silent:
        warnings.warn(f"No text mentions {', '.join(silent)}. Add synonyms or more texts.", stacklevel=2)
    return DatasetDict(parts) if isinstance(dataset, DatasetDict) else parts[""]


def mentioned(texts: Sequence[str], categories: Sequence[Category], as_in: Sequence[Category]) -> NDArray[np.int8]:
    """Multi-hot (N, K) of the categories that N texts mention.

    Args:
        texts: N texts.
        categories: the K categories.
        as_in: categories whose language it is.

    Raises:
        InvalidInputError: no text can tell two of the categories apart.
    """
    from .labeling import SentenceLabeler
    from .languages import detect_language

    return SentenceLabeler(categories, detect_language(as_in)).label_batch(texts)


def _labeled(dataset: Dataset, categories: list[Category], place: str, language: str | None) -> Dataset:
    from datasets import List, Value

    from .labeling import SentenceLabeler

    labels = SentenceLabeler(categories, language).label_batch(check_texts(dataset, place))
    if LABELS in dataset.column_names:
        dataset = dataset.remove_columns(LABELS)
    feature = List(Value("int8"), length=len(categories))
    return with_categories(dataset.add_column(LABELS, labels.tolist(), feature=feature), categories)


def train_validation_split(dataset: Dataset, share: float = VALIDATION_SHARE, seed: int = 0) -> DatasetDict:
    """Splits a dataset into "train" and "validation"; the same seed gives the same split.

    Args:
        dataset: N rows, at least 2.
        share: share of the rows to hold out; at least one row is.
        seed: seed of the split.
    """
    from datasets import DatasetDict

    # Not by train_test_split: it writes the order of a dataset on disk beside it, into the folder of the sentences.
    order = np.random.default_rng(seed).permutation(len(dataset))
    held_out = max(1, round(len(dataset) * share))
    return DatasetDict(
        train=dataset.select(sorted(order[held_out:])), validation=dataset.select(sorted(order[:held_out]))
    )


def note_published(folder: Path, repo_id: str) -> None:
    """Keeps the name of the dataset repository that holds the sentences of a folder, so that models can link to it."""
    (folder / PUBLISHED).write_text(json.dumps({"dataset": repo_id}) + "\n", encoding="utf-8")


def published_as(folder: Path) -> dict[str, str]:
    """`{"dataset": "user/name"}`, or nothing where the sentences were not pushed."""
    path = folder / PUBLISHED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
