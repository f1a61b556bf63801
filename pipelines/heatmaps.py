"""Where in a photo a category is: logits of patches as a gray picture of the photo's size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.utils.errors import InvalidInputError


def seen_box(
    image_processor: Any, photo_size: tuple[int, int], pixel_size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The part of a photo that an encoder sees.

    Args:
        image_processor: what prepared the photo.
        photo_size: (width, height) of the photo.
        pixel_size: (height, width) of the `pixel_values` that came of it.

    Returns:
        left, top, right, bottom in pixels of the photo; beyond the photo where it was padded.

    Raises:
        InvalidInputError: the processor resizes in a way that is not known here.
    """
    width, height = photo_size
    if not getattr(image_processor, "do_center_crop", None):
        return 0.0, 0.0, float(width), float(height)
    resized_height, resized_width = _resized(image_processor, width, height)
    # As transformers crops; where the photo is smaller than the crop, these are negative.
    top, left = (resized_height - pixel_size[0]) // 2, (resized_width - pixel_size[1]) // 2
    across, down = width / resized_width, height / resized_height
    return left * across, top * down, (left + pixel_size[1]) * across, (top + pixel_size[0]) * down


def _resized(image_processor: Any, width: int, height: int) -> tuple[int, int]:
    """(height, width) of a photo before it is cropped."""
    if not image_processor.do_resize:
        return height, width
    given = image_processor.size
    size = {side: given.get(side) for side in ("height", "width", "shortest_edge") if given.get(side)}
    if set(size) == {"height", "width"}:
        return size["height"], size["width"]
    if set(size) == {"shortest_edge"} and not given.get("longest_edge"):
        short = size["shortest_edge"]
        longer = int(short * max(width, height) / min(width, height))
        return (longer, short) if width <= height else (short, longer)
    raise InvalidInputError(
        f"Heat maps can't be placed for an image processor of size {dict(given)} that crops. Known are a height and a "
        "width, and a shortest edge."
    )


def draw_heatmap(
    logits: NDArray[np.float32],
    photo_size: tuple[int, int],
    pixel_size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> Image.Image:
    """A category's heat map of a photo: mode "L", from 0 at the patch with the least logit to 255 at the greatest.

    Brightness says where in this photo, not whether: a category that is nowhere has a brightest patch, too. Its score
    says whether.

    Args:
        logits: (rows, columns), the local branch at each patch.
        photo_size: (width, height) of the photo.
        pixel_size: (height, width) of the `pixel_values`.
        box: the part of the photo that these show (`seen_box`). What is outside is 0.
    """
    spread = float(np.ptp(logits))
    heat = (logits - logits.min()) * (255 / spread if spread else 0)
    left, top, right, bottom = box
    # Patches are whole: what is left over at the right and at the bottom has none.
    down, across = (
        count * (pixels // count) / pixels if pixels >= count else 1.0
        for count, pixels in zip(logits.shape, pixel_size, strict=True)
    )
    place = round(left), round(top)
    end = round(left + across * (right - left)), round(top + down * (bottom - top))
    size = max(1, end[0] - place[0]), max(1, end[1] - place[1])
    patches = Image.fromarray(np.round(heat).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    if (place, size) == ((0, 0), photo_size):
        return patches
    heatmap = Image.new("L", photo_size)
    heatmap.paste(patches, place)
    return heatmap
