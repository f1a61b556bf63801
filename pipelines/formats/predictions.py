"""Labels of many photos, as `predict_shards` left them, photo by photo."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from PIL import ExifTags

from ..image_io import UNREADABLE, reason_of
from ..photo_formats import is_jpeg, open_file, open_jpeg

UPRIGHT = range(5)  # EXIF orientations that leave width and height as they are; 0 is none


@dataclass(frozen=True)
class PhotoLabels:
    """One photo's labels.

    Attributes:
        name: path relative to the source, with / between folders; tar/key or file:row of a photo that is no file.
        labels: best first.
        scores: one a label.
        error: why the photo can't be read, else None.
    """

    name: str
    labels: list[str]
    scores: list[float]
    error: str | None


@dataclass(frozen=True)
class Predictions:
    """Labels of many photos, which are read from disk as they are asked for.

    Attributes:
        folder: the parquet files of `predict_shards`.
        root: folder that photos' names are relative to; None where photos are no files of their own.
        categories: the model's.
        model_version: the model's name and state, for tools that keep it with labels.
    """

    folder: Path
    root: Path | None
    categories: list[str]
    model_version: str

    def __iter__(self) -> Iterator[PhotoLabels]:
        for path in sorted(self.folder.glob("part-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches():
                for row in batch.to_pylist():
                    yield PhotoLabels(row["photo"], row["labels"], row["scores"], row["error"])

    def readable(self) -> Iterator[PhotoLabels]:
        """Photos that have no error, and are where they were; says of the others that they are left out."""
        for photo in self:
            if photo.error is not None:
                continue
            if self.root is not None and not self.path(photo).is_file():
                warnings.warn(f"{photo.name} is not found by its name, and left out.", stacklevel=2)
                continue
            yield photo

    def sized(self) -> Iterator[tuple[PhotoLabels, int, int]]:
        """`readable`, with width and height as a photo is shown; those that can't be read any more are left out."""
        for photo in self.readable():
            try:
                size = upright_size(self.path(photo))
            except UNREADABLE as error:
                warnings.warn(f"{photo.name} was labeled, but is left out: {reason_of(error)}.", stacklevel=2)
                continue
            yield photo, *size

    def path(self, photo: PhotoLabels) -> Path:
        """Where a photo is."""
        assert self.root is not None
        return self.root / photo.name


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a photo as it is shown, from its header.

    Raises:
        OSError, ValueError, ...: one of `UNREADABLE`, it can't be read.
    """
    with path.open("rb") as file, open_jpeg(file) if is_jpeg(file) else open_file(file) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 0) not in UPRIGHT
    return (height, width) if turned else (width, height)
