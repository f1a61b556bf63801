"""What is true in the world: which things there are, what they look like, and which are seen together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wordsight import Category, Knowledge

Kind = Literal["planted", "unplanted"]

# Things of one theme are seen together, at one of the theme's places.
THEMES = {
    "sea": ("boat", "anchor", "fish", "flag"),
    "sky": ("moon", "star", "cloud", "kite"),
    "kitchen": ("cup", "bottle", "fork", "pan"),
    "room": ("chair", "table", "lamp", "clock"),
    "garden": ("tree", "flower", "mushroom", "leaf"),
    "workshop": ("hammer", "key", "ladder", "gear"),
    "party": ("heart", "balloon", "gift", "candle"),
}
NAMES = tuple(name for theme in THEMES.values() for name in theme)
SYNONYMS = {
    "boat": ("ship",),
    "star": ("asterisk",),
    "cup": ("mug",),
    "bottle": ("flask",),
    "pan": ("skillet",),
    "chair": ("seat",),
    "table": ("desk",),
    "flower": ("blossom",),
    "mushroom": ("fungus",),
    "gear": ("cog",),
    "gift": ("present",),
    "flag": ("banner",),
    "lamp": ("light",),
    "moon": ("crescent",),
}
COLORS = {
    "red": (205, 45, 40),
    "orange": (235, 140, 40),
    "yellow": (235, 215, 60),
    "green": (50, 150, 60),
    "blue": (50, 90, 205),
    "purple": (135, 60, 160),
    "pink": (240, 150, 185),
    "white": (240, 240, 235),
}
TEXTURES = ("plain", "striped", "dotted", "checkered")
# Things of one look have a color and a texture in common. Looks cross the themes: no theme has a look twice.
LOOKS = (
    ("red", "striped"),
    ("blue", "dotted"),
    ("green", "plain"),
    ("yellow", "checkered"),
    ("purple", "striped"),
    ("white", "dotted"),
    ("orange", "plain"),
)
PLACES = {
    "sand": (200, 180, 130),
    "grass": (95, 135, 70),
    "water": (70, 115, 150),
    "wood": (130, 90, 55),
    "stone": (130, 130, 130),
    "night": (30, 32, 60),
    "snow": (215, 222, 230),
}
THEME_SHARE = 0.8  # of a scene's things, those that are of its theme
LOOK_SHARE = 0.7  # how often a thing has the color of its look, and how often the texture
PLACE_SHARE = 0.6  # how often a theme is at its own place


@dataclass(frozen=True)
class World:
    """A world: what is likely in it.

    Attributes:
        kind: "planted", with themes and looks, or "unplanted", in which all is independent and alike.
    """

    kind: Kind = "planted"

    @property
    def categories(self) -> list[Category]:
        """The things, with their synonyms."""
        return [Category(name, SYNONYMS.get(name, ())) for name in NAMES]

    def theme_of(self, thing: int) -> int:
        """The number of a thing's theme."""
        return thing // 4

    def look_of(self, thing: int) -> int:
        """The number of a thing's look."""
        return (thing // 4 + 2 * (thing % 4)) % len(LOOKS)

    def draw_things(self, count: int, rng: np.random.Generator) -> list[int]:
        """Different things of one scene."""
        theme = int(rng.integers(len(THEMES)))
        things: list[int] = []
        while len(things) < count:
            of_theme = self.kind == "planted" and rng.random() < THEME_SHARE
            thing = 4 * theme + int(rng.integers(4)) if of_theme else int(rng.integers(len(NAMES)))
            if thing not in things:
                things.append(thing)
        return things

    def draw_look(self, thing: int, rng: np.random.Generator) -> tuple[str, str]:
        """A color and a texture for a thing."""
        color, texture = LOOKS[self.look_of(thing)]
        if self.kind == "unplanted" or rng.random() >= LOOK_SHARE:
            color = str(rng.choice(list(COLORS)))
        if self.kind == "unplanted" or rng.random() >= LOOK_SHARE:
            texture = str(rng.choice(TEXTURES))
        return color, texture

    def draw_place(self, thing: int, rng: np.random.Generator) -> str:
        """A place for a scene whose first thing is this one."""
        places = list(PLACES)
        if self.kind == "planted" and rng.random() < PLACE_SHARE:
            return places[self.theme_of(thing)]
        return str(rng.choice(places))

    def groups(self) -> dict[str, list[list[str]]]:
        """The planted groups, as `train_prompts` takes them; also for the unplanted world, where they mean nothing."""
        looks: list[list[str]] = [[] for _ in LOOKS]
        for thing, name in enumerate(NAMES):
            looks[self.look_of(thing)].append(name)
        return {"attribute_groups": looks, "cooccurrence_groups": [list(names) for names in THEMES.values()]}

    def knowledge(self) -> Knowledge:
        """What somebody who knows the world would say of it."""
        planted = self.kind == "planted"
        looks = {name: LOOKS[self.look_of(thing)] for thing, name in enumerate(NAMES)}
        places = dict(zip(THEMES, PLACES, strict=True))
        return Knowledge(
            self.categories,
            model="templates",
            seed=0,
            attributes={name: list(look) for name, look in looks.items()} if planted else {},
            scenes={name: [places[theme]] for theme, names in THEMES.items() for name in names} if planted else {},
            co_occurrence={
                name: {other: 0.8 for other in names if other != name} for names in THEMES.values() for name in names
            }
            if planted
            else {},
        )


def multi_hot(things: list[int]) -> NDArray[np.int8]:
    """Labels (K,) of a scene with these things."""
    labels = np.zeros(len(NAMES), dtype=np.int8)
    labels[things] = 1
    return labels
