"""What things look like in the world: outlines made of polygons and ellipses, as masks of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Part = tuple[float, ...]  # 4 numbers: the box of an ellipse; more: the corners of a polygon

DETAIL = 4  # masks are drawn so many times larger and then reduced, so that edges are smooth
TURNS = (-12, -6, 0, 6, 12)  # degrees by which things are turned


@dataclass(frozen=True)
class Shape:
    """An outline in the unit square.

    Attributes:
        parts: what is filled.
        holes: what is cut out afterwards.
    """

    parts: tuple[Part, ...]
    holes: tuple[Part, ...] = ()


def _around(corners: int, radii: tuple[float, ...], turn: float = -90.0) -> Part:
    """A polygon around the middle, whose corners are at these distances by turns."""
    points: list[float] = []
    for corner in range(corners):
        angle = math.radians(turn + 360 * corner / corners)
        radius = radii[corner % len(radii)]
        points += [0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)]
    return tuple(points)


SHAPES = {
    "boat": Shape(((0, 0.65, 1, 0.65, 0.8, 0.95, 0.2, 0.95), (0.5, 0.05, 0.5, 0.58, 0.92, 0.58))),
    "anchor": Shape(
        (
            (0.44, 0.2, 0.56, 0.2, 0.56, 1, 0.44, 1),
            (0.33, 0, 0.67, 0.3),
            (0.25, 0.36, 0.75, 0.36, 0.75, 0.46, 0.25, 0.46),
            (0, 0.55, 0.2, 0.6, 0.5, 0.86, 0.8, 0.6, 1, 0.55, 0.85, 0.85, 0.5, 1, 0.15, 0.85),
        ),
        ((0.42, 0.08, 0.58, 0.22),),
    ),
    "fish": Shape(((0, 0.22, 0.75, 0.78), (0.65, 0.5, 1, 0.15, 1, 0.85)), ((0.14, 0.38, 0.24, 0.48),)),
    "flag": Shape(((0.1, 0, 0.2, 0, 0.2, 1, 0.1, 1), (0.2, 0.05, 0.95, 0.05, 0.78, 0.28, 0.95, 0.52, 0.2, 0.52))),
    "moon": Shape(((0.05, 0, 1, 1),), ((0.4, -0.05, 1.25, 0.85),)),
    "star": Shape((_around(10, (0.52, 0.2)),)),
    "cloud": Shape(
        ((0, 0.4, 0.5, 0.9), (0.2, 0.15, 0.75, 0.75), (0.5, 0.35, 1, 0.9), (0.25, 0.6, 0.8, 0.6, 0.8, 0.9, 0.25, 0.9))
    ),
    "kite": Shape(
        ((0.5, 0, 0.88, 0.3, 0.5, 0.75, 0.12, 0.3), (0.47, 0.7, 0.53, 0.7, 0.62, 0.85, 0.5, 1, 0.43, 0.97, 0.53, 0.85))
    ),
    "cup": Shape(((0.08, 0.2, 0.7, 0.2, 0.62, 0.92, 0.16, 0.92), (0.55, 0.28, 1, 0.72)), ((0.67, 0.4, 0.88, 0.6),)),
    "bottle": Shape(
        ((0.4, 0, 0.6, 0, 0.6, 0.28, 0.4, 0.28), (0.4, 0.25, 0.6, 0.25, 0.74, 0.45, 0.74, 1, 0.26, 1, 0.26, 0.45))
    ),
    "fork": Shape(
        ((0.44, 0.4, 0.56, 0.4, 0.56, 1, 0.44, 1), (0.25, 0, 0.75, 0, 0.7, 0.48, 0.3, 0.48)),
        ((0.35, -0.1, 0.44, -0.1, 0.44, 0.3, 0.35, 0.3), (0.56, -0.1, 0.65, -0.1, 0.65, 0.3, 0.56, 0.3)),
    ),
    "pan": Shape(((0, 0.2, 0.65, 0.85), (0.55, 0.45, 1, 0.45, 1, 0.6, 0.55, 0.6)), ((0.12, 0.32, 0.53, 0.73),)),
    "chair": Shape(
        (
            (0.15, 0, 0.3, 0, 0.3, 1, 0.15, 1),
            (0.15, 0.5, 0.85, 0.5, 0.85, 0.65, 0.15, 0.65),
            (0.7, 0.55, 0.85, 0.55, 0.85, 1, 0.7, 1),
        )
    ),
    "table": Shape(
        (
            (0, 0.25, 1, 0.25, 1, 0.42, 0, 0.42),
            (0.1, 0.4, 0.22, 0.4, 0.22, 0.95, 0.1, 0.95),
            (0.78, 0.4, 0.9, 0.4, 0.9, 0.95, 0.78, 0.95),
        )
    ),
    "lamp": Shape(
        ((0.3, 0, 0.7, 0, 0.95, 0.48, 0.05, 0.48), (0.44, 0.45, 0.56, 0.45, 0.56, 0.9, 0.44, 0.9), (0.2, 0.85, 0.8, 1))
    ),
    "clock": Shape(
        ((0, 0, 1, 1),),
        ((0.46, 0.15, 0.54, 0.15, 0.54, 0.54, 0.46, 0.54), (0.46, 0.46, 0.8, 0.46, 0.8, 0.55, 0.46, 0.55)),
    ),
    "tree": Shape(
        ((0.5, 0, 0.9, 0.4, 0.1, 0.4), (0.5, 0.2, 1, 0.75, 0, 0.75), (0.42, 0.7, 0.58, 0.7, 0.58, 1, 0.42, 1))
    ),
    "flower": Shape(
        tuple(
            (
                0.5 + 0.3 * math.cos(a) - 0.2,
                0.5 + 0.3 * math.sin(a) - 0.2,
                0.5 + 0.3 * math.cos(a) + 0.2,
                0.5 + 0.3 * math.sin(a) + 0.2,
            )
            for a in (0.3, 1.557, 2.813, 4.07, 5.327)
        ),
        ((0.38, 0.38, 0.62, 0.62),),
    ),
    "mushroom": Shape(
        ((0, 0.05, 1, 0.95), (0.35, 0.45, 0.65, 0.45, 0.7, 1, 0.3, 1)),
        ((-0.1, 0.52, 0.36, 0.52, 0.3, 1.1, -0.1, 1.1), (0.64, 0.52, 1.1, 0.52, 1.1, 1.1, 0.7, 1.1)),
    ),
    "leaf": Shape(
        ((0.5, 0, 0.82, 0.3, 0.85, 0.6, 0.5, 0.85, 0.15, 0.6, 0.18, 0.3), (0.47, 0.8, 0.53, 0.8, 0.53, 1, 0.47, 1)),
        ((0.48, 0.2, 0.52, 0.2, 0.52, 0.75, 0.48, 0.75),),
    ),
    "hammer": Shape(((0.1, 0.05, 0.9, 0.05, 0.9, 0.35, 0.1, 0.35), (0.43, 0.3, 0.57, 0.3, 0.57, 1, 0.43, 1))),
    "key": Shape(
        (
            (0, 0.3, 0.42, 0.72),
            (0.38, 0.45, 1, 0.45, 1, 0.57, 0.38, 0.57),
            (0.9, 0.5, 1, 0.5, 1, 0.78, 0.9, 0.78),
            (0.72, 0.5, 0.82, 0.5, 0.82, 0.72, 0.72, 0.72),
        ),
        ((0.12, 0.42, 0.3, 0.6),),
    ),
    "ladder": Shape(
        (
            (0.2, 0, 0.32, 0, 0.32, 1, 0.2, 1),
            (0.68, 0, 0.8, 0, 0.8, 1, 0.68, 1),
            *((0.25, y, 0.75, y, 0.75, y + 0.09, 0.25, y + 0.09) for y in (0.1, 0.33, 0.56, 0.8)),
        )
    ),
    "gear": Shape((_around(24, (0.5, 0.5, 0.36, 0.36)),), ((0.33, 0.33, 0.67, 0.67),)),
    "heart": Shape(((0, 0.05, 0.54, 0.58), (0.46, 0.05, 1, 0.58), (0.04, 0.42, 0.5, 0.3, 0.96, 0.42, 0.5, 1))),
    "balloon": Shape(
        ((0.12, 0, 0.88, 0.8), (0.5, 0.75, 0.6, 0.88, 0.4, 0.88), (0.48, 0.85, 0.53, 0.85, 0.53, 1, 0.48, 1))
    ),
    "gift": Shape(
        ((0.05, 0.3, 0.95, 0.3, 0.95, 1, 0.05, 1), (0.2, 0.02, 0.5, 0.3), (0.5, 0.02, 0.8, 0.3)),
        ((0.46, 0.34, 0.54, 0.34, 0.54, 1, 0.46, 1), (0.05, 0.56, 0.95, 0.56, 0.95, 0.63, 0.05, 0.63)),
    ),
    "candle": Shape(
        (
            (0.36, 0.38, 0.64, 0.38, 0.64, 1, 0.36, 1),
            (0.5, 0, 0.62, 0.22, 0.5, 0.34, 0.38, 0.22),
            (0.2, 0.9, 0.8, 0.9, 0.8, 1, 0.2, 1),
        )
    ),
}


@cache
def mask_of(name: str, size: int, turn: int) -> NDArray[np.float32]:
    """Where a thing is in its square: (size, size) in [0, 1], read-only.

    Args:
        name: of `SHAPES`.
        size: of the square, in pixels.
        turn: degrees by which it is turned.
    """
    side = size * DETAIL
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    inner = 0.86 * side  # turned things stay in the square
    shape = SHAPES[name]
    for value, parts in ((255, shape.parts), (0, shape.holes)):
        for part in parts:
            points = [0.07 * side + inner * number for number in part]
            (draw.ellipse if len(part) == 4 else draw.polygon)(points, fill=value)
    image = image.rotate(turn, Image.Resampling.BILINEAR).resize((size, size), Image.Resampling.BOX)
    mask = np.asarray(image, dtype=np.float32) / 255
    mask.flags.writeable = False
    return mask
