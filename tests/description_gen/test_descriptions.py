"""A category's description, which says what an ambiguous name means, reaches every question."""

import asyncio
import json
import zlib

import pytest

from tests.fixtures.llm import ScriptedLLM
from wordsight import Category, generate_texts, load_texts
from wordsight.description_gen.captions import DescriptionPlan
from wordsight.description_gen.dataset import Knowledge, categories_of, knowledge_of, normalize_texts
from wordsight.description_gen.interview import Interview
from wordsight.description_gen.llm.client import LLMClient
from wordsight.description_gen.questions import load_questions
from wordsight.description_gen.settings import Settings
from wordsight.description_gen.store import AnswerStore
from wordsight.utils.errors import InvalidInputError

CATEGORIES = [Category("crane", ("cranes",), "the bird"), Category("boat")]


def answer(request):
    """Lists where they are asked for, else a sentence about whatever is named."""
    if "response_format" not in request:
        return {"content": f"A crane stands by a boat, in room {zlib.crc32(json.dumps(request).encode())}."}, "stop"
    key, *others = request["response_format"]["json_schema"]["schema"]["required"]
    if others:
        return {"content": json.dumps({kind: f"{kind} of its own" for kind in (key, *others)})}, "stop"
    return {"content": json.dumps({key: ["boat"] if key == "together" else ["long legs"]})}, "stop"


@pytest.fixture
def llm():
    with ScriptedLLM(answer) as server:
        yield server


def test_every_question_about_a_category_says_what_is_meant(llm, tmp_path):
    texts = generate_texts(CATEGORIES, tmp_path, base_url=llm.base_url, sentences=8, quiet=True)
    last = [request["messages"][-1]["content"] for request in llm.requests]
    about = [content for content in last if "crane" in content]
    assert len(about) > 8
    assert all("crane (the bird)" in content or "cranes (the bird)" in content for content in about)
    assert any("cranes (the bird)" in content for content in about)
    assert not any("boat (" in content for content in last)
    schemas = [request["response_format"] for request in llm.requests if "response_format" in request]
    assert '"crane"' in json.dumps(schemas) and "the bird" not in json.dumps(schemas), "answers are names"
    assert texts["train"][0]["asked"][0] in ("crane", "boat")


def test_pairs_and_scenes_are_scored_in_the_sense_that_is_meant(tmp_path):
    class Scorer(LLMClient):
        """Finds farms likely after cranes, and says nothing else."""

        async def ending_scores(self, start, endings):
            return [-1.0 if "crane" in start and "farm" in ending else -2.0 for ending in endings]

        async def chat_json(self, *args, **options):
            return {}

    settings = Settings(CATEGORIES, load_questions(), 2, 0, 1, "likelihood", False)
    with AnswerStore(tmp_path / "answers.jsonl", settings.identity("m")) as store:
        client = Scorer("http://127.0.0.1:1/v1", "m")
        interview = Interview(CATEGORIES, load_questions(), client, store, 0, progress=False)
        with pytest.warns(UserWarning, match="companions"):
            knowledge = asyncio.run(interview.knowledge("likelihood"))
        scored = [key for key in store.answers if key.startswith("likelihood/")]
    assert "likelihood/A photo of a crane (the bird) and a boat" in scored
    assert {f"likelihood/A photo of a {thing} in a kitchen" for thing in ("boat", "cup")} <= set(scored)
    assert not any("crane" in text.replace("crane (the bird)", "") for text in scored)
    assert knowledge.scenes["crane"][0] == "on a farm" and "on a farm" not in knowledge.scenes["boat"]
    assert len(knowledge.scenes["crane"]) == len(knowledge.scenes["boat"]) == 5


def test_it_is_kept_with_the_texts(llm, tmp_path):
    generate_texts(CATEGORIES, tmp_path, base_url=llm.base_url, sentences=8, quiet=True)
    dataset, knowledge = load_texts(tmp_path)
    assert knowledge.categories == categories_of(dataset) == knowledge_of(dataset).categories == CATEGORIES
    assert normalize_texts(tmp_path)[1] == CATEGORIES
    # Another description is another question; without one, answers of earlier versions are found.
    with pytest.raises(InvalidInputError, match="categories"):
        generate_texts(["crane, cranes: the machine", "boat"], tmp_path, base_url=llm.base_url, sentences=8, quiet=True)
    settings = Settings([Category("cup", ("mug",))], load_questions(), 2, 0, 1, "both", False)
    assert settings.identity("m")["categories"] == [["cup", "mug"]]


def test_without_an_attribute_the_request_still_says_it():
    plan = DescriptionPlan(Knowledge(CATEGORIES, "m", 0), load_questions())
    asked = [plan.request(number) for number in range(0, 40, 4)]
    said = {request.messages[-1]["content"].partition(". View")[0] for request in asked}
    assert said == {"Object: crane (the bird)", "Object: cranes (the bird)"}
