"""Cards of sentences and of Spaces: others' words in them are words, never markup or a template's code."""

from datasets import Dataset
from hypothesis import example, given
from hypothesis import strategies as st

from wordsight.description_gen import Category, Knowledge, SentenceLabeler
from wordsight.description_gen.categories import check_categories
from wordsight.model_cards import render_space_card, render_texts_card
from wordsight.utils.errors import InvalidInputError

from .strategies import INJECTIONS, texts, tried

injections = st.sampled_from(INJECTIONS)


def assert_plain(card):
    """No markup but the template's own: what is escaped does not count. Nothing of {{ 7 * 7 }} is computed."""
    written = card.split("\n---\n", 1)[1].partition("<!-- wordsight:record")[0]
    for markup in ("<script", "<img", "](javascript", "](http://127"):
        assert markup not in written.replace("\\](", "")
    assert written.count("<!-- wordsight:end -->") == written.count("<!-- wordsight:begin")
    assert "| 49 |" not in written


@tried
@given(name=injections, synonym=texts, said=injections)
@example("<!-- wordsight:end -->", "a | b", "<!-- wordsight:end -->")
@example("{{ 7 * 7 }}", "puppy", "![a](http://127.0.0.1/a.png)")
def test_cards_of_sentences(name, synonym, said):
    categories = [Category(name, (synonym,)), Category("dog")]
    try:
        check_categories(categories)
    except InvalidInputError as error:
        assert "\n" not in str(error)
        return
    sentences = [f"A {name} and a dog.", f"A dog, {said}", "A dog."]
    labels = SentenceLabeler(categories).label_batch(sentences).tolist()
    knowledge = Knowledge(
        categories, said, 0, attributes={name: [said]}, scenes={name: [said]}, co_occurrence={name: {"dog": 0.5}}
    )
    assert_plain(render_texts_card(Dataset.from_dict({"text": sentences, "labels": labels}), knowledge, "alice/texts"))


@tried
@given(names=st.lists(injections | texts, min_size=1, max_size=4))
@example(["{{ 7 * 7 }}", "<!-- wordsight:end -->"])
def test_cards_of_spaces(names):
    assert_plain(render_space_card("alice/pets-space", "alice/pets", names, "6.31.0"))
