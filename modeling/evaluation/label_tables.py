"""Tables of photos and labels: CSV and parquet files, as `wordsight predict` writes them and people correct them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError, shortened

from .annotation_files import read_text, same_name
from .labeled_photo import Read
from .reviewed import labeled, left_out, only_file

NAMES = ("file_name", "photo")  # columns that may hold a photo's name
SEPARATOR = "|"
DELIMITERS = (",", ";", "\t")  # the second is what spreadsheets write where , is the decimal point


def read_csv(path: Path, split: str | None) -> Read:
    """A CSV file with a header: `file_name` or `photo`, and `labels` with | between them; `error` may be there.

    Args:
        path: the file, or a folder that holds no other.
        split: not looked at.

    Raises:
        InvalidInputError: it lacks a column.
    """
    file = only_file(path, "*.csv", "table")
    text = read_text(file)
    header = text.split("\n", 1)[0]
    table = csv.DictReader(StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count))
    try:
        _check_columns(file, table.fieldnames or [])
        rows = [row | {"labels": (row["labels"] or "").split(SEPARATOR)} for row in table]
    except csv.Error as error:
        raise InvalidInputError(f"{file}, line {table.line_num}, is no valid CSV: {error}.") from error
    return _read(file, rows)


def read_parquet(path: Path, split: str | None) -> Read:
    """Parquet files with columns `photo` or `file_name`, `labels`, and maybe `error`.

    Args:
        path: a file, or a folder of files.
        split: not looked at.

    Raises:
        InvalidInputError: it can't be read, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.dataset

    try:
        table = pyarrow.dataset.dataset(
            sorted(map(str, path.glob("*.parquet"))) if path.is_dir() else str(path), format="parquet"
        ).to_table()
    except (OSError, pa.ArrowException) as error:
        raise InvalidInputError(f"{path} can't be read as parquet: {str(error).splitlines()[0]}.") from error
    _check_columns(path, table.column_names)
    return _read(path, table.to_pylist())


def _check_columns(file: Path, columns: Iterable[str]) -> None:
    there = list(columns)
    if "labels" not in there or not any(name in there for name in NAMES):
        raise InvalidInputError(
            f"{file} needs the columns {' or '.join(NAMES)}, and labels; it has {shortened(there) or 'none'}."
        )


def _read(file: Path, rows: Iterable[dict[str, Any]]) -> Read:
    found: list[tuple[str, frozenset[str]]] = []
    unread = 0
    for number, row in enumerate(rows):
        name = next((row[column] for column in NAMES if row.get(column)), None)
        labels = row["labels"]
        if not isinstance(name, str) or not isinstance(labels, list) or not all(isinstance(x, str) for x in labels):
            raise InvalidInputError(f"{file}, row {number}: no photo's name, or no list of labels.")
        if row.get("error"):
            unread += 1
            continue
        found.append((name, frozenset(same_name(label) for label in labels if label.strip())))
    photos, notes = labeled(file, found)
    return f"{file.suffix.lstrip('.') or 'table'} {file.stem}", photos, [], [*notes, *left_out(unread, "unreadable")]
