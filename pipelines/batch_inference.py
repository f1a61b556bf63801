"""`wordsight predict --shards`: labels for many photos, in parquet files, resumable, on many processes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from wordsight.modeling.tiling import Tiling, check_tiling
from wordsight.utils.errors import InvalidInputError, WordsightError, check_not_empty, writing
from wordsight.utils.progress import progress_bar

from .batch_labels import BatchLabels
from .image_loader import PhotoSource, photo_batches
from .image_sources import DamagedFileError, ImageSource, open_images
from .loading import load_pipeline
from .multi_label_image_classification import check_threshold
from .shard_files import (
    RECORD,
    ROWS_IN_MEMORY,
    SCHEMA,
    ShardedPredictions,
    check_same_run,
    describe_run,
    model_state,
    part_name,
    record_text,
    row_of,
    unreadable_record,
)

if TYPE_CHECKING:
    from tqdm import tqdm


def predict_shards(
    model: str,
    source: str | Path,
    out: str | Path,
    shards: int,
    *,
    split: str | None = None,
    threshold: float = 0.5,
    top_k: int | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
    revision: str | None = None,
    tiles: Tiling | None = None,
    kind: str | None = None,
    backend: str = "torch",
    dtype: str = "auto",
    leave_out: Path | None = None,
) -> ShardedPredictions:
    """Labels photos shard by shard, on any number of processes; process p of P does shards p, p + P, and so on.

    Shard 3 of 16 becomes `part-00003-of-00016.parquet` once it is whole; a shard that is there is not done again. Its
    columns are `photo` (relative path, tar/name or file:row), `labels` and `scores` (best first), and `error`: why a
    photo can't be read, else null. Scores are the pipeline's, with JPEGs decoded at reduced scale.

    Args:
        model: folder or Hub id.
        source: a folder of photos, of .tar or of .parquet files, a glob of such files, or a dataset on the Hub (see
            `open_images`).
        out: folder for the shards, new or of the same run.
        shards: how many parts to cut the source into.
        split: of a dataset on the Hub.
        threshold: least score of a label.
        top_k: at most so many labels a photo.
        batch_size: photos at a time.
        num_workers: processes that read ahead for each that encodes; see `default_num_workers`.
        revision: the model's revision on the Hub.
        tiles: which parts of a photo to look at beside the whole; by default as the model's config says.
        kind: where the source holds several kinds, the one to take: "photos", "tar" or "parquet".
        backend: what computes: "torch"; or "onnx" or "onnx-int8", for what `wordsight export` wrote.
        dtype: of weights and pixels: "bfloat16" is faster on a GPU; "auto" is the model's own.
        leave_out: a folder inside the source whose photos are not labeled; shards of earlier runs never are.

    Raises:
        InvalidInputError: an option or the source can't be used, or `out` holds another run; names what differs.
        WordsightError: a shard can't be finished; names it. What is whole is kept.

    Example:
        >>> from wordsight import predict_shards
        >>> predictions = predict_shards("my-model", "photos", "labels", shards=2)
        >>> predictions.photos, predictions.unreadable
        (6, 0)
    """
    check_not_empty(out, "out")
    check_threshold(threshold)
    if shards < 1:
        raise InvalidInputError(f"shards must be 1 or more, got {shards}.")
    # Shards take as long as they take: who is done first waits for the others, and no clock ends that.
    patient = InitProcessGroupKwargs(timeout=timedelta(days=30))
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[patient])
    out, source = Path(out), str(source)
    classifier = load_pipeline(model, revision, accelerator.device, backend, dtype)
    options = {"threshold": threshold, "top_k": top_k}
    tiling = check_tiling(tiles or classifier.model.config.tiles)
    classifier._sanitize_parameters(**options)  # type: ignore[arg-type]
    images = open_images(source, shards, split, kind, leave_out)
    state = model_state(model, getattr(classifier.model, "revision", None))
    run = describe_run(model, state, source, shards, images, options, tiling, backend, dtype)
    _begin_run(out, run, accelerator)
    if accelerator.is_main_process and images.notes:
        print("\n".join(images.notes), file=sys.stderr)
    paths = [out / part_name(shard, shards) for shard in range(shards)]
    if accelerator.is_main_process and (whole := sum(path.exists() for path in paths)):
        print(f"{whole} of {shards} shards are whole already.")
    left = [s for s in range(accelerator.process_index, shards, accelerator.num_processes) if not paths[s].exists()]
    total = sum(images.count(shard) for shard in left)
    with progress_bar("Labeling photos", total or None, "photo", accelerator.is_main_process) as bar:
        _label_shards(
            _Labeling(BatchLabels(classifier, options), tiling, batch_size, num_workers, bar), images, paths, left
        )
    accelerator.wait_for_everyone()
    errors = [pq.read_table(path, columns=["error"])["error"] for path in paths]
    photos = sum(len(column) for column in errors)
    return ShardedPredictions(out, photos, photos - sum(column.null_count for column in errors))


def _label_shards(labeling: _Labeling, images: ImageSource, paths: Sequence[Path], left: Sequence[int]) -> None:
    """Writes the shards that are left. One whose file is damaged does not keep the others from being done."""
    shards = len(paths)
    damaged: list[str] = []
    for shard in left:
        labeling.bar.set_postfix_str(f"shard {shard} of {shards}", refresh=False)
        if _partial(paths[shard]).exists():
            warnings.warn(
                f"Shard {shard} of {shards} was left unfinished ({_partial(paths[shard])}); doing it again.",
                stacklevel=3,
            )
        try:
            _write_shard(paths[shard], labeling.rows(images.read(shard)))
        except DamagedFileError as error:
            damaged.append(f"Shard {shard} of {shards}: {error}")
        except WordsightError as error:
            raise WordsightError(f"Shard {shard} of {shards}: {error} Shards that are whole are kept.") from error
    if damaged:
        raise DamagedFileError(" ".join([*damaged, "Shards that are whole are kept."]))


@dataclass(frozen=True)
class _Labeling:
    """From photos to the rows of a shard; one for all shards.

    Attributes:
        labels: the pipeline, and how many photos fit into memory.
        tiles: which parts of photos it looks at.
        batch_size: photos at a time.
        num_workers: processes that read ahead.
        bar: counts photos.
    """

    labels: BatchLabels
    tiles: Tiling
    batch_size: int
    num_workers: int | None
    bar: tqdm[Any]

    def rows(self, photos: Iterator[tuple[str, PhotoSource]]) -> Iterator[dict[str, Any]]:
        """Rows as `SCHEMA` has them, in the order of the photos."""
        waiting: dict[int, str] = {}  # names of photos that are being read

        def unnamed() -> Iterator[PhotoSource]:
            for number, (name, photo) in enumerate(photos):
                waiting[number] = name
                yield photo

        batches = photo_batches(
            unnamed(),
            self.labels.classifier.image_processor,  # type: ignore[arg-type]
            self.batch_size,
            num_workers=self.num_workers,
            name_of=waiting.__getitem__,
            tiles=self.tiles,
        )
        for batch in batches:
            for number, found in self.labels(batch):
                yield row_of(waiting.pop(number), found, batch.unreadable.get(number))
            self.bar.update(len(batch))


def _write_shard(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Writes rows beside `path`, some at a time, and gives the file its name once it is whole."""
    from torch.utils.data import BatchSampler

    partial, again = _partial(path), "run the same command again"
    with writing(partial, again):
        writer = pq.ParquetWriter(partial, SCHEMA)
    for group in BatchSampler(rows, ROWS_IN_MEMORY, drop_last=False):  # type: ignore[arg-type]
        with writing(partial, again):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    with writing(path, again):
        writer.close()
        partial.replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _begin_run(out: Path, run: dict[str, Any], accelerator: Accelerator) -> None:
    """Makes the folder and its record, unless it is there already."""
    _check_run(out, run)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with writing(out, "run the same command again"):
            out.mkdir(parents=True, exist_ok=True)
            (out / RECORD).write_text(record_text(run), encoding="utf-8")
    accelerator.wait_for_everyone()


def _check_run(out: Path, run: dict[str, Any]) -> None:
    """Refuses a folder that holds another run."""
    try:
        record = (out / RECORD).read_bytes() if (out / RECORD).is_file() else None
    except OSError as error:
        raise unreadable_record(out, error) from error
    check_same_run(record, run, out, [path.name for path in out.glob("part-*")])
