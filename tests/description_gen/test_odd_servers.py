"""Servers that answer with anything, and addresses and keys that can't be any: one line, and nothing is lost."""

import asyncio
import json
import re
import warnings

import pytest
from openai.types.chat import ChatCompletion

from tests.fixtures.llm import ScriptedLLM, asked_for, good_answer
from wordsight.description_gen import generate_texts, load_texts
from wordsight.description_gen.llm.addresses import check_address, check_key
from wordsight.description_gen.llm.answers import Answer
from wordsight.description_gen.llm.client import LLMClient
from wordsight.utils.errors import InvalidInputError, WordsightError

CATEGORIES = ["cat", "dog", "cup, mug"]
HTML = "<html><body>Please log in.</body></html>"


def completion(**content):
    return json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m"} | content)


def generate(server, out, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return generate_texts(CATEGORIES, out, base_url=server.base_url, quiet=True, **{"sentences": 20} | options)


def fails(server, out, **options):
    with pytest.raises(WordsightError) as error:
        generate(server, out, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 800
    return message


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (HTML, "does not answer as an OpenAI-compatible server does, but with '<html><body>Please log in"),
        ('{"object": "list", "data": []}', "lists no model"),
        ('{"object": "list", "data": null}', "lists no model"),
        ('{"object": "list", "data": [null]}', "lists no model"),
        ('{"error": {"message": "model overloaded"}}', "lists no model; it answers .*overloaded"),
        ("not JSON", "does not answer as an OpenAI-compatible server"),
    ],
)
def test_lists_of_models(models, said, tmp_path):
    with ScriptedLLM(good_answer, models) as server, pytest.raises(WordsightError, match=said) as error:
        generate(server, tmp_path)
    assert "\n" not in str(error.value) and not server.requests


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (HTML, "does not answer as an OpenAI-compatible server does, but with '<html>"),
        ('{"error": {"message": "model overloaded", "code": 529}}', "in place of answers.*overloaded"),
        ('{"choices": ', "does not answer as an OpenAI-compatible server does, but with"),
    ],
)
def test_answers_that_are_none(body, said, tmp_path):
    with ScriptedLLM(lambda request: body) as server:
        message = fails(server, tmp_path)
    assert re.search(said, message), message


@pytest.mark.parametrize(
    "content",
    [
        {"choices": []},
        {"choices": None},
        {},
        {"choices": [None]},
        {"choices": [{"index": 0, "finish_reason": "content_filter", "message": None}]},
    ],
)
def test_completions_without_a_message(content):
    answer = Answer.from_completion(ChatCompletion.construct(**json.loads(completion(**content))))
    assert answer.problem == "error" and '"id":"1"' in answer.error


def choice(message, reason):
    content = {"choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant"} | message}]}
    return Answer.from_completion(ChatCompletion.construct(**json.loads(completion(**content))))


def test_content_as_parts():
    parts = [
        {"type": "reasoning", "text": "Okay."},
        {"type": "text", "text": "A cat "},
        {"type": "text", "text": "sits."},
    ]
    answer = choice({"content": parts}, "stop")
    assert (answer.text, answer.reasoned, answer.problem) == ("A cat sits.", True, None)


@pytest.mark.parametrize(
    ("reason", "complete"),
    [("stop", True), ("eos", True), ("end_turn", True), (None, True), ("length", False), ("max_tokens", False)],
)
def test_words_for_an_end(reason, complete):
    assert choice({"content": "A cat"}, reason).complete == complete


def test_some_answers_that_are_none_are_asked_for_elsewhere(tmp_path):
    count = iter(range(10_000))

    def answer(request):
        return completion(choices=[]) if next(count) % 5 == 0 else good_answer(request)

    with ScriptedLLM(answer) as server:
        assert sum(generate(server, tmp_path, sentences=100).num_rows.values()) == 100


@pytest.mark.parametrize(
    "bad",
    [
        ({"content": None, "reasoning_content": "Okay ..."}, "length"),
        ({"content": None, "refusal": "I can't help with that."}, "stop"),
        ({"content": "Okay, the user wants a caption with a cat. I should"}, "length"),
    ],
)
def test_failures_are_not_kept(bad, tmp_path):
    """The first server fails at everything, the second is right: its run asks for all."""
    with ScriptedLLM(lambda request: bad) as server:
        assert "answers from" in fails(server, tmp_path)
        asked = len(server.requests)
    assert asked < 110
    with ScriptedLLM(good_answer) as server:
        texts = generate(server, tmp_path)
        assert len(server.requests) > 3 * len(CATEGORIES)
    assert sum(texts.num_rows.values()) == 20
    assert not any("sorry" in text or "Okay" in text for text in load_texts(tmp_path)[0]["text"])


def test_a_second_run_asks_for_what_failed_alone(tmp_path):
    """Every third sentence fails in the first run, which is stopped by its end: the second asks for those."""
    count = iter(range(10_000))

    def answer(request):
        if asked_for(request) is None:
            return good_answer(request)
        number = next(count)
        return 401 if number > 60 else ({"content": ""}, "stop") if number % 3 == 0 else good_answer(request)

    with ScriptedLLM(answer) as server:
        assert "refuses the key" in fails(server, tmp_path, sentences=200, concurrency=1)
    path = tmp_path / ".progress" / "answers.jsonl"
    lines = path.read_text().splitlines()
    first = [json.loads(line) for line in lines[1:] if '"description/' in line]
    kept = {record["key"] for record in first if record["answer"]["text"]}
    assert (len(first), len(kept)) == (61, 40)
    with ScriptedLLM(good_answer) as server:
        generate(server, tmp_path, sentences=200)
    assert all(asked_for(request) is not None for request in server.requests)  # nothing about categories again
    again = {json.loads(line)["key"] for line in path.read_text().splitlines()[len(lines) :]}
    assert not again & kept and {record["key"] for record in first} - kept <= again


def test_more_sentences_leave_those_that_are_there(tmp_path):
    """What failed in a run that came to its end is not asked for again: it would stand between the others."""
    count = iter(range(10_000))

    def answer(request):
        bad = asked_for(request) is not None and next(count) % 3 == 0
        return ({"content": ""}, "stop") if bad else good_answer(request)

    with ScriptedLLM(answer) as server:
        generate(server, tmp_path)
        before = load_texts(tmp_path)[0]["text"][:]
        generate(server, tmp_path, sentences=30)
    assert load_texts(tmp_path)[0]["text"][:20] == before


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost:8000/v1", r"has no http.*Did you mean http://localhost:8000/v1\?"),
        ("ftp://host/v1", r"Did you mean http://host/v1\?"),
        ("http://host:99999/v1", "can't be read: Port out of range"),
        ("http://host:port/v1", "can't be read: Port could not be cast"),
        ("http:///v1", "names no host"),
        ("http://ho st/v1", "holds white space"),
        ("", "has no http"),
    ],
)
def test_addresses(address, said, tmp_path):
    with pytest.raises(InvalidInputError, match=said):
        generate_texts(CATEGORIES, tmp_path, base_url=[address], quiet=True)


def test_what_is_around_addresses_and_keys_is_taken_off():
    assert check_address(" https://host:8000/v1/\n") == "https://host:8000/v1"
    assert check_key("sk-1\n", "api_key") == "sk-1"


@pytest.mark.parametrize("key", ["sk-é", "sk 1", "sk-1\nsk-2", "sk-\x00"])
def test_keys_that_can_not_be_sent(key, monkeypatch):
    monkeypatch.setenv("WORDSIGHT_API_KEY", key.replace("\x00", "\x01"))
    with pytest.raises(InvalidInputError, match="key in WORDSIGHT_API_KEY holds") as error:
        LLMClient("http://127.0.0.1:1/v1")
    assert "sk" not in str(error.value)


def test_an_address_without_v1(tmp_path):
    with ScriptedLLM(good_answer) as server:
        server.base_url = server.base_url.removesuffix("/v1")
        assert f"Did you mean {server.base_url}/v1?" in fails(server, tmp_path)


def test_nobody_there(monkeypatch):
    monkeypatch.setattr("wordsight.description_gen.llm.client.RETRIES", 0)

    async def ask():
        async with LLMClient("http://127.0.0.1:9/v1") as client:
            await client.model()

    with pytest.raises(WordsightError, match=r"does not answer \(APIConnectionError\)\. Is the server running"):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("lacking", "field", "value"),
    [("json_schema", "response_format", {"type": "json_object"}), ("max_tokens", "max_completion_tokens", 9)],
)
def test_other_ways_to_ask(lacking, field, value):
    def answer(request):
        refused = lacking in request or lacking in json.dumps(request.get("response_format", ""))
        return 400 if refused else ({"content": '{"a": []}'}, "stop")

    async def ask(server):
        async with LLMClient(server.base_url) as client:
            options = {"temperature": 0, "max_tokens": 9, "schema": {"type": "object"}}
            return [await client.chat_json([{"role": "user", "content": "JSON"}], seed=n, **options) for n in range(2)]

    with (
        ScriptedLLM(answer) as server,
        pytest.warns(UserWarning, match=f"takes no {'JSON' if 'json' in lacking else ''}"),
    ):
        assert asyncio.run(ask(server)) == [{"a": []}] * 2
    assert server.requests[-1][field] == value and lacking not in json.dumps(server.requests[-1])
