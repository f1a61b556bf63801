"""Which parts of a photo are looked at one by one, beside the whole: tiles that follow the photo's shape.

An encoder squashes or crops each photo to one square. In a wide photo or a crowded one, what it is to find becomes
small or falls away; tiles show it as large as in a photo of its own.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

from wordsight.utils.errors import InvalidInputError

Tiling = Literal["off", "auto", "fine"]
TILINGS: tuple[Tiling, ...] = get_args(Tiling)
# left, top, right, bottom in pixels of the photo.
Box: TypeAlias = tuple[int, int, int, int]

OVERLAP = 1 / 3  # of a tile with the next: what one cuts through is whole in another
LONGEST = 1.4  # times as long as wide; longer tiles would be squashed as the photo is
# At most so many tiles along the shorter side, and as few as that makes so many in all.
ROWS: dict[Tiling, int] = {"off": 1, "auto": 2, "fine": 3}
MOST: dict[Tiling, int] = {"off": 1, "auto": 6, "fine": 15}


def check_tiling(tiles: str) -> Tiling:
    """The tiling of that name.

    Raises:
        InvalidInputError: there is none.
    """
    for known in TILINGS:
        if tiles == known:
            return known
    raise InvalidInputError(f"Unknown tiles {tiles!r}. Pass one of {', '.join(TILINGS)}.")


def plan_tiles(width: int, height: int, tiles: Tiling) -> list[Box]:
    """What of a photo goes through the encoder: the whole, then tiles that cover it, row by row.

    Tiles overlap by a third of their sides and are at most 1.4 times as long as wide. "auto" cuts a square photo into
    2 x 2 and one of 4:1 into 4 x 1, "fine" into 3 x 3 and 7 x 2: the longer a photo, the fewer rows, so that its cost
    stays within bounds until it is a strip.

    Args:
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        tiles: "off" (the whole photo alone), "auto" or "fine".

    Example:
        >>> from wordsight.modeling.tiling import plan_tiles
        >>> plan_tiles(500, 500, "auto")
        [(0, 0, 500, 500), (0, 0, 300, 300), (200, 0, 500, 300), (0, 200, 300, 500), (200, 200, 500, 500)]
        >>> [len(plan_tiles(1200, 300, tiles)) for tiles in ("off", "auto", "fine")]
        [1, 5, 15]
    """
    whole = (0, 0, width, height)
    if tiles == "off":
        return [whole]
    shorter, longer = sorted((width, height))
    few, many = _counts(longer / shorter, tiles)
    columns, rows = (many, few) if width >= height else (few, many)
    across, down = _spans(width, columns), _spans(height, rows)
    boxes = [(left, top, right, bottom) for top, bottom in down for left, right in across]
    return list(dict.fromkeys([whole, *boxes]))


def whole_weight(width: int, height: int) -> float:
    """What the whole photo's score counts beside its tiles': half, and the less the more it is squashed."""
    aspect = max(width, height) / min(width, height)
    return 0.5 if aspect <= LONGEST else 1 / (1 + aspect)


def smallest_side(tiles: Tiling) -> float:
    """The least part of a photo's shorter side that a tile covers."""
    return _side(ROWS[tiles])


def _counts(aspect: float, tiles: Tiling) -> tuple[int, int]:
    """Tiles along the shorter and along the longer side of a photo."""
    for rows in range(ROWS[tiles], 1, -1):
        columns = max(rows, _columns(aspect, _side(rows)))
        if rows * columns <= MOST[tiles]:
            return rows, columns
    return 1, _columns(aspect, 1.0)


def _columns(aspect: float, side: float) -> int:
    """The fewest tiles of that height along a side `aspect` times as long, none longer than `LONGEST`."""
    # side(n) = aspect / (n - (n - 1) OVERLAP) <= LONGEST side
    needed = (aspect / (LONGEST * side) - OVERLAP) / (1 - OVERLAP)
    return max(1, math.ceil(needed - 1e-9))


def _side(count: int) -> float:
    """The part of a side that each of so many tiles covers: count * side - (count - 1) * OVERLAP * side = 1."""
    return 1 / (count - (count - 1) * OVERLAP)


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    """Start and end of so many tiles along a side, the last at its very end, each of a pixel at least."""
    side = _side(count)
    starts = [number * side * (1 - OVERLAP) for number in range(count)]
    # The clamps are for photos of a few pixels.
    first = [min(round(start * length), length - 1) for start in starts]
    return [(pixel, max(round((start + side) * length), pixel + 1)) for pixel, start in zip(first, starts, strict=True)]
