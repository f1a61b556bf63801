"""Names of categories, whatever they are: refused in a line, or found in sentences and shown as they are."""

import unicodedata
import warnings

from hypothesis import example, given
from hypothesis import strategies as st

from wordsight.description_gen.categories import as_categories, parse_categories
from wordsight.description_gen.labeling import SentenceLabeler
from wordsight.model_cards.rendering import cell
from wordsight.utils.errors import InvalidInputError

from .strategies import MINUTES, names, texts, tried

FILES = st.sampled_from(["names.txt", "names.csv", "names.tsv", "names.json", "data.yaml", "labels.xml"])
LANGUAGES = ["en", "ko", "zh", "th", *(["de", "ar", "tr"] if MINUTES else [])]  # some have dictionaries to load
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\n\n", ";", "\t", ", "])


def told(call, *arguments):
    """What a call gives; None where it says in a line why not."""
    try:
        return call(*arguments)
    except InvalidInputError as error:
        assert not any(unicodedata.category(character) == "Cc" for character in str(error))
        return None


@tried
@given(st.lists(names, max_size=6), LINE_ENDS, FILES, st.text(max_size=5))
@example(["cat", "dog"], "\r", "names.csv", "")
@example(["["] * 10_000, "\n", "names.json", "")
@example([], "\n", "data.yaml", "&\U00014647")
def test_files_of_names(lines, end, source, start):
    categories = told(parse_categories, start + end.join(lines), source)
    assert categories is None or told(as_categories, categories) == categories


@tried
@given(st.lists(names, min_size=1, max_size=5), st.sampled_from(["en", "ko", "zh", "th"]))
def test_a_name_is_found_in_itself(lines, language):
    categories = told(as_categories, lines)
    if categories is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labeler = told(SentenceLabeler, categories, language)
    if labeler is None:
        return
    for number, category in enumerate(categories):
        assert any(labeler.label(name)[number] for name in category.all_names), category


@tried
@given(
    st.lists(texts, max_size=8).map(" ".join),
    st.sampled_from(LANGUAGES),
)
def test_any_sentence_is_labeled(sentence, language):
    categories = as_categories(["cat", "hot dog", "猫", "C++", "Straße", "경찰"])
    assert set(SentenceLabeler(categories, language).label(sentence)) <= {0, 1}


@tried
@given(names)
@example("<img src=x onerror=alert(1)>")
def test_no_name_is_markup_in_a_card(name):
    shown = cell(name)
    assert "<" not in shown and "\n" not in shown
    assert "[" not in shown.replace("\\[", "") and "|" not in shown.replace("\\|", "")
