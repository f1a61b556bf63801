"""Sentences about the world: captions as people put under photos, and descriptions as a language model writes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from wordsight.modeling.evaluation.methods import clip_templates

from .scenes import HEIGHT, WIDTH, Scene, Thing
from .truth import NAMES, SYNONYMS, World

SYNONYM_SHARE = 0.35
COLOR_SHARE, TEXTURE_SHARE, SIZE_SHARE, PLACE_SHARE = 0.45, 0.3, 0.2, 0.25
UNMENTIONED = {"small": 0.4, "medium": 0.15, "large": 0.05}  # of things, by size
TEMPLATE_SHARE = 0.2  # of captions of one thing, those in one of CLIP's 80 templates
PLACE_WORDS = {
    "sand": ("on the sand", "at the beach", "on sandy ground"),
    "grass": ("on the grass", "in a meadow", "on the lawn"),
    "water": ("by the water", "on the lake", "over the water"),
    "wood": ("on a wooden floor", "on wood", "on the wooden board"),
    "stone": ("on stone", "on gray stone", "in front of a stone wall"),
    "night": ("at night", "in the dark", "after dark"),
    "snow": ("in the snow", "on snowy ground", "in winter"),
}
STYLE_WORDS = {"dark": ("dark",), "bright": ("bright",), "blurry": ("blurry",), "gray": ("black and white",)}
ONE = (
    *("{}", "{}", "{}", "there is {}", "this is {}", "i saw {} today", "here you can see {}", "look at {}", "just {}"),
    *(
        "my new picture of {}",
        "{} in the picture",
        "somebody left {} here",
        "{} for sale",
        "we found {}",
        "image of {}",
    ),
    *(
        "only {}",
        "{} alone",
        "{} seen today",
        "somebody took {}",
        "{} stands here",
        "one picture of {}",
        "{} from near",
    ),
    *("can this be {}", "{} in one photo"),
)
SEVERAL = (
    *("{} and {}", "{} with {}", "{} next to {}", "{} near {}", "{} beside {}", "there is {} and {}"),
    *("here are {} and {}", "picture of {} and {}", "we saw {} together with {}", "you can see {} as well as {}"),
)
# A language model's own way to write, with words that captions have but not in this order.
DESCRIPTIONS_ONE = (
    "A photo with {}.", "There is {} in the picture.", "In this photo you can see {}.", "Here is {}, seen from near.",
    "A picture of {}.", "Somebody took a photo of {}.", "{} stands alone.", "Only {} can be seen here.",
)  # fmt: skip
DESCRIPTIONS_SEVERAL = (
    "A photo with {} and {}.", "{} stands beside {}.", "There is {} near {} in the picture.",
    "In this photo {} is next to {}.", "Here you can see {} together with {}.", "{} and {} in one picture.",
    "Somebody left {} next to {}.", "A picture of {} as well as {}.",
)  # fmt: skip
SINGLE_SHARE = 0.5  # of the descriptions
DESCRIBED_COUNTS, DESCRIBED_SHARES = (2, 3, 4), (0.6, 0.3, 0.1)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """What somebody writes under a photo: some of the things, and some of what can be said of them."""
    things = [thing for thing in scene.things if rng.random() >= UNMENTIONED[thing.size]] or [scene.things[0]]
    things = [things[index] for index in rng.permutation(len(things))]
    style, gray = STYLE_WORDS.get(scene.style), scene.style == "gray"
    if len(things) == 1:
        text = _of_one(things[0], scene, rng)
    elif len(things) == 2 and rng.random() < 0.35:
        text = f"{_phrase(things[0], gray, rng)} {_relation(*things)} {_phrase(things[1], gray, rng)}"
    else:
        first, last = _list([_phrase(thing, gray, rng) for thing in things[:-1]]), _phrase(things[-1], gray, rng)
        text = _pick(SEVERAL, rng).format(first, last)
    if style and rng.random() < 0.4:
        text = f"a {style[0]} photo of {text}"
    if rng.random() < PLACE_SHARE:
        text += f" {_pick(PLACE_WORDS[scene.place], rng)}"
    return text


def _of_one(thing: Thing, scene: Scene, rng: np.random.Generator) -> str:
    # Half of the things are never in a template, so that "a photo of a ..." is not what every name was learned in.
    if thing.category % 2 == 0 and scene.style == "normal" and rng.random() < TEMPLATE_SHARE:
        return _pick(_fitting_templates(thing.size), rng).format(_word(thing.category, rng))
    text = _pick(ONE, rng).format(_phrase(thing, scene.style == "gray", rng))
    x, y = thing.center[0] / WIDTH, thing.center[1] / HEIGHT
    if rng.random() < 0.1:
        text += " " + (
            "on the left" if x < 0.33 else "on the right" if x > 0.67 else "at the top" if y < 0.4 else "below"
        )
    return text


@cache
def _fitting_templates(size: str) -> tuple[str, ...]:
    """CLIP's templates but for those that say how a photo looks or how large the thing is, if it is not."""
    wrong = {"dark", "bright", "blurry", "pixelated", "low", "black", "many"}
    wrong |= {"small": {"large", "close-up"}, "large": {"small", "hard"}, "medium": {"small", "large", "hard"}}[size]
    return tuple(template.rstrip(".") for template in clip_templates() if not wrong & set(template.split()))


def _relation(one: Thing, other: Thing) -> str:
    (x1, y1), (x2, y2) = one.center, other.center
    if abs(x1 - x2) > abs(y1 - y2):
        return "to the left of" if x1 < x2 else "to the right of"
    return "above" if y1 < y2 else "below"


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _word(category: int, rng: np.random.Generator) -> str:
    name = NAMES[category]
    return _pick(SYNONYMS[name], rng) if name in SYNONYMS and rng.random() < SYNONYM_SHARE else name


def _phrase(thing: Thing, gray: bool, rng: np.random.Generator) -> str:
    """A thing with its article and some of its attributes, which a gray photo shows no colors of."""
    words = []
    if thing.size != "medium" and rng.random() < SIZE_SHARE:
        words.append(_pick({"small": ("small", "little", "tiny"), "large": ("big", "large")}[thing.size], rng))
    words += [thing.color] * int(not gray and rng.random() < COLOR_SHARE)
    words += [thing.texture] * int(thing.texture != "plain" and rng.random() < TEXTURE_SHARE)
    return _with_article([*words, _word(thing.category, rng)], rng)


def _with_article(words: list[str], rng: np.random.Generator) -> str:
    text = " ".join(words)
    article = "the" if rng.random() < 0.15 else "an" if text[0] in "aeiou" else "a"
    return f"{article} {text}"


def _list(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def describe(world: World, number: int, seed: int = 0) -> tuple[str, list[int], str]:
    """A description as a language model writes that knows the world: what is seen together and what things look like.

    Args:
        world: what it knows.
        number: of the description; even ones are about one thing, which all come equally often.
        seed: of all descriptions.

    Returns:
        The text, the things it names, and its kind: "single" or "multiple".
    """
    rng = np.random.default_rng([seed, number, 5])
    anchor = number // 2 % len(NAMES)
    things = [anchor]
    if number % 2:
        count = int(rng.choice(DESCRIBED_COUNTS, p=DESCRIBED_SHARES))
        while len(things) < count:
            company = _company(world, anchor, rng)
            if company not in things:
                things.append(company)
    phrases = [_described(world, thing, rng) for thing in things]
    if len(things) == 1:
        text = _pick(DESCRIPTIONS_ONE, rng).format(phrases[0])
    else:
        text = _pick(DESCRIPTIONS_SEVERAL, rng).format(_list(phrases[:-1]), phrases[-1])
    if rng.random() < 0.3:
        text = f"{text[:-1]} {_pick(PLACE_WORDS[world.draw_place(anchor, rng)], rng)}."
    return text[0].upper() + text[1:], things, "multiple" if number % 2 else "single"


def _company(world: World, anchor: int, rng: np.random.Generator) -> int:
    if world.kind == "planted" and rng.random() < 0.8:
        return 4 * world.theme_of(anchor) + int(rng.integers(4))
    return int(rng.integers(len(NAMES)))


def _described(world: World, thing: int, rng: np.random.Generator) -> str:
    color, texture = world.draw_look(thing, rng)
    words = [color] * int(rng.random() < COLOR_SHARE)
    words += [texture] * int(texture != "plain" and rng.random() < TEXTURE_SHARE)
    return _with_article([*words, _word(thing, rng)], rng)
