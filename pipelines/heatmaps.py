"""Where in a photo a category is: logits of patches as a gray picture of the photo's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight.modeling.tiling import Box
from wordsight.utils.errors import InvalidInputError

# left, top, right, bottom in pixels of the photo.
Seen: TypeAlias = tuple[float, float, float, float]


def seen_box(image_processor: Any, photo_size: tuple[int, int], pixel_size: tuple[int, int]) -> Seen:
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


def seen_part(image_processor: Any, part: Box, pixel_size: tuple[int, int]) -> Seen:
    """What an encoder sees of a part of a photo that was cut out for it (`seen_box`), in pixels of the photo."""
    start, size = part[:2], (part[2] - part[0], part[3] - part[1])
    left, top, right, bottom = seen_box(image_processor, size, pixel_size)
    return left + start[0], top + start[1], right + start[0], bottom + start[1]


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
    box: Seen,
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
    heat = np.round(_from_0_to_255(logits)).astype(np.uint8)
    place, size = _place(logits.shape, pixel_size, box)
    patches = Image.fromarray(heat).resize(size, Image.Resampling.BILINEAR)
    if (place, size) == ((0, 0), photo_size):
        return patches
    heatmap = Image.new("L", photo_size)
    heatmap.paste(patches, place)
    return heatmap


def draw_views(
    logits: NDArray[np.float32],
    photo_size: tuple[int, int],
    pixel_size: tuple[int, int],
    boxes: Sequence[Seen],
    whole_weight: float = 0.5,
) -> Image.Image:
    """A category's heat map from the views of a photo, put together as its score is in one scene (`combine_views`).

    At each pixel stands the weighted mean of the whole photo's logit and of the highest of the tiles that show it, or
    whichever there is.

    Args:
        logits: (V, rows, columns), the local branch at each patch of each view, the whole photo first.
        photo_size: (width, height) of the photo.
        pixel_size: (height, width) of the `pixel_values`.
        boxes: the part of the photo that each view shows (`seen_part`). What is in none is 0.
        whole_weight: what the whole photo counts beside the tiles.
    """
    if len(logits) == 1:
        return draw_heatmap(logits[0], photo_size, pixel_size, boxes[0])
    whole, tiles = (np.full(photo_size[::-1], -np.inf, dtype=np.float32) for _ in range(2))
    for number, (view, box) in enumerate(zip(logits, boxes, strict=True)):
        (left, top), size = _place(view.shape, pixel_size, box)
        shown = np.asarray(Image.fromarray(view).resize(size, Image.Resampling.BILINEAR))
        inside = shown[max(0, -top) :, max(0, -left) :]
        under = (tiles if number else whole)[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]]
        np.maximum(under, inside[: under.shape[0], : under.shape[1]], out=under)
    mean = whole_weight * whole + (1 - whole_weight) * tiles
    both = np.where(np.isinf(whole), tiles, np.where(np.isinf(tiles), whole, mean))
    seen = np.isfinite(both)
    heat = np.zeros(both.shape, dtype=np.uint8)
    heat[seen] = np.round(_from_0_to_255(both[seen]))
    return Image.fromarray(heat)


def _from_0_to_255(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = float(np.ptp(logits))
    scaled: NDArray[np.float32] = (logits - logits.min()) * (255 / spread if spread else 0)
    return scaled


def _place(shape: tuple[int, ...], pixel_size: tuple[int, int], box: Seen) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where patches lie in a photo of which a box is seen: (left, top) and (width, height) in pixels."""
    left, top, right, bottom = box
    # Patches are whole: what is left over at the right and at the bottom has none.
    down, across = (
        count * (pixels // count) / pixels if pixels >= count else 1.0
        for count, pixels in zip(shape, pixel_size, strict=True)
    )
    place = round(left), round(top)
    end = round(left + across * (right - left)), round(top + down * (bottom - top))
    return place, (max(1, end[0] - place[0]), max(1, end[1] - place[1]))
