"""Reads many photos for an encoder: opened, turned upright, decoded and prepared in workers, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset
from transformers.image_processing_utils import BaseImageProcessor

from wordsight.modeling.photo_batches import PhotoBatch, PhotoSource
from wordsight.modeling.tiling import Tiling, plan_tiles, whole_weight
from wordsight.utils.errors import InvalidInputError, WordsightError, shortened

from .image_io import UNREADABLE, decode_photo, draft_size, reason_of
from .tiles import views_of

# `pixel_values` (V, 3, H, W) of a photo's views, and what the whole counts beside its tiles.
_Prepared: TypeAlias = tuple[Tensor, float]
MOST_WORKERS = 8
FEW_CORES = 8


def default_num_workers() -> int:
    """How many processes read photos for each that encodes them.

    0 where the encoder runs on the CPU and has few cores: readers would only take cores from it. Elsewhere one per
    core that each process on this machine has, at most 8.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores //= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun's and accelerate's number of processes
    if not torch.accelerator.is_available() and cores < FEW_CORES:
        return 0
    return max(1, min(MOST_WORKERS, cores))


def open_photo(source: PhotoSource, least: int | None = None) -> Image.Image:
    """A photo, upright and in RGB, as the pipeline opens it (see `decode_photo`).

    Args:
        source: the photo.
        least: JPEGs may be decoded at 1/2, 1/4 or 1/8 of their size, but not below so many pixels on the shorter side;
            None decodes at full size, except JPEGs of more than 89 megapixels.

    Raises:
        OSError, ValueError, ...: one of `UNREADABLE`, the photo can't be read.
    """
    while not isinstance(source, str | Path | bytes | Image.Image):
        source = source()
    return decode_photo(source, least)


class _PreparedPhotos(Dataset[Any]):
    """What a worker does: the number of a photo, or number and source, to views and the whole's weight, or a reason.

    JPEGs are decoded in Pillow's draft mode, at a reduced scale that is still at least twice what the encoder sees of
    the photo, or of a tile: that is where the time of a large photo goes (docs/performance.md, "Reading photos").
    """

    def __init__(
        self, photos: Sequence[PhotoSource] | None, image_processor: BaseImageProcessor, tiles: Tiling
    ) -> None:
        self.photos, self.image_processor, self.tiles = photos, image_processor, tiles
        self.least = draft_size(image_processor, tiles)

    def __getitem__(self, item: Any) -> tuple[int, _Prepared | str]:
        number, source = item if self.photos is None else (item, self.photos[item])
        try:
            photo = open_photo(source, self.least)
            views = views_of(photo, plan_tiles(*photo.size, self.tiles))
            pixels = self.image_processor(images=views, return_tensors="pt").pixel_values
            return number, (pixels, whole_weight(*photo.size))
        except UNREADABLE as error:
            return number, reason_of(error)


def _collate(prepared: list[tuple[int, _Prepared | str]]) -> PhotoBatch:
    fine = {number: content for number, content in prepared if not isinstance(content, str)}
    unreadable = {number: content for number, content in prepared if isinstance(content, str)}
    pixels, weights = zip(*fine.values(), strict=True) if fine else ((torch.empty(0),), ())
    counts = [len(views) for views in pixels] if fine else []
    return PhotoBatch(list(fine), torch.cat(pixels), counts, list(weights), unreadable)


def photo_batches(
    photos: Sequence[PhotoSource] | Iterable[PhotoSource],
    image_processor: BaseImageProcessor,
    batch_size: int,
    *,
    num_workers: int | None = None,
    process_index: int = 0,
    num_processes: int = 1,
    name_of: Callable[[int], str] = str,
    tiles: Tiling = "off",
) -> Iterator[PhotoBatch]:
    """Reads photos and prepares them for an encoder, in order; a photo that can't be read is reported, not raised.

    Batches, not photos, are dealt to processes: a batch holds the same photos on any number of them. A worker uses one
    thread.

    Args:
        photos: a sequence, which workers take from themselves, or a stream, which is read here and decoded in workers.
        image_processor: the encoder's.
        batch_size: photos at a time.
        num_workers: processes that read ahead; 0 reads in this one. By default as `default_num_workers` says.
        process_index: this process among those that share the photos.
        num_processes: how many share them.
        name_of: a photo's name by its number, for the error.
        tiles: which parts of a photo to prepare beside the whole (see `plan_tiles`).

    Raises:
        InvalidInputError: num_workers is negative.
        WordsightError: a worker died; names the photos that were being read.
    """
    num_workers = default_num_workers() if num_workers is None else num_workers
    if num_workers < 0:
        raise InvalidInputError(f"num_workers must be 0 or more, got {num_workers}.")
    at_hand = photos if isinstance(photos, Sequence) else None
    under_way: deque[list[int]] = deque()

    def batches() -> Iterator[list[Any]]:
        items: Any = enumerate(photos) if at_hand is None else range(len(at_hand))
        for batch in islice(BatchSampler(items, batch_size, drop_last=False), process_index, None, num_processes):
            under_way.append([item[0] for item in batch] if at_hand is None else batch)  # type: ignore[index]
            yield batch

    pinned = num_workers > 0 and torch.cuda.is_initialized()  # there is a model on a GPU
    loading = DataLoader(
        _PreparedPhotos(at_hand, image_processor, tiles),
        batch_sampler=batches(),
        num_workers=num_workers,
        collate_fn=_collate,
        pin_memory=pinned,
        generator=torch.Generator(),  # else it would draw from torch's global one
    )
    # Started from a thread: in the main one, torch sets a handler of SIGCHLD that raises a worker's death in whatever
    # is being done at the time. While it waits for a batch it sees that death by itself.
    # Batches are pinned for the GPU that is current where the loader is started.
    on_device = partial(torch.cuda.set_device, torch.cuda.current_device()) if pinned else None
    # No `ThreadPoolExecutor`: a process that is forked from its thread ends with an error, for it joins that thread.
    with ThreadPool(1, on_device) as thread:
        loader = thread.apply(iter, (loading,))
    while True:
        try:
            batch = next(loader)
        except StopIteration:
            return
        except (RuntimeError, ConnectionError, EOFError) as error:
            # A worker that dies while it hands over a batch breaks the connection, before it counts as dead.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
                raise
            raise _worker_died(error, [repr(name_of(row)) for rows in under_way for row in rows]) from error
        under_way.popleft()
        yield batch


def _worker_died(error: Exception, names: list[str]) -> WordsightError:
    """What to say when a worker dies: how, and at which photos."""
    reason = str(error) or type(error).__name__
    return WordsightError(
        f"A process that reads photos died ({reason.splitlines()[0]}) while these {len(names)} were being read: "
        f"{shortened(names)}. Run the same command again; if memory ran out, with a smaller --batch-size or fewer "
        "--num-workers (0 reads in the main process)."
    )
