"""The folder that `wordsight predict --shards` writes: its files, its record, and the rows in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wordsight.modeling.tiling import Tiling
from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.files import printable_name

from .image_sources import ImageFiles

if TYPE_CHECKING:
    from .image_sources import ImageSource

SCHEMA = pa.schema(
    [
        ("photo", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("error", pa.string()),
    ]
)
RECORD = "predict.json"
ROWS_IN_MEMORY = 1000  # a row group of the parquet file
PHOTOS_PER_SHARD = 1000  # what is done again, at most, after an interruption


@dataclass(frozen=True)
class ShardedPredictions:
    """What is in the folder once all shards are whole.

    Attributes:
        folder: the folder; `datasets.load_dataset("parquet", data_files=f"{folder}/*.parquet")` reads it.
        photos: how many rows there are, one a photo.
        unreadable: how many of them have an error instead of labels.
    """

    folder: Path | str
    photos: int
    unreadable: int


def default_shards(images: ImageSource) -> int:
    """One for 1,000 photos, or for each file of many photos."""
    if isinstance(images, ImageFiles):
        return -(-len(images.files) // PHOTOS_PER_SHARD)
    return len(images.files)  # type: ignore[attr-defined]


def part_name(shard: int, shards: int) -> str:
    """The file of a shard, once it is whole."""
    return f"part-{shard:05d}-of-{shards:05d}.parquet"


def row_of(photo: str, found: Iterable[dict[str, Any]], error: str | None) -> dict[str, Any]:
    """A photo's row, as `SCHEMA` has it.

    Args:
        photo: its name.
        found: the pipeline's labels; none where it can't be read.
        error: why it can't be read.
    """
    found = list(found)
    return {
        "photo": photo,
        "labels": [entry["label"] for entry in found],
        "scores": [entry["score"] for entry in found],
        "error": None if error is None else printable_name(error),
    }


def model_state(model: str, commit: str | None) -> str:
    """The model's commit on the Hub, or a fingerprint of its files.

    Args:
        model: folder or Hub id.
        commit: on the Hub.
    """
    folder = Path(model)
    if not folder.is_dir():
        return str(commit)
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return fingerprint(b"".join(file.read_bytes() for file in files))


def describe_run(
    model: str,
    state: str,
    source: str,
    shards: int,
    images: ImageSource,
    options: dict[str, Any],
    tiling: Tiling,
    backend: str,
    dtype: str,
) -> dict[str, Any]:
    """What tells a run from another, for its record.

    Args:
        model: folder or Hub id.
        state: see `model_state`.
        source: where the photos are.
        shards: how many parts they are cut into.
        images: the photos.
        options: the pipeline's threshold and top_k.
        tiling: which parts of photos it looks at.
        backend: what computes.
        dtype: in which type.
    """
    place = printable_name(str(Path(source).resolve()) if Path(source).exists() else source)
    run = {"model": printable_name(model), "model_state": state, "source": place, "shards": shards}
    # Runs of earlier versions say nothing of tiles.
    run |= images.identity | options | ({} if tiling == "off" else {"tiles": tiling})
    run |= {} if backend == "torch" else {"backend": backend}
    return run | ({} if dtype == "auto" else {"dtype": dtype})


def check_same_run(record: bytes | None, run: dict[str, Any], out: Path | str, names: Sequence[str]) -> None:
    """Refuses a folder that holds another run.

    Args:
        record: content of its `RECORD`; None where there is none.
        run: this run (see `describe_run`).
        out: the folder.
        names: of the files in it.

    Raises:
        InvalidInputError: names what differs.
    """
    if record is None:
        if any(name.startswith("part-") for name in names):
            raise InvalidInputError(f"{out} holds parts, but no {RECORD} that says of which run. Pass another --out.")
        return
    try:
        there = json.loads(record.decode("utf-8"))
    except ValueError as error:
        raise unreadable_record(out, error) from error
    # A model is known by its state, whatever the path that it is given by.
    if changed := [key for key in run | there if key != "model" and there.get(key) != run.get(key)]:
        told = "; ".join(f"{key} is {there.get(key)!r} there, {run.get(key)!r} here" for key in changed)
        raise InvalidInputError(f"{out} holds another run: {told}. Pass another --out, or the options of that run.")


def unreadable_record(out: Path | str, error: Exception) -> InvalidInputError:
    """The error that says of a folder's record that it can't be read."""
    return InvalidInputError(f"{out}/{RECORD} can't be read ({error}). Remove {out}, or pass another --out.")


def record_text(run: dict[str, Any]) -> str:
    """The content of `RECORD`."""
    return json.dumps(run, indent=2, ensure_ascii=False) + "\n"
