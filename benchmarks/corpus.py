"""Categories and sentences to measure with, as many as are wanted."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from wordsight.description_gen import read_categories
from wordsight.modeling.configuration_wordsight import WordsightConfig

PATTERNS = (
    "A {} stands next to a {} in front of an old brick building on a sunny day.",
    "Two people look at a {} while a {} waits behind them in the quiet street.",
    "In the kitchen there is a {} on the wooden table, and a {} by the window.",
    "Close-up of a {} with a small {} in the blurred background.",
    "The {} is red and shiny; somebody has left a {} on the green grass beside it.",
)


def category_names(count: int) -> list[str]:
    """COCO's 80 categories; more are taken from the names of ImageNet's classes."""
    names = [category.name for category in read_categories("coco")]
    if count > len(names):
        listed = files("wordsight.modeling.encoders.imagenet") / "imagenet_classes.txt"
        classes = [line.split(",")[0].strip() for line in listed.read_text(encoding="utf-8").splitlines()]
        names += [name for name in dict.fromkeys(classes) if name and name not in names]
    names += [f"thing number {number}" for number in range(count - len(names))]
    return names[:count]


def training_texts(categories: int, sentences: int, seed: int = 0) -> Dataset:
    """Different sentences, each about two of the categories, with their labels."""
    names = category_names(categories)
    rng = np.random.default_rng(seed)
    texts: dict[str, list[int]] = {}
    while len(texts) < sentences:
        first, second = (int(k) for k in rng.choice(categories, size=2, replace=False))
        pattern = PATTERNS[rng.integers(len(PATTERNS))]
        # More sentences than patterns and pairs give: a number makes them differ, as other words would.
        tail = "" if sentences < 1000 * categories else f" Photo {len(texts)}."
        texts[pattern.format(names[first], names[second]) + tail] = [first, second]
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=names))})
    return Dataset.from_dict({"text": list(texts), "labels": list(texts.values())}, features=features)


def model_config(categories: int, width: int, dim: int, tokens: tuple[int, int, int, int]) -> WordsightConfig:
    """A configuration with groups of about the sizes that `wordsight train` finds."""
    names = category_names(categories)
    number = max(2, min(categories // 3, 50))
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    return WordsightConfig(
        id2label=dict(enumerate(names)),
        prompt_width=width,
        projection_dim=dim,
        attribute_groups=[names[group::number] for group in range(number)],
        cooccurrence_groups=[shuffled[group::number] for group in range(number)],
        num_shared_tokens=tokens[0],
        num_attribute_tokens=tokens[1],
        num_cooccurrence_tokens=tokens[2],
        num_category_tokens=tokens[3],
    )
