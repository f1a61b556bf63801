"""OpenAI-compatible servers that can do less than vLLM: what they refuse is left out, and said once."""

import asyncio
import json
import warnings

import pytest

from tests.fixtures.llm import ScriptedLLM, good_answer
from wordsight.description_gen import generate_texts, load_texts
from wordsight.description_gen.llm.answers import read_json
from wordsight.description_gen.llm.client import LLMClient, NoPromptScoresError

CATEGORIES = ["cat", "dog", "cup, mug"]
CHAT = [{"role": "system", "content": "You write captions."}, {"role": "user", "content": "Object: cat."}]


def in_words(request):
    """An answer of the few-shot examples' kind: JSON among words, or a sentence."""
    example = next(message["content"] for message in request["messages"] if message["role"] == "assistant")
    if example.startswith("{"):
        answer = {
            key: [f"{item} at dawn" for item in value] if isinstance(value, list) else f"{value} at dawn"
            for key, value in json.loads(example).items()
        }
        return {"content": f"Sure! Here you are:\n```json\n{json.dumps(answer)}\n```\nIs that all?"}, "stop"
    return good_answer({key: value for key, value in request.items() if key != "response_format"})


def refusing(*, kwargs=False, schema=False, system=False, scores=True):
    """Answers of a server that refuses parts of requests."""

    def answer(request):
        if "prompt" in request:
            return 404 if scores else good_answer(request)
        refused = (
            (kwargs and "chat_template_kwargs" in request)
            or (schema and "response_format" in request)
            or (system and request["messages"][0]["role"] == "system")
        )
        return 400 if refused else in_words(request)

    return answer


def remarks(caught, server):
    return [str(warning.message) for warning in caught if server.base_url in str(warning.message)]


def test_a_server_that_takes_nothing_but_messages(tmp_path):
    answer = refusing(kwargs=True, schema=True, system=True)
    with ScriptedLLM(answer) as server, pytest.warns(UserWarning, match="no system message") as caught:
        generate_texts(CATEGORIES, tmp_path, base_url=server.base_url, sentences=20, co_occurrence="both", quiet=True)
    said = remarks(caught, server)
    expected = ("chat_template_kwargs", "does not hold answers", "no system message", "does not score prompts")
    assert all(len([remark for remark in said if part in remark]) == 1 for part in expected), said
    assert not any("\n" in remark for remark in said)
    dataset, knowledge = load_texts(tmp_path)
    assert len(dataset) == 20 and all(knowledge.scenes.values())
    last = server.requests[-1]
    assert last["messages"][0]["role"] == "user" and last["messages"][0]["content"].startswith("You ")
    # Finding out took a few requests, not a share of all of them.
    refused = [r for r in server.requests if "prompt" not in r and r["messages"][0]["role"] == "system"]
    assert len(refused) < len(server.requests) / 2


@pytest.mark.parametrize("lacking", ["kwargs", "schema", "system"])
def test_what_a_server_takes_is_kept(lacking):
    async def conversation(server):
        async with LLMClient(server.base_url) as client:
            options = {"temperature": 0, "max_tokens": 9, "schema": {"type": "object"}}
            examples = [{"role": "user", "content": "Thing: zebra"}, {"role": "assistant", "content": '{"a": []}'}]
            messages = [CHAT[0], *examples, CHAT[1]]
            answers = [await client.chat_json(messages, seed=seed, **options) for seed in range(2)]
        assert answers == [{"a": []}] * 2

    with ScriptedLLM(refusing(**{lacking: True})) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(conversation(server))
    last = server.requests[-1]
    assert ("chat_template_kwargs" in last) == (lacking != "kwargs")
    assert ("response_format" in last) == (lacking != "schema")
    assert (last["messages"][0]["role"] == "system") == (lacking != "system")


def test_a_server_that_ignores_schemas(tmp_path):
    with ScriptedLLM(refusing()) as server, pytest.warns(UserWarning, match="does not hold answers") as caught:
        generate_texts(CATEGORIES, tmp_path, base_url=server.base_url, sentences=20, quiet=True)
    assert len(remarks(caught, server)) == 1
    assert all(load_texts(tmp_path)[1].scenes.values())


def test_scores_are_asked_for_once():
    async def conversation(server):
        async with LLMClient(server.base_url) as client:
            answers = [await client.scores_prompts() for _ in range(3)]
            with pytest.raises(NoPromptScoresError, match="does not score prompts"):
                await client.log_probability("A cat")
        return answers

    with ScriptedLLM(refusing()) as server, pytest.warns(UserWarning, match="likelihoods is off"):
        assert asyncio.run(conversation(server)) == [False] * 3
    assert len([request for request in server.requests if "prompt" in request]) == 2


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ('{"a": ["b"]}', True),
        ('  {"a": ["b"]}\n', True),
        ('```json\n{"a": ["b"]}\n```', False),
        ('Of course [see below]: {"a": ["b"]} Anything else?', False),
    ],
)
def test_json_in_texts(text, alone):
    assert read_json(text) == (json.loads('{"a": ["b"]}'), alone)


@pytest.mark.parametrize("text", ["", "A cat.", '{"a": ["b"', "{cat}"])
def test_no_json_in_texts(text):
    with pytest.raises(ValueError):
        read_json(text)
