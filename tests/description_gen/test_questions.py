"""The shipped questions: whole, consistent, and asked as they stand."""

import json

import pytest

from wordsight.description_gen import Category, Knowledge
from wordsight.description_gen.questions import load_questions

QUESTIONS = load_questions()


def test_examples_answer_for_known_kinds_only_and_each_kind_has_one():
    question = QUESTIONS.attributes
    for _, values in question.examples:
        assert set(values) == set(QUESTIONS.kinds)
        assert all(len(value) <= 60 for value in values.values())
    for kind in QUESTIONS.kinds:
        answers = [values[kind] for _, values in question.examples]
        assert any(answers)  # else small models would learn that it is never there
    assert any(not value for _, values in question.examples for value in values.values())


def test_values_are_asked_for_under_a_schema():
    kinds = ["color", "leaves"]  # one that the examples don't know
    messages = QUESTIONS.attributes.messages(kinds, name="oak")
    assert messages[-1] == {"role": "user", "content": "Thing: oak"}
    assert all(
        set(json.loads(message["content"])) == {"color"} for message in messages if message["role"] == "assistant"
    )
    schema = QUESTIONS.attributes.schema(kinds)
    assert schema["required"] == kinds and not schema["additionalProperties"]


@pytest.mark.parametrize(
    ("kind", "value", "phrase"),
    [
        ("material", "wax", "made of wax"),
        ("material", "made of wax", "made of wax"),
        ("color", "red or green", "red or green"),
        ("leaves", "lobed", "lobed"),
    ],
)
def test_values_read_as_phrases(kind, value, phrase):
    assert QUESTIONS.attributes.phrase(kind, value) == phrase


def test_choices_are_among_the_candidates():
    question = QUESTIONS.co_occurrence
    assert question.schema(["dog"])["properties"][question.key]["maxItems"] == 1
    assert question.schema(["dog", "cup"])["properties"][question.key]["items"] == {"enum": ["dog", "cup"]}
    assert question.rounds > 1  # each with the list in another order


def test_no_example_is_about_a_category_of_a_shipped_list():
    """Small models copy examples, and copies are left out: a benchmark's category would lose true answers."""
    from wordsight.description_gen.categories import CATEGORY_LISTS, shipped_categories

    names = {name.casefold() for known in CATEGORY_LISTS for c in shipped_categories(known) for name in c.all_names}
    things = {user.removeprefix("Thing: ") for user, _ in QUESTIONS.attributes.examples}
    assert things and not things & names


def test_values_and_companions_are_kept_in_the_file(tmp_path):
    knowledge = Knowledge(
        [Category("candle")],
        "m",
        0,
        attributes={"candle": ["made of wax"]},
        attribute_values={"candle": {"material": "wax"}},
        companions={"candle": ["a wine glass"]},
    )
    knowledge.save(tmp_path / "knowledge.json")
    assert Knowledge.load(tmp_path / "knowledge.json") == knowledge
    content = json.loads((tmp_path / "knowledge.json").read_text())
    assert content["format_version"] == 2
    old = {key: content[key] for key in content if key not in ("attribute_values", "companions")} | {
        "format_version": 1
    }
    (tmp_path / "knowledge.json").write_text(json.dumps(old))
    before = Knowledge.load(tmp_path / "knowledge.json")
    assert before.attributes == knowledge.attributes and before.companions == before.attribute_values == {}
