"""A photo with a heat map on it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from wordsight.pipelines.image_io import decode_photo
from wordsight.utils.errors import MissingDependencyError

STRONGEST = 0.7  # share of the heat map's color where it is brightest


def overlay(photo: Image.Image, heatmap: Image.Image) -> Image.Image:
    """A photo with a heat map on it: yellow where the map is brightest, the photo in gray where it is dark.

    Args:
        photo: the photo, of any size.
        heatmap: as the pipeline gives it with `output_heatmaps=True`, mode "L"; brought to the photo's size.

    Returns:
        An RGB image of the photo's size.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise MissingDependencyError("Heat maps need matplotlib. Run `pip install 'wordsight[plot]'`.") from error
    photo = decode_photo(photo)
    heat = heatmap.convert("L")
    if heat.size != photo.size:
        heat = heat.resize(photo.size, Image.Resampling.BILINEAR)
    colors = (255 * colormaps["inferno"](np.arange(256))[:, :3]).astype(np.uint8)
    return Image.composite(
        Image.fromarray(colors[np.asarray(heat)]),
        Image.blend(photo, photo.convert("L").convert("RGB"), 0.5),
        heat.point([round(STRONGEST * value) for value in range(256)]),
    )
