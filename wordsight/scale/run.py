"""`wordsight predict --ray`: the shards of `predict_shards`, labeled by a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import torch

from wordsight.modeling.tiling import Tiling, check_tiling
from wordsight.pipelines.image_sources import DamagedFileError, ImageSource
from wordsight.pipelines.loading import load_pipeline
from wordsight.pipelines.multi_label_image_classification import check_threshold
from wordsight.pipelines.shard_files import (
    RECORD,
    ROWS_IN_MEMORY,
    SCHEMA,
    ShardedPredictions,
    check_same_run,
    describe_run,
    model_state,
    part_name,
    record_text,
    unreadable_record,
)
from wordsight.utils.progress import progress_bar

from .cluster import LOCAL, connected, import_ray, quiet_data, readable_errors
from .labeling import label_rows, placed
from .reading import shard_rows
from .remote import open_source
from .storage import Folder, without_key

if TYPE_CHECKING:
    from ray.data import Dataset


def predict_on_ray(
    model: str,
    source: str | Path,
    out: str | Path,
    shards: int | None = None,
    *,
    ray: str = LOCAL,
    concurrency: int | tuple[int, int] | None = None,
    split: str | None = None,
    threshold: float = 0.5,
    top_k: int | None = None,
    batch_size: int = 32,
    revision: str | None = None,
    tiles: Tiling | None = None,
    kind: str | None = None,
    backend: str = "torch",
    dtype: str = "auto",
    leave_out: Path | None = None,
) -> ShardedPredictions:
    """Labels photos as `predict_shards` does, on a cluster of Ray; the files that it writes are the same.

    Photos are read and decoded in tasks on all CPUs, and labeled by actors, on the GPUs if there are any. Labels come
    back to this process, which writes a shard once all its photos are there: whatever dies on the cluster, each photo
    is one row. A run that was interrupted goes on where it was, on Ray or without.

    Args:
        model: folder or Hub id; a folder must be there on all machines of the cluster.
        source: as for `predict_shards`, where folders must be there on all machines; or a folder or glob elsewhere
            ("s3://bucket/crawl/*.tar").
        out: folder for the shards, or an address such as "s3://bucket/labels"; only this process writes there.
        shards: how many parts to cut the source into; by default one for 1,000 photos, or for each file of many photos.
        ray: the cluster: "local" (this machine alone), "auto" (the one that this machine is part of) or an address.
        concurrency: how many copies of the model there are at most, or the least and the most; by default as many as
            the cluster has room for.
        split: of a dataset on the Hub.
        threshold: least score of a label.
        top_k: at most so many labels a photo.
        batch_size: photos at a time, of each copy.
        revision: the model's revision on the Hub.
        tiles: which parts of a photo to look at beside the whole; by default as the model's config says.
        kind: where the source holds several kinds, the one to take: "photos", "tar" or "parquet".
        backend: what computes: "torch"; or "onnx" or "onnx-int8", for what `wordsight export` wrote.
        dtype: of weights and pixels: "bfloat16" is faster on a GPU; "auto" is the model's own.
        leave_out: a folder inside the source whose photos are not labeled; shards of earlier runs never are.

    Raises:
        InvalidInputError: an option or the source can't be used, or `out` holds another run; names what differs.
        MissingDependencyError: Ray is not installed.
        WordsightError: a shard can't be finished; names it. What is whole is kept.

    Example:
        >>> from wordsight.scale import predict_on_ray
        >>> predictions = predict_on_ray("my-model", "photos", "labels", shards=2)
        >>> predictions.photos, predictions.unreadable
        (6, 0)
    """
    import_ray()
    folder, source = Folder.of(out), str(source)
    check_threshold(threshold)
    images, shards = open_source(source, shards, split, kind, leave_out)
    classifier = load_pipeline(model, revision, torch.device("cpu"), backend, dtype)
    options = {"threshold": threshold, "top_k": top_k}
    classifier._sanitize_parameters(**options)  # type: ignore[arg-type]
    tiling = check_tiling(tiles or classifier.model.config.tiles)
    commit = getattr(classifier.model, "revision", None)
    state, shown = model_state(model, commit), without_key(source)
    run = describe_run(model, state, shown, shards, images, options, tiling, backend, dtype)
    names = [part_name(shard, shards) for shard in range(shards)]
    whole = _begin_run(folder, run)
    if images.notes:
        print("\n".join(images.notes), file=sys.stderr)
    left = [shard for shard, name in enumerate(names) if name not in whole]
    if len(left) < shards:
        print(f"{shards - len(left)} of {shards} shards are whole already.")
    if left:
        with connected(ray), quiet_data(), readable_errors():
            rows = shard_rows(images, left)
            loaded_from = (placed(model), commit or revision, backend, dtype)
            labeled = label_rows(rows, classifier, loaded_from, options, tiling, concurrency, batch_size)
            _write_shards(labeled, images, left, names, folder)
    rows_there = pyarrow.dataset.dataset(folder.paths(names), SCHEMA, "parquet", folder.filesystem)
    unreadable = rows_there.count_rows(filter=pc.field("error").is_valid())
    return ShardedPredictions(folder.name if "://" in str(out) else Path(out), rows_there.count_rows(), unreadable)


def _begin_run(folder: Folder, run: dict[str, Any]) -> set[str]:
    """Makes the folder's record, unless it is there already; the names of the files that are whole."""
    names = folder.names()
    try:
        record = folder.read(RECORD) if RECORD in names else None
    except OSError as error:
        raise unreadable_record(folder.name, error) from error
    check_same_run(record, run, folder.name, names)
    folder.write(RECORD, record_text(run).encode())
    return set(names)


def _write_shards(labeled: Dataset, images: ImageSource, left: list[int], names: list[str], folder: Folder) -> None:
    """Writes each shard once its last photo has come; one whose file is damaged is told at the end."""
    arriving = _Arriving()
    damaged: list[str] = []
    total = sum(images.count(shard) for shard in left)
    with progress_bar("Labeling photos", total or None, "photo") as bar:
        table: Any
        for table in labeled.iter_batches(batch_size=None, batch_format="pyarrow"):
            before = arriving.photos
            for shard, rows in arriving.add(table.to_pylist()):
                if error := arriving.ends[shard][1]:
                    damaged.append(f"Shard {shard} of {len(names)}: {error}")
                else:
                    folder.write(names[shard], _parquet(rows))
            bar.update(arriving.photos - before)
    if damaged:
        raise DamagedFileError(" ".join([*damaged, "Shards that are whole are kept."]))


@dataclass
class _Arriving:
    """Rows that have come from the cluster, of shards that are not whole yet.

    Attributes:
        rows: shard -> number in the shard -> row.
        ends: shard -> how many photos it has, and why it can't be read to its end, or nothing.
        photos: how many rows have come.
    """

    rows: dict[int, dict[int, dict[str, Any]]] = field(default_factory=dict)
    ends: dict[int, tuple[int, str]] = field(default_factory=dict)
    photos: int = 0

    def add(self, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Takes rows in any order; gives shards that are whole by that, with their rows in order."""
        touched = set()
        for row in rows:
            shard, number = row.pop("shard"), row.pop("row")
            touched.add(shard)
            there = self.rows.setdefault(shard, {})
            if row["photo"] is None:
                self.ends[shard] = number, row["error"]
            else:
                there[number] = row
                self.photos += 1
        for shard in touched:
            if shard in self.ends and len(self.rows[shard]) == self.ends[shard][0]:
                there = self.rows.pop(shard)
                yield shard, [there[number] for number in range(len(there))]


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a parquet file."""
    content = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), content, row_group_size=ROWS_IN_MEMORY)
    return bytes(content.getvalue())
