"""Questions in the language of the categories."""

import json
import zlib

import numpy as np
import pytest

from tests.fixtures.llm import ScriptedLLM
from wordsight import generate_texts, load_texts
from wordsight.description_gen.questions import load_questions
from wordsight.description_gen.word_forms import UNSPACED
from wordsight.model_cards import render_texts_card
from wordsight.utils.errors import InvalidInputError

CHINESE = ["猫", "狗", "汽车, 轿车"]


def in_chinese(request):
    """What a model would answer in Chinese: every name that it was asked for."""
    if "response_format" in request:
        properties = request["response_format"]["json_schema"]["schema"]["properties"]
        return {"content": json.dumps({key: [] if "items" in of else "" for key, of in properties.items()})}, "stop"
    asked = request["messages"][-1]["content"].split(". ")[0].split(": ", 1)[1]
    number = zlib.crc32(json.dumps(request).encode()) % 10_000
    return {"content": f"{number}号房间里有{asked.replace(', ', '和')}。后面还有一句。"}, "stop"


@pytest.fixture
def llm():
    with ScriptedLLM(in_chinese) as server:
        yield server


def test_a_chinese_list_is_asked_about_in_chinese(llm, tmp_path):
    texts = generate_texts(CHINESE, tmp_path, base_url=llm.base_url, sentences=12, quiet=True)
    for request in llm.requests:
        if "messages" in request:
            assert all(UNSPACED.search(message["content"]) for message in request["messages"])
    rows = [*texts["train"], *texts["validation"]]
    assert len(rows) == 12
    for row in rows:
        assert row["text"].count("。") == 1, "one sentence"
        assert [CHINESE[k].split(",")[0] for k in np.flatnonzero(row["labels"])] == sorted(
            row["asked"], key=lambda name: [line.split(",")[0] for line in CHINESE].index(name)
        )
    dataset, knowledge = load_texts(tmp_path)
    assert knowledge.language == "zh"
    assert "language: zh" in render_texts_card(dataset, knowledge, "me/texts")


def test_all_of_the_chinese_questions_are_in_chinese():
    english, chinese = load_questions(), load_questions("zh")
    assert english.language == "en" and english.fingerprint != chinese.fingerprint
    for name in ("find_kinds", "scenes", "companions", "co_occurrence"):
        ours, theirs = getattr(chinese, name), getattr(english, name)
        assert all(UNSPACED.search(message["content"]) for message in ours.prefix)
        assert len(ours.prefix) == len(theirs.prefix) and ours.key == theirs.key
        assert (ours.temperature, ours.max_tokens, ours.items) == (theirs.temperature, theirs.max_tokens, theirs.items)
    assert chinese.attributes.patterns.keys() == english.attributes.patterns.keys()
    assert all(UNSPACED.search(text) for text in chinese.descriptions.parts.values())
    for ours, theirs in zip(chinese.descriptions.wordings, english.descriptions.wordings, strict=True):
        assert ours.name == theirs.name
        assert all(UNSPACED.search(message["content"]) for message in [*ours.single, *ours.multiple])
    assert chinese.scenes.schema()["properties"]["scenes"]["items"]["minLength"] == 2, "谷仓 is a phrase"


def test_other_languages_are_asked_for_in_english_questions():
    questions = load_questions("de")
    for message in (questions.scenes.prefix[0], questions.descriptions.wordings[0].single[0]):
        assert message["content"].endswith("Answer in German, and use the German names as they are given.")
    assert load_questions("ja").fingerprint != questions.fingerprint


def test_the_language_can_be_set(llm, tmp_path):
    with pytest.raises(InvalidInputError, match="'xx' is not known"):
        generate_texts(CHINESE, tmp_path, base_url=llm.base_url, language="xx")
    generate_texts(["狗", "猫"], tmp_path, base_url=llm.base_url, sentences=4, language="ja", quiet=True)
    assert "Answer in Japanese" in llm.requests[0]["messages"][0]["content"]
