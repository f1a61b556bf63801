"""Photos that are ready for an encoder, as whoever reads them hands them over: nothing here opens a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from PIL import Image
from torch import Tensor
from transformers.image_processing_utils import BaseImageProcessor

from .tiling import Tiling

# A path, a file's content, a decoded image, or what gives one of them (called in the worker).
PhotoSource: TypeAlias = "str | Path | bytes | Image.Image | Callable[[], Any]"


@dataclass(frozen=True)
class PhotoBatch:
    """Photos that are ready for an encoder; photos are known by their numbers, from 0.

    Attributes:
        rows: numbers of the B photos that could be read, in order.
        pixel_values: (V, 3, H, W), from the image processor, of each photo its views; (0,) where none could be read.
        num_views: how many views each of the B photos has: 1 without tiles.
        whole_weights: what the whole of each counts beside its tiles.
        unreadable: number -> why that photo can't be read.
    """

    rows: list[int]
    pixel_values: Tensor
    num_views: list[int]
    whole_weights: list[float]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.rows) + len(self.unreadable)

    def pin_memory(self) -> PhotoBatch:
        """The batch in memory that is copied to a GPU quickest; a `DataLoader` calls it."""
        return replace(self, pixel_values=self.pixel_values.pin_memory())


class PhotoReader(Protocol):
    """What reads photos in batches: `wordsight.pipelines.image_loader.photo_batches`."""

    def __call__(
        self,
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
        """Batches of photos, in order; batches are dealt to processes."""
