"""A real vLLM server: it answers, it is private, and it never outlives whoever started it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest

from wordsight.description_gen import LLMServer, LLMServerError
from wordsight.description_gen.llm.client import LLMClient
from wordsight.description_gen.questions import load_questions


def ask(server, question, **options):
    async def conversation():
        async with LLMClient(server.base_url, api_key=server.api_key, **options) as client:
            return await question(client)

    return asyncio.run(conversation())


def test_it_answers_to_a_schema(vllm_server):
    question = load_questions().co_occurrence
    choices = ["plate", "whale", "knife"]
    messages = question.messages(name="fork", candidates=", ".join(choices))
    answer = ask(
        vllm_server,
        lambda client: client.chat_json(
            messages, seed=0, temperature=0.3, max_tokens=60, schema=question.schema(choices)
        ),
    )
    assert set(answer) == {"together"}
    assert len(answer["together"]) >= 1 and set(answer["together"]) <= set(choices)


def test_requests_with_seeds_do_not_kill_it(vllm_server):
    """Many at once, as descriptions are asked for; a seeded request in chunks would end vLLM on a CPU."""
    prefix = load_questions().descriptions.wordings[0].single

    async def many(client):
        messages = [*prefix, {"role": "user", "content": "Object: cat. Looks: gray fur. Place: a sofa"}]
        chats = [client.chat(messages, temperature=0.8, max_tokens=24, seed=seed) for seed in range(40)]
        return await asyncio.gather(*chats)

    answers = [answer.text for answer in ask(vllm_server, many, send_seeds=True)]
    assert len(set(answers)) > 10  # the seeds are not all the same
    assert sum("cat" in text.lower() for text in answers) > 20


def test_likelihood_prefers_what_is_likely(vllm_server):
    async def compare(client):
        texts = ["The capital of France is Paris", "The capital of France is spoon"]
        return [await client.log_probability(text) for text in texts]

    likely, unlikely = ask(vllm_server, compare)
    assert unlikely < likely < 0


def test_endings_score_as_whole_texts_do(vllm_server):
    """Also more of them than vLLM scores in one request."""
    start, letters = "A photo of a cat", "abcdefghijklm"
    endings = [f" {one}{other}" for one in letters for other in letters] + [" on a sofa", " on a table", " at sea"]

    async def compare(client):
        fast = await client.ending_scores(start, endings)
        assert client._scores_tokens
        return fast, [await client.log_probability(start + ending) for ending in endings[-3:]]

    fast, whole = ask(vllm_server, compare)
    assert np.diff(fast[-3:]) == pytest.approx(np.diff(whole), abs=0.2)  # in half precision
    assert len(set(fast)) > 128


def test_it_wants_its_key(vllm_server):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(vllm_server.base_url + "/models", timeout=30)
    vllm_key, vllm_server.api_key = vllm_server.api_key, "wrong-key"
    try:
        with pytest.raises(LLMServerError, match="Set WORDSIGHT_API_KEY") as caught:
            ask(vllm_server, lambda client: client.model())
    finally:
        vllm_server.api_key = vllm_key
    assert "wrong-key" not in str(caught.value) and vllm_key not in str(caught.value)


def test_no_server_at_all():
    with pytest.raises(LLMServerError, match=r"http://127\.0\.0\.1:9/v1 does not answer"):
        asyncio.run(LLMClient("http://127.0.0.1:9/v1").model())


@pytest.mark.slow
def test_failure_to_start_shows_the_log(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(LLMServerError, match="vLLM stopped while starting") as caught, LLMServer(tmp_path):
        pass
    assert "The end of its log" in str(caught.value) and "--base-url" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "processes"), [(signal.SIGINT, 1), (signal.SIGKILL, 2)])
def test_nothing_is_left_when_the_parent_ends(sign, processes, tmp_path):
    """Ended while vLLM starts, its engine included; whoever is ended has no say with kill -9.

    With SIGTERM, the trainings of tests/app/test_training_job.py are stopped.
    """
    code = (
        # As in a terminal: what a script starts in the background ignores Ctrl-C, and so would this.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from wordsight.description_gen import LLMServer, language_model\n"
        "from pathlib import Path\n"
        "with LLMServer(language_model('smollm2-135m'), log_path=Path(sys.argv[1])) as server: input()"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        # The second one is the engine, which starts when the first has imported everything.
        family = wait_for(lambda: len(found := vllm_processes(parent.pid)) >= processes and found, 120)
        parent.send_signal(sign)
        parent.wait(60)
        wait_for(lambda: not any(alive(process) for process in family), 60)
    finally:
        parent.kill()


def vllm_processes(pid):
    """All of the supervisor's descendants."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "supervise.py" not in " ".join(child.cmdline())]


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if result := condition():
                return result
        except psutil.Error:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")
