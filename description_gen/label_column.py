"""The columns of labeled texts: which categories the labels stand for, and labels of any kind as multi-hot."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import InvalidInputError, shortened

from .categories import Category

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import ClassLabel, Dataset

TEXT, LABELS = "text", "labels"
DROPPED, WRITTEN = "dropped", "written"  # in the metadata
KINDS = (
    "multi-hot lists (0 or 1 for each category), Sequence(ClassLabel), lists of category names, or one ClassLabel or "
    "name a row"
)


def with_metadata(dataset: Dataset, content: dict[str, Any]) -> Dataset:
    """A copy of a dataset whose description has one more line: JSON that holds at least `categories`.

    Args:
        dataset: the dataset.
        content: what can be written as JSON; replaces what an earlier call wrote.
    """
    dataset = copy.deepcopy(dataset)  # as `datasets` itself copies; the data are shared
    lines = [line for line in (dataset.info.description or "").split("\n") if _parsed(line) is None]
    text = "\n".join(lines).strip()
    line = json.dumps(content, ensure_ascii=False)
    dataset.info.description = f"{text}\n\n{line}" if text else line
    return dataset


def metadata_of(dataset: Dataset) -> dict[str, Any] | None:
    """What `with_metadata` wrote; None where it wrote nothing, or where datasets of different categories were joined.

    Args:
        dataset: the dataset.
    """
    lines = (dataset.info.description or "").split("\n")
    found = sorted(filter(None, map(_parsed, lines)), key=len, reverse=True)  # the one that says most comes first
    same = all(content["categories"] == found[0]["categories"] for content in found)
    return found[0] if found and same else None


def _parsed(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if "categories" in content else None


def categories_of(dataset: Dataset) -> list[Category] | None:
    """The categories that a dataset's labels stand for, or None where it doesn't say.

    Args:
        dataset: its `labels` hold a `ClassLabel`, or `with_categories` was called on it.
    """
    if LABELS in dataset.column_names and (label := _class_label(dataset)) is not None:
        return [Category(name) for name in label.names]
    content = metadata_of(dataset)
    return None if content is None else [Category.from_dict(category) for category in content["categories"]]


def with_dropped(dataset: Dataset, dropped: Mapping[str, int]) -> Dataset:
    """A copy of a dataset that knows how many sentences of the language model are not in it.

    Args:
        dataset: all that was kept; knows its categories.
        dropped: why -> how many.
    """
    written = len(dataset) + sum(dropped.values())
    return with_metadata(dataset, {**(metadata_of(dataset) or {}), DROPPED: dict(dropped), WRITTEN: written})


def dropped_of(dataset: Dataset) -> dict[str, int] | None:
    """How many sentences were dropped, by reason; None where that was not counted, as before version 0.3.

    Args:
        dataset: from `generate_texts`, `load_texts`, or `load_dataset` with what `wordsight push-texts` published.
    """
    return (metadata_of(dataset) or {}).get(DROPPED)


def dropped_shares(dataset: Dataset) -> dict[str, float] | None:
    """`dropped_of` as shares of all sentences that the language model wrote, also for a part of the dataset.

    Args:
        dataset: as for `dropped_of`.
    """
    known = metadata_of(dataset) or {}
    return {why: count / known[WRITTEN] for why, count in known[DROPPED].items()} if DROPPED in known else None


def _inner(dataset: Dataset) -> tuple[Any, bool]:
    """The feature of a label, and whether a row has a list of them."""
    from datasets import LargeList, List

    feature = dataset.features[LABELS]
    is_list = isinstance(feature, List | LargeList)
    return (feature.feature if is_list else feature), is_list


def _class_label(dataset: Dataset) -> ClassLabel | None:
    from datasets import ClassLabel

    inner, _ = _inner(dataset)
    return inner if isinstance(inner, ClassLabel) else None


def names_in(dataset: Dataset) -> list[Category] | None:
    """All names in a column of names, in alphabetical order; None where labels are numbers.

    Args:
        dataset: has a column `labels`.
    """
    inner, is_list = _inner(dataset)
    if getattr(inner, "dtype", None) not in {"string", "large_string"}:
        return None
    rows = _column(dataset, LABELS).to_pylist()
    names = sorted({name for row in rows if row is not None for name in (row if is_list else _parts(row))})
    return [Category(name) for name in names]


def check_texts(dataset: Dataset, place: str = "The dataset") -> list[str]:
    """The texts of a dataset.

    Args:
        dataset: the dataset.
        place: where it comes from, for the messages.

    Raises:
        InvalidInputError: there is no column `text`, or a row has no text in it.
    """
    if TEXT not in dataset.column_names:
        raise InvalidInputError(
            f"{place} has no column {TEXT!r}, only {', '.join(dataset.column_names) or 'none'}. Rename yours: "
            f"`dataset.rename_column(..., {TEXT!r})`."
        )
    texts = _column(dataset, TEXT).to_pylist()
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInputError(
                f"{place}, column {TEXT!r}, row {row}: {text!r} is not a text. Every row needs a string that is not "
                "empty."
            )
    return texts


def multi_hot(dataset: Dataset, categories: Sequence[Category], place: str = "The dataset") -> NDArray[np.int8]:
    """A dataset's labels as multi-hot (N, K), whatever their kind.

    Args:
        dataset: its `labels` are multi-hot, `Sequence(ClassLabel)`, lists of names or synonyms, or one `ClassLabel` or
            name a row. Multi-hot labels of a dataset that knows its categories are put into the order of `categories`.
        categories: the K categories.
        place: where the dataset comes from, for the messages.

    Raises:
        InvalidInputError: a row's labels can't be used; names column, row, and what is allowed.
    """
    inner, is_list = _inner(dataset)
    where = f"{place}, column {LABELS!r}"
    column = _column(dataset, LABELS)
    if (names := getattr(inner, "names", None)) is not None:
        rows = _numbered(column, names, is_list, where)
    elif getattr(inner, "dtype", None) in {"string", "large_string", "null"}:
        rows = [row if is_list or row is None else _parts(row) for row in column.to_pylist()]
    elif is_list and getattr(inner, "dtype", "").startswith(("int", "uint", "bool", "float")):
        own = categories_of(dataset) or list(categories)
        return _reordered(_checked(column, len(own), where), own, categories, where)
    else:
        raise InvalidInputError(f"{where} holds {dataset.features[LABELS]}. Allowed are {KINDS}.")
    return _from_names(rows, categories, where)


def _column(dataset: Dataset, name: str) -> pa.Array:
    """A column as Arrow, in the dataset's own order of rows and whatever its format is set to."""
    return dataset.select_columns([name]).with_format("arrow")[:][name].combine_chunks()


def _parts(names: str) -> list[str]:
    """The names in a cell of a CSV file, which holds no lists: "cat, dog"."""
    return [name.strip() for name in names.split(",") if name.strip()]


def _numbered(column: pa.Array, names: list[str], is_list: bool, where: str) -> list[list[str] | None]:
    """Rows of a ClassLabel's numbers as rows of names; a single -1 is no label, as `datasets` has it."""
    rows: list[list[str] | None] = []
    for row, numbers in enumerate(column.to_pylist()):
        if numbers is None or not is_list:
            numbers = None if numbers is None else [] if numbers == -1 else [numbers]
        wrong = [number for number in numbers or () if number is None or not 0 <= number < len(names)]
        if wrong:
            raise InvalidInputError(
                f"{where}, row {row}: {wrong[0]} is not one of the ClassLabel's numbers 0 to {len(names) - 1}."
            )
        rows.append(None if numbers is None else [names[number] for number in numbers])
    return rows


def _from_names(rows: Sequence[list[str] | None], categories: Sequence[Category], where: str) -> NDArray[np.int8]:
    labels = np.zeros((len(rows), len(categories)), dtype=np.int8)
    number = _numbers(categories)
    for row, names in enumerate(rows):
        if names is None:
            raise InvalidInputError(f"{where}, row {row} is empty. Allowed are {KINDS}.")
        for name in names:
            if not isinstance(name, str) or name.strip().casefold() not in number:
                allowed = shortened([category.name for category in categories])
                raise InvalidInputError(
                    f"{where}, row {row}: {name!r} is not one of the {len(categories)} categories ({allowed}) or their "
                    "synonyms."
                )
            labels[row, number[name.strip().casefold()]] = 1
    return labels


def _checked(column: pa.Array, length: int, where: str) -> NDArray[np.int8]:
    """Multi-hot lists as a matrix."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    if (wrong := np.flatnonzero(lengths != length)).size:
        row = int(wrong[0])
        raise InvalidInputError(
            f"{where}, row {row}: {column[row].as_py()} does not have {length} values, one for each category. Allowed "
            f"are {KINDS}."
        )
    values = pc.fill_null(pc.cast(pc.list_flatten(column), "float64"), np.nan).to_numpy(zero_copy_only=False)
    values = values.reshape(len(column), length)
    if (wrong := np.flatnonzero(~np.isin(values, (0, 1)).all(axis=1))).size:
        row = int(wrong[0])
        raise InvalidInputError(
            f"{where}, row {row}: {column[row].as_py()} holds other values than 0 and 1. Allowed are {KINDS}."
        )
    return values.astype(np.int8)


def _reordered(
    labels: NDArray[np.int8], own: list[Category], categories: Sequence[Category], where: str
) -> NDArray[np.int8]:
    """Labels of a dataset's own categories in the order of others."""
    if [category.name for category in own] == [category.name for category in categories]:
        return labels
    number = _numbers(categories)
    placed = np.zeros((len(labels), len(categories)), dtype=np.int8)
    for column, category in enumerate(own):
        target = next((number[name.casefold()] for name in category.all_names if name.casefold() in number), None)
        if target is not None:
            placed[:, target] |= labels[:, column]
        elif labels[:, column].any():
            raise InvalidInputError(
                f"{where}, row {int(labels[:, column].argmax())}: the dataset's own category {category.name!r} is not "
                f"one of the {len(categories)} categories asked for ({shortened([c.name for c in categories])})."
            )
    return placed


def _numbers(categories: Sequence[Category]) -> dict[str, int]:
    return {name.casefold(): index for index, category in enumerate(categories) for name in category.all_names}
