"""Cuts a photo into the tiles that were planned for it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from wordsight.modeling.tiling import Box


def views_of(image: Image.Image, boxes: Sequence[Box]) -> list[Image.Image]:
    """The whole photo, which the first box is, and the parts of it in the others.

    Args:
        image: the photo.
        boxes: as `plan_tiles` gives them.
    """
    return [image, *(image.crop(box) for box in boxes[1:])]
