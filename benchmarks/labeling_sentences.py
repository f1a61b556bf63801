"""Seconds that labeling sentences takes, by the number of sentences and of categories.

python -m benchmarks.labeling_sentences
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

from benchmarks.corpus import category_names
from benchmarks.measure import slope, spread
from wordsight.description_gen import Category, SentenceLabeler
from wordsight.description_gen.labeling import _lemma

SENTENCES = (1_000, 5_000, 20_000, 100_000)
CATEGORIES = (20, 80, 320, 1_000)
AT = 20_000  # sentences at which categories are varied
SEED = 0

TEMPLATES = (
    "A {adjective} {one} stands next to {number} {many} in front of {scene}.",
    "The photo shows {number} {adjective} {many} and a {one} beside {scene}.",
    "There is a {adjective} {one} with a {color} {one} on top of it in {scene}.",
    "{number} {many} are lined up behind the {adjective} {one}, on a {weather} day.",
    "A man holds a {color} {one} and looks at the {one} in {scene}.",
    "In {scene}, {number} {adjective} {many} surround a {one}'s shadow in the {light} light.",
)
# Comma-separated.
WORDS = {
    "adjective": "old, small, shiny, wooden, large, dirty, fluffy, broken, tall, narrow, bright, worn, striped, round",
    "color": "red, blue, green, yellow, white, black, gray, brown, orange, pink, purple, golden, silver",
    "number": "two, three, four, five, several, many, some",
    "weather": "sunny, cloudy, rainy, windy, snowy, foggy, warm, cold",
    "light": "soft, golden, dim, harsh, early, warm, fading",
    "scene": "a harbour, a busy street, a farm yard, the living room, a forest, the kitchen, the beach, a city park",
}


def run(repeats: int = 3) -> dict[str, Any]:
    """Labels sentences made by templates; lemmas that were looked up before are forgotten before each repeat.

    Args:
        repeats: how often each figure is taken.

    Returns:
        "sentences" (at the most categories) and "categories" (at `AT` sentences): for each number the min, median
        and max of seconds, and the slope of the medians on logarithmic axes (1 is linear, 0 is constant).
    """
    names = category_names(max(CATEGORIES))
    sentences = made_sentences(names, max(SENTENCES))

    def measured(number: int, categories: int) -> dict[str, float]:
        seconds = []
        for _ in range(repeats):
            labeler = SentenceLabeler([Category(name) for name in names[:categories]])
            _lemma.cache_clear()
            start = time.perf_counter()
            labeler.label_batch(sentences[:number])
            seconds.append(time.perf_counter() - start)
        return spread(seconds)

    by_sentences = {number: measured(number, max(CATEGORIES)) for number in SENTENCES}
    by_categories = {number: measured(AT, number) for number in CATEGORIES}
    return {
        "words_per_sentence": sum(len(sentence.split()) for sentence in sentences) / len(sentences),
        "sentences": {
            "seconds": by_sentences,
            "slope": slope([*by_sentences], [timing["median"] for timing in by_sentences.values()]),
        },
        "categories": {
            "seconds": by_categories,
            "slope": slope([*by_categories], [timing["median"] for timing in by_categories.values()]),
        },
    }


def made_sentences(names: list[str], number: int) -> list[str]:
    """Sentences that mention names in singular and plural, by the seed."""
    rng = random.Random(SEED)

    def filled(template: str) -> str:
        # Each place is drawn anew: a template may ask for two things.
        parts = template.split("{")
        text = parts[0]
        for part in parts[1:]:
            kind, rest = part.split("}", 1)
            text += _drawn(kind, names, rng) + rest
        return text[0].upper() + text[1:]

    return [filled(rng.choice(TEMPLATES)) for _ in range(number)]


def _drawn(kind: str, names: list[str], rng: random.Random) -> str:
    if kind in WORDS:
        return rng.choice(WORDS[kind].split(", "))
    name = rng.choice(names)
    return name if kind == "one" else _plural(name)


def _plural(name: str) -> str:
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


if __name__ == "__main__":
    print(json.dumps(run()))
