"""Photos as a dataset of Ray, a task for each shard of what `wordsight predict` reads."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from wordsight.modeling.photo_batches import PhotoSource
from wordsight.pipelines.image_io import UNREADABLE, reason_of
from wordsight.pipelines.image_sources import DamagedFileError, ImageFiles, ImageSource, cut

from .cluster import import_ray
from .remote import check_size, open_source

if TYPE_CHECKING:
    from ray.data import Dataset

ROWS_AT_A_TIME = 32  # that are handed on together,
BYTES_AT_A_TIME = 2**25  # or fewer, where photos are large
ROWS = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int64()),
        ("photo", pa.string()),
        ("image", pa.large_binary()),
        ("error", pa.string()),
    ]
)


def read_photos(
    source: str | Path, *, split: str | None = None, kind: str | None = None, shards: int | None = None
) -> Dataset:
    """Photos as `wordsight predict` finds and names them, as a dataset of Ray.

    Its columns are `photo` (relative path, tar/name or file:row), `image` (the file's content) and `error`: why a photo
    can't be read, else null. Rows come in no fixed order.

    Args:
        source: a folder of photos, of .tar or of .parquet files, a glob of such files, or a dataset on the Hub. Folders
            must be there on all machines of the cluster, or be addresses ("s3://bucket/crawl/*.tar").
        split: of a dataset on the Hub.
        kind: where the source holds several kinds, the one to take: "photos", "tar" or "parquet".
        shards: how many tasks read it; by default one for 1,000 photos, or for each file of many photos.

    Raises:
        InvalidInputError: nothing is there, it is of several kinds, it has no photos, or it can't be cut so finely.
        MissingDependencyError: Ray is not installed.

    Example:
        >>> from wordsight.scale import read_photos
        >>> photos = read_photos("photos")
        >>> photos.count()
        6
    """
    import_ray()
    images, shards = open_source(str(source), shards, split, kind)
    rows = shard_rows(images, range(shards))
    return rows.map_batches(_without_ends, batch_format="pyarrow", batch_size=None)


def shard_rows(images: ImageSource, shards: Sequence[int]) -> Dataset:
    """The photos of some shards, with the number of each in its shard.

    Behind a shard's last photo is a row without a photo, whose `row` is the number of photos and whose `error` says why
    the shard can't be read to its end, or is empty.

    Args:
        images: the source.
        shards: which of its shards to read.
    """
    ray = import_ray()
    items = [{"shard": shard, "photos": ray.cloudpickle.dumps(_part(images, shard))} for shard in shards]
    tasks = ray.data.from_items(items, override_num_blocks=len(items))
    return tasks.map_batches(_read, batch_format="pyarrow", batch_size=1)


def _part(images: Any, shard: int) -> ImageSource:
    """A source of one shard, so that no task carries the names of all photos."""
    files = cut(len(images.files), images.shards, shard)
    taken: dict[str, Any] = {"files": [images.files[number] for number in files], "shards": 1, "notes": ()}
    if not isinstance(images, ImageFiles):
        taken["readers"] = [images.readers[number] for number in files]
    part: ImageSource = replace(images, **taken)
    return part


def _read(tasks: pa.Table) -> Iterator[pa.Table]:
    """The photos of a shard, some at a time, and the row behind the last."""
    (task,) = tasks.to_pylist()
    images: ImageSource = pickle.loads(task["photos"])
    rows: list[dict[str, Any]] = []
    number, size, damaged = 0, 0, ""
    try:
        for name, photo in images.read(0):
            content, error = _content(photo)
            rows.append({"shard": task["shard"], "row": number, "photo": name, "image": content, "error": error})
            number, size = number + 1, size + len(content or b"")
            if len(rows) == ROWS_AT_A_TIME or size > BYTES_AT_A_TIME:
                yield pa.Table.from_pylist(rows, schema=ROWS)
                rows, size = [], 0
    except DamagedFileError as error:
        damaged = str(error)
    rows.append({"shard": task["shard"], "row": number, "photo": None, "image": None, "error": damaged})
    yield pa.Table.from_pylist(rows, schema=ROWS)


def _content(photo: PhotoSource) -> tuple[bytes | None, str | None]:
    """A photo's bytes, or why there are none."""
    try:
        while not isinstance(photo, bytes | str | Path):
            photo = photo()  # type: ignore[operator]
        if isinstance(photo, bytes):
            return photo, None
        check_size(Path(photo).stat().st_size)
        return Path(photo).read_bytes(), None
    except UNREADABLE as error:
        return None, reason_of(error)


def _without_ends(rows: pa.Table) -> pa.Table:
    """Photos alone; of a file that is damaged, the row that says so stays, without a name."""
    is_kept = pc.or_kleene(rows["photo"].is_valid(), pc.not_equal(rows["error"], ""))
    return rows.filter(is_kept).select(["photo", "image", "error"])
