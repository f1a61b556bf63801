"""Cuts a photo into the tiles that were planned for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format

from wordsight.modeling.tiling import Box


def views_of(image: Any, boxes: Sequence[Box]) -> list[Any]:
    """The whole photo, which the first box is, and the parts of it in the others.

    Args:
        image: an image, or an array (H, W, C) or (C, H, W).
        boxes: as `plan_tiles` gives them.
    """
    if len(boxes) == 1:
        return [image]
    if isinstance(image, Image.Image):
        return [image, *(image.crop(box) for box in boxes[1:])]
    if infer_channel_dimension_format(image) == ChannelDimension.LAST:
        return [image, *(image[top:bottom, left:right] for left, top, right, bottom in boxes[1:])]
    return [image, *(image[..., top:bottom, left:right] for left, top, right, bottom in boxes[1:])]
