"""Photos in the rows of tables: parquet files on this machine, and rows of `datasets`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.modeling.photo_batches import PhotoSource
from wordsight.utils.errors import shortened

from .image_io import MOST_BYTES

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PHOTO_COLUMN = "image"  # where nothing says which column has the photos
ROWS_AT_A_TIME = 16  # photos are large
MANY_BYTES = 4 * 10**6  # of a row, by which rows are read one at a time
REMOTE = ("hf://", "https://", "http://")  # where rows may say that their photos are


def read_parquet(path: Path, filesystem: FileSystem | None = None) -> Iterator[PhotoSource]:
    """Photos of a parquet file, in order; a file without a column of photos is one that can't be read.

    Args:
        path: the file.
        filesystem: where it is, if not on this machine.

    Raises:
        ValueError, OSError: the file is damaged.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path.as_posix(), filesystem=filesystem) as file:
        columns = file.schema_arrow.names
        column = photo_column(columns, image_columns(path, filesystem))
        if column is None:
            if file.metadata.num_rows:
                yield partial(_fail, f"no column of images; there are {shortened(columns, 10)}")
            return
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        largest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
        # A few bytes of a file may stand for gigabytes in memory.
        rows = 1 if largest > MANY_BYTES else ROWS_AT_A_TIME
        for batch in file.iter_batches(rows, columns=[column]):
            yield from (encoded_photo(value.as_py(), filesystem is None) for value in batch.column(0))


def image_columns(path: Path, filesystem: FileSystem | None = None) -> list[str]:
    """The columns of a parquet file that `datasets` wrote as images.

    Args:
        path: the file.
        filesystem: where it is, if not on this machine.

    Raises:
        ValueError, OSError: the file is damaged.
    """
    import pyarrow.parquet as pq

    try:
        written = json.loads(
            (pq.read_schema(path.as_posix(), filesystem=filesystem).metadata or {}).get(b"huggingface", b"{}")
        )
        features = written["info"]["features"]
        return [name for name, feature in features.items() if feature.get("_type") == "Image"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if type(error).__module__.startswith("pyarrow"):  # the file, not what it says of its columns
            raise
        return []


def photo_column(names: Sequence[str], images: Sequence[str]) -> str | None:
    """The column with the photos, of those that are known to have images and the one called "image"."""
    candidates = [PHOTO_COLUMN, *images] if PHOTO_COLUMN in images else [*images, PHOTO_COLUMN]
    return next((name for name in candidates if name in names), None)


def encoded_photo(value: Any, is_local: bool = True) -> PhotoSource:
    """A row's photo: bytes, a path, or `datasets`' pair of both; else what says why it is none.

    Args:
        value: what the row has.
        is_local: whether the table is on this machine, so that its rows may name photos there.
    """
    if isinstance(value, dict):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if value is None:
        return partial(_fail, "no photo in this row")
    if not isinstance(value, bytes | str):
        return partial(_fail, f"a value of type {type(value).__name__}, not a photo")
    if len(value) > MOST_BYTES:
        return partial(_fail, f"larger than {MOST_BYTES // 10**6} MB")
    if isinstance(value, str) and "://" in value:
        # "zip://photo.jpg::hf://..." is a photo in an archive: what counts is where that is.
        if not value.rpartition("::")[2].startswith(REMOTE):
            return partial(_fail, f"{value[:200]!r} is at none of {', '.join(REMOTE)}")
        return partial(_fetch, value)
    if isinstance(value, str) and not is_local:
        return partial(_fail, f"{value[:200]!r} would be a file of this machine")
    return value


def _fail(reason: str) -> bytes:
    raise ValueError(reason)


def _fetch(url: str) -> bytes:
    """A photo that is a file of its own in a repository on the Hub; in the worker, since each takes a request."""
    from datasets.utils.file_utils import xopen

    with xopen(url, "rb") as file:
        content: bytes = file.read()
    return content
