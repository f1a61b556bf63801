"""What a small model's answers are worth: what says nothing is left out, what says something stays."""

import pytest

from wordsight.description_gen.plausibility import says_something, usable_items, usable_values
from wordsight.description_gen.questions import load_questions


@pytest.mark.parametrize(
    ("phrase", "names", "says"),
    [
        ("four slender legs", ["horse"], True),
        ("black and white", ["cow"], True),
        ("a horse", ["horse", "pony"], False),  # its name alone
        ("pony horse", ["horse", "pony"], False),
        ("a horse's tail", ["horse"], True),
        ("farm farm", ["horse"], False),  # a stutter
        ("红色的红色", ["苹果"], False),
        ("木头木头", ["椅子"], False),
        ("高高的车头", ["拖拉机"], True),
        ("的椅子", ["椅子"], False),
        ("long and long", ["boat"], False),
        ("N/A", ["cat"], False),
        ("not visible", ["cat"], False),
        ("no pattern", ["cat"], False),
        ("medium", ["cat"], False),
        ("", ["cat"], False),
        ("notched leaves", ["tree"], True),
    ],
)
def test_says_something(phrase, names, says):
    assert says_something(phrase, names) == says


def test_items_come_once_and_none_is_an_examples():
    items = ["a barn", " a meadow. ", "A meadow", "the cow", "a milking stand"]
    assert usable_items(items, ["cow"], {"a barn"}) == ["a meadow", "a milking stand"]


def test_values_of_kinds():
    examples = load_questions().attributes.example_values()
    said = {
        "color": "white or brown",  # an example's, but true of many things
        "parts": "four legs and a long tail",
        "shape": "Four legs and a long tail",  # said already
        "material": "n/a",
        "texture": "shaggy hair",  # an example's: a copy
        "pattern": "a puppy's spots",
        "size": "size",
        "pose": "running",
    }
    found = usable_values(said, ["dog", "puppy"], examples)
    assert found == {"color": "white or brown", "parts": "four legs and a long tail", "pose": "running"}
