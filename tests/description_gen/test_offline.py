"""vLLM in this process: one engine for all tests here, beside the server whose answers it must give."""

import asyncio
import os

import psutil
import pytest

from wordsight.description_gen import generate_texts, load_texts
from wordsight.description_gen.llm.client import LLMClient
from wordsight.description_gen.llm.offline import OfflineLLM
from wordsight.description_gen.llm.server import LLMServerError
from wordsight.utils.errors import InvalidInputError

SCHEMA = {
    "type": "object",
    "properties": {"together": {"type": "array", "items": {"enum": ["plate", "whale", "knife"]}, "maxItems": 2}},
    "required": ["together"],
    "additionalProperties": False,
}
TEXTS = ["The capital of France is Paris", "A photo of a cat and a sofa"]


def open_ports():
    """Where this process listens."""
    return {c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def offline(vllm_server):
    before, children = (open_ports(), dict(os.environ)), set(psutil.Process().children(recursive=True))
    with OfflineLLM(vllm_server.model, concurrency=16, progress=False) as llm:
        assert (open_ports(), dict(os.environ)) == before
        yield llm
    _, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - children, timeout=15)
    # Python's own resource tracker lives as long as this process.
    assert not [process for process in alive if "resource_tracker" not in " ".join(process.cmdline())]


def ask(client):
    """Answers at temperature 0, with and without a schema, and scores."""
    prefix = [
        {"role": "system", "content": "You write one short caption for a photo."},
        {"role": "user", "content": "Object: zebra."},
        {"role": "assistant", "content": "A zebra stands in the tall grass of a savanna."},
    ]

    async def conversation():
        chats = [
            client.chat([*prefix, {"role": "user", "content": question}], temperature=0, max_tokens=12, seed=0)
            for question in ("Object: cat.", "Object: boat.", "Object: bottle.")
        ]
        fork = [{"role": "user", "content": "What is seen together with a fork? JSON only."}]
        chats.append(client.chat(fork, temperature=0, max_tokens=40, seed=0, schema=SCHEMA))
        # One at a time: in half precision, an answer may depend on what else is in its batch.
        answers = [await chat for chat in chats]
        scores = [await client.log_probability(text) for text in TEXTS]
        scores += await client.ending_scores("A photo of a cat", [" on a sofa", " on a table", " at sea"])
        return await client.model(), answers, scores

    return asyncio.run(conversation())


@pytest.mark.slow
def test_the_same_answers_as_the_servers(offline, vllm_server):
    client = LLMClient(vllm_server.base_url, api_key=vllm_server.api_key, send_seeds=True)
    ours, theirs = ask(offline), ask(client)
    assert ours[:2] == theirs[:2]
    assert ours[2] == pytest.approx(theirs[2], abs=0.1)
    assert asyncio.run(offline.scores_prompts())


@pytest.mark.slow
def test_a_request_that_is_too_long_is_an_error_and_the_next_is_answered(offline):
    async def conversation():
        with pytest.raises(LLMServerError, match="vLLM refuses the request"):
            await offline.log_probability("cat " * 5000)
        return await offline.log_probability(TEXTS[0])

    assert asyncio.run(conversation()) < 0


@pytest.mark.slow
def test_sentences(offline, tmp_path, monkeypatch):
    """As `engine="offline"` asks it; the engine is that of all tests here."""
    from wordsight.description_gen import generate

    class Shared(OfflineLLM):
        def __init__(self, model, **_):
            self.__dict__ |= offline.__dict__

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(generate, "OfflineLLM", Shared)
    generate_texts(["cat", "dog", "cup"], tmp_path, engine="offline", sentences=12, quiet=True)
    dataset, knowledge = load_texts(tmp_path)
    assert len(dataset) == 12 and set(dataset["model"]) == {"SmolLM2-135M-Instruct"} == {knowledge.model}


@pytest.mark.parametrize("options", [{"base_url": "http://a/v1"}, {"data_parallel_size": 2}, {"engine": "fast"}])
def test_what_does_not_go_together(options, tmp_path):
    with pytest.raises(InvalidInputError, match="engine is '"):
        generate_texts(["cat", "dog"], tmp_path, **{"engine": "offline"} | options)


def test_it_has_to_be_started():
    async def conversation():
        await OfflineLLM("no/model").log_probability("A cat")

    with pytest.raises(LLMServerError, match="`with` block"):
        asyncio.run(conversation())
