"""`wordsight predict --shards`: labels for large collections of photos, in parquet, resumable, on many processes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from tqdm import tqdm

from wordsight.modeling.memory import Pieces
from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, WordsightError, writing
from wordsight.utils.progress import progress_bar

from .image_loader import PhotoBatch, PhotoSource, photo_batches
from .image_sources import open_collection

if TYPE_CHECKING:
    from .multi_label_image_classification import MultiLabelImageClassificationPipeline

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


@dataclass(frozen=True)
class ShardedPredictions:
    """What is in the folder once all shards are whole.

    Attributes:
        folder: the folder; `datasets.load_dataset("parquet", data_files=f"{folder}/*.parquet")` reads it.
        photos: how many rows there are, one a photo.
        unreadable: how many of them have an error instead of labels.
    """

    folder: Path
    photos: int
    unreadable: int


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
) -> ShardedPredictions:
    """Labels a collection of photos shard by shard, on any number of processes; process p of P does shards p, p + P...

    Shard 3 of 16 becomes `part-00003-of-00016.parquet` once it is whole; a shard that is there is not done again. Its
    columns are `photo` (relative path, tar/__key__ or file:row), `labels` and `scores` (best first), and `error`: why a
    photo can't be read, else null. Scores are the pipeline's, with JPEGs decoded at reduced scale (see `photos.py`).

    Args:
        model: folder or Hub id.
        source: see `open_collection`.
        out: folder for the shards, new or of the same run.
        shards: how many parts to cut the collection into.
        split: of a data set on the Hub.
        threshold: least score of a label.
        top_k: at most so many labels a photo.
        batch_size: photos at a time.
        num_workers: processes that read ahead for each that encodes; see `default_num_workers`.
        revision: the model's revision on the Hub.

    Raises:
        InvalidInputError: an option or the source can't be used, or `out` holds another run; names what differs.
        WordsightError: a shard can't be finished; names it. What is whole is kept.
    """
    from wordsight.modeling.training.train import warn_if_fewer_processes
    from wordsight.pipelines.loading import load_labeler

    if shards < 1:
        raise InvalidInputError(f"shards must be 1 or more, got {shards}.")
    # Shards take as long as they take: who is done first waits for the others, and no clock ends that.
    patient = InitProcessGroupKwargs(timeout=timedelta(days=30))
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), kwargs_handlers=[patient])
    warn_if_fewer_processes(accelerator.num_processes)
    out, source = Path(out), str(source)
    labeler = load_labeler(model, revision, accelerator.device)
    options = {"threshold": threshold, "top_k": top_k}
    labeler._sanitize_parameters(**options)  # type: ignore[arg-type]
    collection = open_collection(source, shards, split)
    place = str(Path(source).resolve()) if Path(source).exists() else source
    run = {"model": model, "model_state": _state(model, labeler), "source": place, "shards": shards}
    run |= collection.identity | options
    _check_run(out, run)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with writing(out, "run the same command again"):
            out.mkdir(parents=True, exist_ok=True)
            (out / RECORD).write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()
    paths = [out / f"part-{shard:05d}-of-{shards:05d}.parquet" for shard in range(shards)]
    mine = range(accelerator.process_index, shards, accelerator.num_processes)
    left = [shard for shard in mine if not paths[shard].exists()]
    if accelerator.is_main_process and (whole := sum(path.exists() for path in paths)):
        print(f"{whole} of {shards} shards are whole already.")
    total = sum(collection.count(shard) for shard in left)
    pieces = Pieces()
    with progress_bar("Labeling photos", total or None, "photo", accelerator.is_main_process) as bar:
        for shard in left:
            bar.set_postfix_str(f"shard {shard} of {shards}", refresh=False)
            if _partial(paths[shard]).exists():
                warnings.warn(
                    f"Shard {shard} of {shards} was left unfinished ({_partial(paths[shard])}); doing it again.",
                    stacklevel=2,
                )
            waiting: dict[int, str] = {}  # names of photos that are being read
            batches = photo_batches(
                _named(collection.read(shard), waiting),
                labeler.image_processor,  # type: ignore[arg-type]
                batch_size,
                num_workers=num_workers,
                name_of=waiting.__getitem__,
            )
            try:
                labeled = _labeled(batches, labeler, pieces, options, bar)
                _write_shard(paths[shard], ({"photo": waiting.pop(row), **rest} for row, rest in labeled))
            except WordsightError as error:
                raise WordsightError(f"Shard {shard} of {shards}: {error} Shards that are whole are kept.") from error
    accelerator.wait_for_everyone()
    errors = [pq.read_table(path, columns=["error"])["error"] for path in paths]
    photos = sum(len(column) for column in errors)
    return ShardedPredictions(out, photos, photos - sum(column.null_count for column in errors))


def _named(photos: Iterator[tuple[str, PhotoSource]], names: dict[int, str]) -> Iterator[PhotoSource]:
    """The photos, while their names are put down by number."""
    for row, (name, photo) in enumerate(photos):
        names[row] = name
        yield photo


@torch.no_grad()
def _labeled(
    batches: Iterator[PhotoBatch],
    labeler: MultiLabelImageClassificationPipeline,
    pieces: Pieces,
    options: dict[str, Any],
    bar: tqdm[Any],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers of photos, in order, and what there is to say of each: the columns of `SCHEMA` but for its name."""
    model: Any = labeler.model
    for batch in batches:
        pixels = batch.pixel_values
        parts = pieces(lambda rows, pixels=pixels: model(pixels[rows].to(model.device)).logits.cpu(), len(pixels))  # type: ignore[misc]
        logits = dict(zip(batch.rows, torch.cat(parts).split(1) if parts else (), strict=True))
        for row in sorted([*logits, *batch.unreadable]):
            found = labeler.postprocess({"logits": logits[row]}, **options) if row in logits else []
            yield (
                row,
                {
                    "labels": [entry["label"] for entry in found],
                    "scores": [entry["score"] for entry in found],
                    "error": batch.unreadable.get(row),
                },
            )
        bar.update(len(batch))


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


def _state(model: str, labeler: MultiLabelImageClassificationPipeline) -> str:
    """The model's commit on the Hub, or a fingerprint of its files."""
    folder = Path(model)
    if not folder.is_dir():
        return str(labeler.model.revision)
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return fingerprint(b"".join(file.read_bytes() for file in files))


def _check_run(out: Path, run: dict[str, Any]) -> None:
    """Refuses a folder that holds another run.

    Raises:
        InvalidInputError: names what differs.
    """
    record = out / RECORD
    if not record.is_file():
        if any(out.glob("part-*")):
            raise InvalidInputError(f"{out} holds parts, but no {RECORD} that tells of what. Give another --out.")
        return
    try:
        there = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{record} can't be read ({error}). Remove {out}, or give another --out.") from error
    # A model is known by its state, whatever the path that it is given by.
    if changed := [key for key in run | there if key != "model" and there.get(key) != run.get(key)]:
        told = "; ".join(f"{key} is {there.get(key)!r} there, {run.get(key)!r} here" for key in changed)
        raise InvalidInputError(f"{out} holds another run: {told}. Give another --out, or run it with what it has.")
