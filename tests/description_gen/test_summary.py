"""The summary of sentences: each figure as its definition has it, counted by hand or without any shortcut."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from wordsight import label_texts, load_texts, texts_summary
from wordsight.description_gen import Category, Knowledge
from wordsight.description_gen.dataset import train_validation_split, with_dropped, with_knowledge
from wordsight.description_gen.summary import TOP, count_repeats, distinct_2, percent
from wordsight.description_gen.tokens import tokens
from wordsight.utils.errors import InvalidInputError

WRITTEN_BY_0_2_0 = Path(__file__).parent.parent / "data" / "texts-0.2.0"
CATEGORIES = [Category("cat", ("kitten",)), Category("dog"), Category("cup", ("mug",))]
ROWS = [  # text, labels, asked
    ("A kitten beside a cup.", [1, 0, 1], ["cat", "cup"]),
    ("A kitten beside a dog.", [1, 1, 0], ["cat", "cup"]),
    ("A dog runs over the grass.", [0, 1, 0], ["dog"]),
    ("Two cats, a mug and a dog.", [1, 1, 1], ["cup"]),
]


def sentences(rows=ROWS, **knowledge):
    texts, labels, asked = map(list, zip(*rows, strict=True))
    dataset = Dataset.from_dict({"text": texts, "labels": labels, "asked": asked})
    return with_knowledge(dataset, Knowledge(CATEGORIES, "some/model", 0, **knowledge))


def test_counts_and_shares():
    scenes = {"cat": ["a sofa", "a garden"]}
    seen = {"cat": {"cup": 0.2, "dog": 0.9}, "dog": {"cat": 0.0}}
    summary = texts_summary(sentences(scenes=scenes, co_occurrence=seen))
    assert summary.sentences == 4 and summary.model == "some/model" and summary.dropped is None
    assert summary.naming_all == 3 / 4
    cat, dog, cup = summary.categories
    assert (cat.sentences, cat.asked, cat.naming_all) == (3, 2, 1 / 2)
    assert (dog.sentences, dog.asked, dog.naming_all) == (3, 1, 1.0)
    assert (cup.sentences, cup.asked, cup.naming_all) == (2, 3, 2 / 3)
    assert cat.scenes == ["a sofa", "a garden"] and dog.scenes == []
    assert list(cat.co_occurrence.items()) == [("dog", 0.9), ("cup", 0.2)] and dog.co_occurrence == {}
    assert cat.in_sentences == {"dog": 2, "cup": 2} and dog.in_sentences == {"cat": 2, "cup": 1}


def test_all_splits_are_counted_and_what_was_dropped_is_a_share_of_all():
    whole = with_dropped(sentences(), {"refusal": 1, "duplicate": 3})
    summary = texts_summary(whole)
    assert summary.dropped == {"refusal": 1 / 8, "duplicate": 3 / 8}
    assert summary.dropped_in_words == "duplicate 38%, refusal 12%"
    splits = texts_summary(train_validation_split(whole, 0.25))
    assert (splits.sentences, splits.naming_all, splits.dropped) == (4, summary.naming_all, summary.dropped)
    assert splits.categories == summary.categories
    assert texts_summary(train_validation_split(whole, 0.25)["validation"]).dropped == summary.dropped


def test_texts_of_0_2_0_and_captions_of_ones_own():
    old = texts_summary(load_texts(WRITTEN_BY_0_2_0)[0])
    assert old.sentences == 40 and old.dropped is None and old.dropped_in_words == "not counted"
    assert 0 < old.naming_all < 1 and all(category.scenes for category in old.categories)
    own = texts_summary(label_texts([text for text, *_ in ROWS], CATEGORIES))
    assert own.model is own.naming_all is own.categories[0].asked is own.categories[0].naming_all is None
    assert own.categories[0].sentences == 3 and own.categories[0].co_occurrence == {}


def test_names_that_were_asked_for_but_are_no_categories_do_not_count():
    rows = [("A kitten.", [1, 0, 0], ["Kitten", "zebra"]), ("A zebra and a dog.", [0, 1, 0], ["zebra"])]
    summary = texts_summary(sentences(rows))
    assert summary.naming_all == 1.0, "of the one that was asked for a category"
    assert [category.asked for category in summary.categories] == [1, 0, 0]
    assert summary.categories[1].naming_all is None and percent(None) == "-"


def test_few_of_many_companions_are_listed():
    names = [f"thing{letter}" for letter in "abcdefgh"]
    summary = texts_summary(label_texts([" ".join(names), f"{names[0]} {names[7]}"], names))
    assert len(summary.categories[0].in_sentences) == TOP and next(iter(summary.categories[0].in_sentences)) == names[7]


def test_what_can_not_be_summarized():
    with pytest.raises(InvalidInputError, match="has no sentences"):
        texts_summary(DatasetDict(train=sentences().select([])))
    with pytest.raises(InvalidInputError, match="doesn't say what its labels stand for"):
        texts_summary(Dataset.from_dict({"text": ["A cat."], "labels": [[1]]}))


def test_distinct_2_is_as_li_et_al_define_it():
    assert distinct_2([["a", "cat", "a", "cat"], ["a", "cat"]]) == 2 / 6, "(a, cat) and (cat, a), of six words"
    assert distinct_2([["cat"]]) == 0.0 and distinct_2([[]]) == 0.0


@pytest.mark.parametrize(
    ("other", "repeats"),
    [
        ("A black cat sleeps on the old red sofa.", 1),
        ("a BLACK cat sleeps, on the old blue sofa", 1),  # 6 of 10 pairs
        ("A white cat sits on the old red sofa.", 0),  # 4 of 12
        ("A boat on a lake.", 0),
        ("Cat.", 0),
    ],
)
def test_near_duplicates(other, repeats):
    first = tokens("A black cat sleeps on the old red sofa.")
    assert count_repeats([first, tokens(other)]) == count_repeats([tokens(other), first]) == repeats
    assert count_repeats([first, tokens(other), first]) == repeats + 1


def test_near_duplicates_are_found_as_by_comparing_all():
    rng = np.random.default_rng(0)
    drawn = [[f"w{n}" for n in rng.zipf(1.7, rng.integers(1, 9)) if n < 30] for _ in range(600)]
    kept, expected = [], 0
    for words in drawn:
        pairs = set(pairwise(words))
        if any(pairs | other and len(pairs & other) / len(pairs | other) >= 0.5 for other in kept):
            expected += 1
        else:
            kept.append(pairs)
    assert 50 < expected < 550
    assert count_repeats(drawn) == expected


def test_scripts_without_spaces_are_compared_by_characters():
    assert tokens("公園に犬と Ball がいる。") == [*"公園に犬と", "ball", *"がいる"]
    one, other = tokens("公園のベンチのそばを犬が走っている。"), tokens("公園のベンチのそばを猫が走っている。")
    assert count_repeats([one, other]) == 1
