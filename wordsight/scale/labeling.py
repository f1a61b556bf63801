"""Labels for a dataset of Ray: photos are prepared in tasks on any CPU, and labeled by actors that keep the model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from wordsight.modeling.photo_batches import PhotoBatch, PhotoSource
from wordsight.modeling.tiling import Tiling, check_tiling
from wordsight.pipelines.batch_labels import BatchLabels
from wordsight.pipelines.image_io import image_of
from wordsight.pipelines.image_loader import photo_batches
from wordsight.pipelines.image_tables import encoded_photo
from wordsight.pipelines.loading import load_pipeline
from wordsight.pipelines.multi_label_image_classification import (
    MultiLabelImageClassificationPipeline,
    check_threshold,
)
from wordsight.pipelines.shard_files import SCHEMA, row_of
from wordsight.utils.errors import InvalidInputError

from .cluster import import_ray
from .pixels import Packing

if TYPE_CHECKING:
    from ray.data import Dataset

ADDED = ("labels", "scores", "error")
PREPARED = pa.schema(
    [
        ("pixels", pa.large_binary()),  # of all views of a photo
        ("pixels_type", pa.string()),
        ("pixels_shape", pa.list_(pa.int32())),
        ("whole_weight", pa.float32()),
        ("error", pa.string()),
    ]
)
ROWS_AT_A_TIME = 32  # photos that are decoded before they are handed on


def predict_dataset(
    dataset: Dataset,
    model: str,
    *,
    concurrency: int | tuple[int, int] | None = None,
    batch_size: int = 32,
    image_column: str = "image",
    threshold: float = 0.5,
    top_k: int | None = None,
    tiles: Tiling | None = None,
    revision: str | None = None,
    backend: str = "torch",
    dtype: str = "auto",
    num_gpus: float | None = None,
) -> Dataset:
    """Labels the photos of a Ray dataset, lazily: nothing runs before the result is written or taken.

    The result has the dataset's columns but for the photo, and `labels` and `scores` (best first) and `error`: why a
    photo can't be read, else null. Scores are those of `predict_shards`. A row whose `error` is set already keeps it.

    Args:
        dataset: rows with a photo: bytes of a file (`ray.data.read_binary_files`, `read_parquet`), a path, an array
            (`read_images`), or `datasets`' pair of bytes and path (`from_huggingface`).
        model: folder or Hub id; a folder must be there on all machines of the cluster.
        concurrency: how many copies of the model there are at most, or the least and the most; by default as many as
            the cluster has room for. Without GPUs each takes a CPU; one more must be left for what reads the dataset.
        batch_size: photos at a time, of each copy.
        image_column: the column with the photos; "bytes" for `read_binary_files`.
        threshold: least score of a label.
        top_k: at most so many labels a photo.
        tiles: which parts of a photo to look at beside the whole; by default as the model's config says.
        revision: the model's revision on the Hub.
        backend: what computes: "torch"; or "onnx" or "onnx-int8", for what `wordsight export` wrote.
        dtype: of weights and pixels: "bfloat16" is faster on a GPU; "auto" is the model's own.
        num_gpus: GPUs of each copy; by default 1 if the cluster has any, else 0.

    Raises:
        InvalidInputError: the model or an option can't be used.
        MissingDependencyError: Ray is not installed.

    Example:
        >>> from wordsight.scale import predict_dataset, read_photos
        >>> labels = predict_dataset(read_photos("photos"), "my-model", top_k=1)
        >>> sorted(row["photo"] for row in labels.take_all() if row["labels"] == ["cat"])
        ['chelsea.jpg']
    """
    import_ray()
    check_threshold(threshold)
    # Here first: a model that can't be loaded is told before any task starts.
    classifier = load_pipeline(model, revision, torch.device("cpu"), backend, dtype)
    options = {"threshold": threshold, "top_k": top_k}
    classifier._sanitize_parameters(**options)  # type: ignore[arg-type]
    tiling = check_tiling(tiles or classifier.model.config.tiles)
    revision = getattr(classifier.model, "revision", None) or revision
    loaded_from = (placed(model), revision, backend, dtype)
    return label_rows(
        dataset, classifier, loaded_from, options, tiling, concurrency, batch_size, image_column, num_gpus
    )


def placed(model: str) -> str:
    """A model's folder by its whole path, since tasks run in folders of their own; a Hub id as it is."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def label_rows(
    dataset: Dataset,
    classifier: MultiLabelImageClassificationPipeline,
    loaded_from: tuple[str, str | None, str, str],
    options: dict[str, Any],
    tiling: Tiling,
    concurrency: int | tuple[int, int] | None,
    batch_size: int,
    image_column: str = "image",
    num_gpus: float | None = None,
) -> Dataset:
    """What `predict_dataset` does, once its arguments are checked.

    Args:
        dataset: rows with a photo.
        classifier: the pipeline, loaded here, whose image processor is sent to the tasks.
        loaded_from: model, revision, backend and dtype, from which each copy loads its own.
        options: the pipeline's threshold and top_k.
        tiling: which parts of photos it looks at.
        concurrency: see `predict_dataset`.
        batch_size: photos at a time.
        image_column: the column with the photos.
        num_gpus: of each copy.
    """
    ray = import_ray()
    if num_gpus is None:
        num_gpus = float(loaded_from[2] == "torch" and ray.cluster_resources().get("GPU", 0) > 0)
    least, most = (1, concurrency) if concurrency is None or isinstance(concurrency, int) else concurrency
    if least < 1 or (most is not None and most < least):
        raise InvalidInputError(f"concurrency must be 1 or more, or the least and the most, got {concurrency}.")
    prepared = dataset.map_batches(
        prepare,  # type: ignore[arg-type]  # which takes more than a batch
        batch_format="pyarrow",
        batch_size=None,  # whole blocks, so that a task reads and prepares in one go
        fn_kwargs={"image_processor": classifier.image_processor, "tiling": tiling, "image_column": image_column},
    )
    return prepared.map_batches(
        Labeler,
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        fn_constructor_args=(*loaded_from, options),
        num_gpus=num_gpus or None,
    )


def prepare(rows: pa.Table, image_processor: Any, tiling: Tiling, image_column: str) -> Iterator[pa.Table]:
    """Decodes photos and brings them to the encoder's size; what can't be read says why in `error`.

    Args:
        rows: rows with a photo.
        image_processor: the encoder's.
        tiling: which parts of photos to prepare beside the whole.
        image_column: the column with the photos.

    Raises:
        InvalidInputError: there is no such column, or one is there that would be added.
    """
    _check_columns(rows.column_names, image_column)
    kept = rows.drop_columns([name for name in (image_column, "error") if name in rows.column_names])
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        part = rows.slice(start, ROWS_AT_A_TIME)
        told = part["error"].to_pylist() if "error" in part.column_names else [None] * len(part)
        to_read = [row for row, error in enumerate(told) if error is None]
        prepared: list[dict[str, Any]] = [{"error": error} for error in told]
        photos = _photos(part.select([image_column]).take(pa.array(to_read, pa.int64())))
        for row, found in zip(to_read, _prepared(photos, image_processor, tiling), strict=True):
            prepared[row] = found
        yield _beside(kept.slice(start, ROWS_AT_A_TIME), pa.Table.from_pylist(prepared, schema=PREPARED))


def _prepared(photos: list[PhotoSource], image_processor: Any, tiling: Tiling) -> list[dict[str, Any]]:
    """What `PREPARED` says of each photo."""
    found: dict[int, dict[str, Any]] = {}
    packing = Packing.of(image_processor)
    for batch in photo_batches(photos, image_processor, ROWS_AT_A_TIME, num_workers=0, tiles=tiling):
        found |= {row: {"error": error} for row, error in batch.unreadable.items()}
        views = batch.pixel_values.split(batch.num_views) if batch.rows else ()
        for row, pixels, weight in zip(batch.rows, views, batch.whole_weights, strict=True):
            kind, content = packing.pack(pixels)
            found[row] = {
                "pixels": content,
                "pixels_type": kind,
                "pixels_shape": list(pixels.shape),
                "whole_weight": weight,
            }
    return [found[row] for row in range(len(photos))]


def _check_columns(names: list[str], image_column: str) -> None:
    if image_column not in names:
        raise InvalidInputError(
            f"The dataset has no column {image_column!r}; it has {', '.join(names)}. Pass image_column=..."
        )
    if taken := [name for name in (*ADDED[:2], *PREPARED.names[:-1]) if name in names]:
        raise InvalidInputError(
            f"The dataset has columns that labeling adds: {', '.join(taken)}. Rename them: dataset.rename_columns(...)."
        )


def _photos(column: pa.Table) -> list[PhotoSource]:
    """The photos of a column of bytes, paths, pairs of both, or arrays."""
    (name,) = column.column_names
    if isinstance(column.schema.field(name).type, pa.ExtensionType):  # Ray's arrays
        from ray.data.block import BlockAccessor

        arrays = BlockAccessor.for_block(column).to_numpy(name)
        return [
            partial(image_of, np.asarray(array)) for array in arrays
        ]  # of odd shape or values is an error of its row
    return [encoded_photo(value) for value in column[name].to_pylist()]


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    """Columns of both; the left may have none."""
    schema = pa.schema([*left.schema, *right.schema])
    return pa.Table.from_arrays([*left.columns, *right.columns], schema=schema)


class Labeler:
    """Keeps a model, and labels batches of prepared photos.

    Args:
        model: folder or Hub id.
        revision: on the Hub.
        backend: what computes.
        dtype: in which type.
        options: the pipeline's threshold and top_k.
    """

    def __init__(self, model: str, revision: str | None, backend: str, dtype: str, options: dict[str, Any]) -> None:
        classifier = load_pipeline(model, revision, backend=backend, dtype=dtype)
        self.labels = BatchLabels(classifier, options)
        self.packing = Packing.of(classifier.image_processor)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows with labels in place of pixels."""
        errors = rows["error"].to_pylist()
        fine = [row for row, error in enumerate(errors) if error is None]
        views = [self._views(rows, row) for row in fine]
        pixels = torch.cat(views) if views else torch.empty(0)
        weights = [rows["whole_weight"][row].as_py() for row in fine]
        unreadable = {row: error for row, error in enumerate(errors) if error is not None}
        labeled = self.labels(PhotoBatch(fine, pixels, [len(each) for each in views], weights, unreadable))
        found = [row_of("", labels, unreadable.get(row)) for row, labels in labeled]
        kept = [name for name in rows.column_names if name not in PREPARED.names]
        return _beside(rows.select(kept), pa.Table.from_pylist(found, schema=SCHEMA).select(list(ADDED)))

    def _views(self, rows: pa.Table, row: int) -> Tensor:
        """The pixels of a photo's views, where the model is."""
        kind, shape = rows["pixels_type"][row].as_py(), rows["pixels_shape"][row].as_py()
        device: torch.device = self.labels.classifier.model.device
        return self.packing.unpack(kind, rows["pixels"][row].as_buffer(), shape, device)
