"""Wide and crowded photos with known labels, from any labeled set: several photos side by side in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from wordsight.utils.errors import InvalidInputError

from ..photo_batches import PhotoSource
from .datasets import ABSENT, IGNORED, PRESENT, EvaluationDataset
from .labeled_photo import LabeledPhoto
from .options import parse_layout

SIDE = 300  # pixels of each photo in a mosaic
# As many mosaics as there are photos, within these bounds.
FEWEST, MOST = 24, 500


@dataclass(frozen=True)
class Mosaic:
    """Photos as one picture; a source of photos (see `PhotoSource`) that workers open.

    Attributes:
        sources: the photos, row by row.
        columns: how many stand side by side.
        open_photo: opens one of them, upright and in RGB.
    """

    sources: tuple[PhotoSource, ...]
    columns: int
    open_photo: Callable[[PhotoSource], Image.Image]

    def __call__(self) -> Image.Image:
        """The picture: the middle square of each photo, in one size."""
        picture = Image.new("RGB", (SIDE * self.columns, SIDE * len(self.sources) // self.columns))
        for number, source in enumerate(self.sources):
            row, column = divmod(number, self.columns)
            square = ImageOps.fit(self.open_photo(source), (SIDE, SIDE), Image.Resampling.BICUBIC)
            picture.paste(square, (SIDE * column, SIDE * row))
        return picture


def make_mosaics(
    dataset: EvaluationDataset, layout: str, open_photo: Callable[[PhotoSource], Image.Image], seed: int = 0
) -> EvaluationDataset:
    """Mosaics of different photos of a labeled set, drawn at random; each has all the labels of its photos.

    There are as many as photos, but 24 at least and 500 at most. A label counts as absent where none of the photos has
    it, and does not count where that is unknown of one.

    Args:
        dataset: labeled photos.
        layout: columns x rows: "2x2", "4x1", ...
        open_photo: opens a photo, such as `wordsight.pipelines.image_loader.open_photo`.
        seed: of the draw.

    Raises:
        InvalidInputError: there are fewer photos than a mosaic has.
    """
    columns, rows = parse_layout(layout)
    count, many = columns * rows, len(dataset.photos)
    if many < count:
        raise InvalidInputError(f"--mosaic {layout} takes {count} photos, and {dataset.name} has {many}.")
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(many)[:count] for _ in range(min(MOST, max(FEWEST, many)))]
    photos = [
        LabeledPhoto(
            f"{layout} mosaic of {', '.join(dataset.photos[row].name for row in chosen)}",
            Mosaic(tuple(dataset.photos[row].source for row in chosen), columns, open_photo),
            frozenset(),
        )
        for chosen in drawn
    ]
    labels = np.stack([_union(dataset.labels[chosen]) for chosen in drawn])
    return EvaluationDataset(f"{dataset.name}, {layout}", photos, labels, np.zeros_like(labels), [])


def _union(labels: NDArray[np.int8]) -> NDArray[np.int8]:
    """Labels (K,) of photos (N, K) as one."""
    unknown = np.where((labels == IGNORED).any(axis=0), IGNORED, ABSENT)
    return np.where((labels == PRESENT).any(axis=0), PRESENT, unknown).astype(np.int8)
