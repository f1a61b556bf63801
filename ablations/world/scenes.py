"""Draws scenes: things of many sizes on cluttered ground, with the truth of what is where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .shapes import TURNS, mask_of
from .truth import COLORS, NAMES, PLACES, World

HEIGHT, WIDTH = 96, 144  # a centre crop loses a third of it
SIZES = {"small": (18, 20, 22), "medium": (30, 34, 38), "large": (46, 52, 58)}
SIZE_SHARES = (0.3, 0.4, 0.3)
COUNTS = (1, 2, 3, 4, 5)
COUNT_SHARES = (0.35, 0.25, 0.2, 0.12, 0.08)
STYLES = ("normal", "dark", "bright", "blurry", "gray")
STYLE_SHARES = (0.68, 0.08, 0.08, 0.08, 0.08)
MOST_OVERLAP = 0.25  # of a thing's square that another one's may cover
TRIES = 12
GROUNDS = 12  # of each place


@dataclass(frozen=True)
class Thing:
    """One thing in a scene.

    Attributes:
        category: its number.
        size: of `SIZES`.
        color: of `COLORS`.
        texture: of `TEXTURES`.
        box: left, top, right, bottom, in pixels.
    """

    category: int
    size: str
    color: str
    texture: str
    box: tuple[int, int, int, int]

    @property
    def center(self) -> tuple[float, float]:
        """X and y of its middle."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def at_edge(self) -> bool:
        """Whether most of it is outside the square in the middle, which a centre crop keeps."""
        middle, margin = self.center[0], (WIDTH - HEIGHT) / 2
        return middle < margin or middle > WIDTH - margin


@dataclass(frozen=True)
class Scene:
    """A photo of the world, and the truth of it."""

    pixels: NDArray[np.uint8]
    things: tuple[Thing, ...]
    place: str
    style: str


def draw_scene(world: World, rng: np.random.Generator) -> Scene:
    """A scene of 1 to 5 different things."""
    categories = world.draw_things(int(rng.choice(COUNTS, p=COUNT_SHARES)), rng)
    place = world.draw_place(categories[0], rng)
    canvas = _ground(place, rng)
    things: list[Thing] = []
    for category in categories:
        size = str(rng.choice(list(SIZES), p=SIZE_SHARES))
        side = int(rng.choice(SIZES[size]))
        if (box := _free_box(side, things, rng)) is None:
            continue
        thing = Thing(category, size, *world.draw_look(category, rng), box)
        _paint(canvas, thing, side, rng)
        things.append(thing)
    style = str(rng.choice(STYLES, p=STYLE_SHARES))
    return Scene(_styled(canvas, style), tuple(things), place, style)


def _free_box(side: int, things: list[Thing], rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    for _ in range(TRIES):
        left, top = int(rng.integers(WIDTH - side + 1)), int(rng.integers(HEIGHT - side + 1))
        box = (left, top, left + side, top + side)
        if all(_overlap(box, thing.box) <= MOST_OVERLAP for thing in things):
            return box
    return None


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min(one[2] - one[0], other[2] - other[0])
    return max(width, 0) * max(height, 0) / smaller**2


def _paint(canvas: NDArray[np.float32], thing: Thing, side: int, rng: np.random.Generator) -> None:
    """Puts a thing on the canvas, in its color and texture, with a darker line around it."""
    turn = int(TURNS[rng.integers(len(TURNS))])
    body = np.array(COLORS[thing.color], dtype=np.float32) + rng.normal(0, 12, 3).astype(np.float32)
    second = body * 0.45 if body.mean() > 120 else 255 - (255 - body) * 0.45
    left, top, right, bottom = thing.box
    under = canvas[top:bottom, left:right]
    shares, rest = _shares(NAMES[thing.category], side, turn, thing.texture)
    under *= rest
    under += shares @ np.stack([body, second, np.full(3, 20, dtype=np.float32)])


@cache
def _shares(name: str, side: int, turn: int, texture: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much of each pixel is body, second color and line (side, side, 3), and what is left (side, side, 1)."""
    mask, pattern, line = mask_of(name, side, turn), _pattern(texture, side), _outline(name, side, turn)
    filled = mask * (1 - line)
    return np.stack([filled * (1 - pattern), filled * pattern, mask * line], axis=-1), 1 - mask[..., None]


@cache
def _outline(name: str, side: int, turn: int) -> NDArray[np.float32]:
    """Where a thing's own edge is: 1 inside its mask but not inside the mask made a pixel smaller."""
    mask = Image.fromarray((mask_of(name, side, turn) * 255).astype(np.uint8))
    inner = np.asarray(mask.filter(ImageFilter.MinFilter(3)), dtype=np.float32) / 255
    return np.clip(mask_of(name, side, turn) - inner, 0, 1) * 0.8


@cache
def _pattern(texture: str, side: int) -> NDArray[np.float32]:
    """(side, side): 1 where the second color is."""
    y, x = np.mgrid[:side, :side]
    step = 3 if side < 25 else 5
    patterns = {
        "plain": np.zeros((side, side), dtype=bool),
        "striped": (x + y) // step % 2 == 0,
        "checkered": (x // step + y // step) % 2 == 0,
        "dotted": (x % (2 * step) - step) ** 2 + (y % (2 * step) - step) ** 2 < (0.62 * step) ** 2,
    }
    return patterns[texture].astype(np.float32)


@cache
def _grounds(place: str) -> NDArray[np.uint8]:
    """(GROUNDS, 2 * HEIGHT, 2 * WIDTH, 3): clutter in a place's color, from which scenes take a part each."""
    rng = np.random.default_rng([7, list(PLACES).index(place)])
    grounds = []
    for _ in range(GROUNDS):
        coarse = np.array(PLACES[place]) + rng.normal(0, 28, (12, 18, 3)) + rng.normal(0, 20, (12, 18, 1))
        image = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((2 * WIDTH, 2 * HEIGHT))
        draw = ImageDraw.Draw(image)
        for _ in range(70):
            x, y = rng.integers(2 * WIDTH), rng.integers(2 * HEIGHT)
            reach = rng.integers(3, 14, 2)
            fill = tuple(int(value) for value in np.clip(np.array(PLACES[place]) + rng.normal(0, 45, 3), 0, 255))
            if rng.random() < 0.5:
                draw.line((x, y, x + 2 * reach[0], y + reach[1]), fill=fill, width=int(rng.integers(1, 3)))
            else:
                draw.ellipse((x, y, x + reach[0], y + reach[1]), fill=fill)
        grain = np.asarray(image) + rng.normal(0, 6, (2 * HEIGHT, 2 * WIDTH, 1))
        grounds.append(np.clip(grain, 0, 255).astype(np.uint8))
    return np.stack(grounds)


def _ground(place: str, rng: np.random.Generator) -> NDArray[np.float32]:
    ground = _grounds(place)[rng.integers(GROUNDS)]
    top, left = rng.integers(HEIGHT + 1), rng.integers(WIDTH + 1)
    part = ground[top : top + HEIGHT, left : left + WIDTH]
    return (part[:, ::-1] if rng.random() < 0.5 else part).astype(np.float32)


def _styled(canvas: NDArray[np.float32], style: str) -> NDArray[np.uint8]:
    if style == "dark":
        canvas = canvas * 0.45
    elif style == "bright":
        canvas = canvas * 1.2 + 30
    elif style == "gray":
        canvas = np.repeat(canvas.mean(axis=-1, keepdims=True), 3, axis=-1)
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    if style == "blurry":
        pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(1)))
    return pixels
