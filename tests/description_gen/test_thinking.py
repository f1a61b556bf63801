"""Models that reason before they answer, and servers that don't know how to turn that off."""

import asyncio
import warnings

import pytest

from tests.fixtures.llm import ScriptedLLM, asked_for, good_answer
from wordsight.description_gen import generate_texts
from wordsight.description_gen.llm.client import LLMClient
from wordsight.utils.errors import WordsightError

CATEGORIES = ["cat", "dog", "cup, mug"]
THOUGHT = "Okay, the user wants a caption. Let me think about cats and where they sleep, and what else is there, so"


def thinking_is_off(request):
    return request.get("chat_template_kwargs", {}).get("enable_thinking") is False


def qwen3(request):
    """A hybrid model behind vLLM's reasoning parser: it reasons unless it is told not to."""
    if thinking_is_off(request):
        return good_answer(request)
    return {"content": None, "reasoning": THOUGHT}, "length"


def strict(request):
    """A server that knows no chat_template_kwargs, in front of a model that does not reason."""
    return 400 if "chat_template_kwargs" in request else good_answer(request)


def generate(server, out, **options):
    return generate_texts(CATEGORIES, out, base_url=server.base_url, quiet=True, **{"sentences": 20} | options)


def ask(server):
    async def conversation():
        async with LLMClient(server.base_url) as client:
            return await client.chat([{"role": "user", "content": "Object: cat."}], temperature=0, max_tokens=9, seed=0)

    return asyncio.run(conversation())


def test_thinking_is_turned_off(tmp_path):
    with ScriptedLLM(qwen3) as server:
        texts = generate(server, tmp_path)
    assert sum(texts.num_rows.values()) == 20
    assert all(thinking_is_off(request) for request in server.requests)


def test_a_server_that_refuses_the_field_is_asked_without_it(tmp_path):
    with ScriptedLLM(strict) as server, pytest.warns(UserWarning, match="does not take chat_template_kwargs") as caught:
        texts = generate(server, tmp_path)
    assert sum(texts.num_rows.values()) == 20
    assert len([warning for warning in caught if "chat_template_kwargs" in str(warning.message)]) == 1
    assert "chat_template_kwargs" not in server.requests[-1]


def test_a_request_that_is_refused_for_another_reason_is_an_error():
    with (
        ScriptedLLM(lambda request: 400) as server,
        warnings.catch_warnings(),
        pytest.raises(WordsightError, match=r"answers HTTP 400: .*Unknown field"),
    ):
        warnings.simplefilter("error")
        ask(server)


@pytest.mark.parametrize(
    ("message", "text", "reasoned"),
    [
        ({"content": "A cat sleeps.", "reasoning": THOUGHT}, "A cat sleeps.", True),
        ({"content": "A cat sleeps.", "reasoning_content": THOUGHT}, "A cat sleeps.", True),
        ({"content": f"<think>{THOUGHT}</think>\n\nA cat sleeps."}, "A cat sleeps.", True),
        ({"content": "<think>\n\n</think>\n\nA cat sleeps."}, "A cat sleeps.", True),
        ({"content": f"{THOUGHT}\n</think>\nA cat sleeps."}, "A cat sleeps.", True),
        ({"content": f"<think>{THOUGHT}"}, "", True),
        ({"content": None, "reasoning": THOUGHT}, "", True),
        ({"content": "A cat sleeps."}, "A cat sleeps.", False),
    ],
)
def test_reasoning_is_no_part_of_the_answer(message, text, reasoned):
    with ScriptedLLM(lambda request: (message, "stop")) as server:
        answer = ask(server)
    assert (answer.text, answer.reasoned) == (text, reasoned)


@pytest.mark.parametrize(
    ("message", "finish_reason", "why"),
    [
        (
            {"content": None, "reasoning": THOUGHT},
            "length",
            "tokens on reasoning.*--default-chat-template-kwargs",
        ),
        ({"content": f"<think>{THOUGHT}"}, "length", "spends its tokens on reasoning"),
        ({"content": "A photo of a very"}, "length", "cut off at the token limit"),
        ({"content": ""}, "stop", "They are empty. Check the server's chat template"),
    ],
)
def test_a_run_without_a_use_stops_early_and_says_why(message, finish_reason, why, tmp_path):
    """All of the JSON is fine, so that it is the sentences which decide."""

    def answer(request):
        return good_answer(request) if asked_for(request) is None else (message, finish_reason)

    with (
        ScriptedLLM(answer) as server,
        pytest.raises(WordsightError, match=rf"50 of 50 answers from .*{why}.*same command again"),
    ):
        generate(server, tmp_path, sentences=2000, concurrency=4)
    assert len(server.requests) < 80


def test_few_answers_are_judged_when_all_are_there(tmp_path):
    def answer(request):
        return good_answer(request) if asked_for(request) is None else ({"content": ""}, "stop")

    with ScriptedLLM(answer) as server, pytest.raises(WordsightError, match=r"40 of 40 answers .* are empty"):
        generate(server, tmp_path, sentences=10)


def test_json_that_is_all_reasoning_stops_it_too(tmp_path):
    with (
        ScriptedLLM(lambda request: ({"content": None, "reasoning": THOUGHT}, "length")) as server,
        warnings.catch_warnings(),
        pytest.raises(WordsightError, match="spends its tokens on reasoning"),
    ):
        warnings.simplefilter("ignore")  # which categories had no valid JSON
        generate_texts([f"thing {number}" for number in range(20)], tmp_path, base_url=server.base_url, quiet=True)


def test_some_bad_answers_are_no_reason_to_stop(tmp_path):
    count = iter(range(10_000))

    def answer(request):
        bad = asked_for(request) is not None and next(count) % 3 == 0
        return ({"content": ""}, "stop") if bad else good_answer(request)

    with ScriptedLLM(answer) as server:
        assert sum(generate(server, tmp_path, sentences=100).num_rows.values()) == 100
