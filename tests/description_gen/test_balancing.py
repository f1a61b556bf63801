"""Requests over several servers: the real vLLM behind proxies that count, stop answering, or name another model."""

import warnings

import pytest

from tests.fixtures.proxy import FaultyProxy
from wordsight.description_gen import Category, LLMServer, LLMServerError, generate_texts, language_model, load_texts
from wordsight.description_gen.llm import client as client_module
from wordsight.utils.errors import InvalidInputError

CATEGORIES = [Category("cat"), Category("dog"), Category("cup", ("mug",))]


@pytest.fixture
def upstream(vllm_server, monkeypatch):
    """The server's address without /v1; what is gone is given up after one retry, for the tests' sake."""
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)
    monkeypatch.setattr(client_module, "RETRIES", 1)
    return vllm_server.base_url.removesuffix("/v1")


def describe(out, *proxies, **options):
    options = {"sentences": 16, "concurrency": 4, "drop_share": 0, "quiet": True} | options
    generate_texts(CATEGORIES, out, base_url=[proxy.base_url for proxy in proxies], **options)
    return load_texts(out)[0]


def test_requests_are_spread(upstream, tmp_path):
    with FaultyProxy(upstream) as one, FaultyProxy(upstream) as two, warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*stopped answering")
        assert len(describe(tmp_path, one, two)) == 16
    assert min(one.answered, two.answered) >= (one.answered + two.answered) / 3
    assert max(one.most_at_once, two.most_at_once) <= 4 < one.most_at_once + two.most_at_once


def test_the_limit_is_each_servers_own_after_one_is_gone(upstream, tmp_path):
    """Twice as many requests wait as the remaining server may have under way."""
    with (
        FaultyProxy(upstream, cut_after=2) as one,
        FaultyProxy(upstream) as two,
        pytest.warns(UserWarning, match=f"{one.base_url} stopped answering.*The other servers") as caught,
    ):
        dataset = describe(tmp_path, one, two)
    assert len(dataset) == 16
    assert len([warning for warning in caught if "stopped answering" in str(warning.message)]) == 1
    assert one.answered < 2 + 4 < two.answered  # what was under way at the cut was answered
    assert two.most_at_once <= 4
    # The run can be extended over other servers: addresses are no settings.
    with FaultyProxy(upstream) as three:
        more = describe(tmp_path, three, sentences=18)
    assert more["text"][:16] == dataset["text"][:]


def test_a_server_that_answers_with_errors_is_left(upstream, tmp_path):
    with (
        FaultyProxy(upstream, status_after=(2, 503)) as one,
        FaultyProxy(upstream) as two,
        pytest.warns(UserWarning, match=rf"{one.base_url} stopped answering \(HTTP 503\)"),
    ):
        assert len(describe(tmp_path, one, two, sentences=4)) == 4


def test_all_gone(upstream, tmp_path):
    with (
        FaultyProxy(upstream, cut_after=4) as one,
        FaultyProxy(upstream, cut_after=6) as two,
        pytest.warns(UserWarning, match="stopped answering"),
        pytest.raises(LLMServerError, match=r"does not answer .*All answers so far are on disk") as caught,
    ):
        describe(tmp_path, one, two)
    assert "\n" not in str(caught.value)
    kept = (tmp_path / ".progress" / "answers.jsonl").read_bytes()
    assert kept.count(b"\n") > 4  # the settings and some answers
    with FaultyProxy(upstream) as three:
        describe(tmp_path, three, sentences=4)
    assert (tmp_path / ".progress" / "answers.jsonl").read_bytes().startswith(kept)
    assert len(load_texts(tmp_path)[0]) == 4


def test_one_that_is_gone_from_the_start(upstream, tmp_path):
    with (
        FaultyProxy(upstream) as one,
        FaultyProxy(upstream, cut_after=0) as two,
        pytest.raises(LLMServerError, match=f"{two.base_url} does not answer"),
    ):
        describe(tmp_path, one, two)


@pytest.mark.parametrize("answers", [0, 3])
def test_a_refused_key_is_an_error_at_once(answers, upstream, tmp_path):
    """From the start, and midway: no other server is asked instead."""
    with (
        FaultyProxy(upstream) as one,
        FaultyProxy(upstream, status_after=(answers, 401)) as two,
        warnings.catch_warnings(),
        pytest.raises(LLMServerError, match=f"{two.base_url} refuses the key"),
    ):
        warnings.filterwarnings("error", message=".*stopped answering")
        describe(tmp_path, one, two)


def test_servers_of_different_models(upstream, tmp_path):
    def renamed(answer):
        return answer | {"data": [answer["data"][0] | {"id": "Another-LLM"}]}

    with FaultyProxy(upstream) as one, FaultyProxy(upstream, spoil=renamed, spoiled="models") as two:
        expected = rf"{one.base_url} serves SmolLM2-135M-Instruct, {two.base_url} serves Another-LLM"
        with pytest.raises(InvalidInputError, match=expected):
            describe(tmp_path, one, two)
    assert not (tmp_path / ".progress").exists()


@pytest.mark.parametrize("option", ["tensor_parallel_size", "data_parallel_size"])
def test_sizes_are_not_for_a_server_that_runs(option, tmp_path):
    (tmp_path / "knowledge.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"http://a/v1 is running already.*Pass them to that server instead"):
        generate_texts(CATEGORIES, tmp_path, base_url=["http://a/v1", "http://b/v1"], overwrite=True, **{option: 2})
    assert (tmp_path / "knowledge.json").exists()  # nothing is dropped for a call that can't be


def test_sizes_reach_vllm(tmp_path):
    options = {"log_path": tmp_path / "log"}
    small = language_model("smollm2-135m")
    plain = LLMServer(small, **options).command()
    assert not any("parallel" in argument for argument in plain)
    command = LLMServer(small, tensor_parallel_size=2, data_parallel_size=3, **options).command()
    for option, value in (("--tensor-parallel-size", "2"), ("--data-parallel-size", "3")):
        assert command[command.index(option) + 1] == value
