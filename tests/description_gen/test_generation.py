"""Sentences from a real model: whole, labeled, and never lost, whatever happens in between."""

import json
import os
import signal
import time

import numpy as np
import pytest
from datasets import load_from_disk

from tests.fixtures.process import Started
from tests.fixtures.proxy import FaultyProxy
from wordsight.description_gen import Category, Knowledge, SentenceLabeler, generate_texts, load_texts
from wordsight.description_gen.captions import DescriptionPlan
from wordsight.description_gen.questions import load_questions
from wordsight.description_gen.scenes import common_scenes, scene_weights
from wordsight.description_gen.sentences import fold
from wordsight.utils.errors import InvalidInputError, WordsightError

CATEGORIES = [Category("cat", ("kitten",)), Category("dog"), Category("car"), Category("cup", ("mug",))]
FILE = "cat, kitten\ndog\ncar\ncup, mug\n"
SENTENCES, FEW = 24, 12
ALL = {"drop_share": 0, "quiet": True}  # none is dropped: no more than a few have to be asked for


def answers_of(out):
    """Settings and answers on disk, line by line; a torn last line is left out."""
    lines = (out / ".progress" / "answers.jsonl").read_bytes().split(b"\n")[:-1]
    settings, *records = map(json.loads, lines)
    return settings, records


@pytest.fixture
def key(vllm_server, monkeypatch):
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)


@pytest.fixture
def describe(vllm_server, tmp_path):
    """The command that a user runs, as a process: three dozen answers, a few of them under way at once."""
    (tmp_path / "categories.txt").write_text(FILE)
    environment = os.environ | {"WORDSIGHT_API_KEY": vllm_server.api_key}

    def start(base_url=vllm_server.base_url, **options):
        command = ["describe", "--categories", "categories.txt", "--out", "texts", "--base-url", base_url]
        command += ["--sentences", FEW, "--concurrency", 4, "--drop-share", 0]
        return Started(command, env=environment, cwd=tmp_path, **options)

    return start


@pytest.fixture(scope="module")
def generated(vllm_server, tmp_path_factory):
    out = tmp_path_factory.mktemp("generated") / "texts"
    os.environ["WORDSIGHT_API_KEY"] = vllm_server.api_key
    try:
        generate_texts(
            CATEGORIES, out, base_url=vllm_server.base_url, sentences=SENTENCES, co_occurrence="both", quiet=True
        )
    finally:
        del os.environ["WORDSIGHT_API_KEY"]
    return out


def test_sentences_are_labeled_by_what_they_mention(generated):
    dataset, knowledge = load_texts(generated)
    assert len(dataset) == SENTENCES
    assert dataset.column_names == ["text", "labels", "kind", "asked", "model", "seed", "temperature"]
    labels = np.array(dataset["labels"])
    assert labels.any(axis=1).all()
    assert (labels == SentenceLabeler(CATEGORIES).label_batch(dataset["text"])).all()
    assert len({fold(text) for text in dataset["text"]}) == SENTENCES
    assert set(dataset["kind"]) == {"single", "multiple"}
    assert set(dataset["model"]) == {"SmolLM2-135M-Instruct"} == {knowledge.model}
    names = [category.name for category in CATEGORIES]
    asked = np.array([[name in row for name in names] for row in dataset["asked"]])
    # The model does what it is asked: most of the categories asked for are named.
    assert (labels.astype(bool) & asked).sum() / asked.sum() > 0.5
    assert isinstance(load_from_disk(str(generated))[0]["text"], str)


def test_knowledge_names_only_given_categories(generated):
    knowledge = Knowledge.load(generated / "knowledge.json")
    names = {category.name for category in CATEGORIES}
    assert knowledge.categories == CATEGORIES
    assert set(knowledge.attributes) == set(knowledge.scenes) == set(knowledge.co_occurrence) == names
    assert sum(map(bool, knowledge.attributes.values())) >= 3
    for name, others in knowledge.co_occurrence.items():
        assert set(others) <= names - {name}
        assert all(0 < weight <= 1 for weight in others.values())


def test_a_server_that_is_gone_from_the_start_changes_nothing(generated, key):
    before = (generated / ".progress" / "answers.jsonl").read_bytes()
    with FaultyProxy("http://127.0.0.1:9", cut_after=1) as nobody, pytest.raises(WordsightError):
        generate_texts(CATEGORIES, generated, base_url=nobody.base_url, sentences=SENTENCES, quiet=True)
    assert (generated / ".progress" / "answers.jsonl").read_bytes() == before


def test_more_sentences_extend(vllm_server, key, tmp_path):
    generate_texts(CATEGORIES, tmp_path, base_url=vllm_server.base_url, sentences=8, **ALL)
    few, _ = load_texts(tmp_path)
    _, first = answers_of(tmp_path)
    generate_texts(CATEGORIES, tmp_path, base_url=vllm_server.base_url, sentences=16, **ALL)
    more, _ = load_texts(tmp_path)
    _, second = answers_of(tmp_path)
    assert second[: len(first)] == first
    assert more["text"][:8] == few["text"][:8]
    assert len(more) == 16


@pytest.mark.slow
def test_kill_at_any_moment_then_resume(describe, tmp_path):
    """Two kills, one early and one late; in the end every question has one answer and none was lost."""
    path = tmp_path / "texts" / ".progress" / "answers.jsonl"
    kept = []
    for lines in (5, 25):
        process = describe()
        deadline = time.monotonic() + 120
        while not path.exists() or path.read_bytes().count(b"\n") < lines:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        _, records = answers_of(tmp_path / "texts")
        assert records[: len(kept)] == kept
        kept = records
    process = describe()
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    _, records = answers_of(tmp_path / "texts")
    keys = [record["key"] for record in records]
    assert records[: len(kept)] == kept
    assert len(keys) == len(set(keys))
    assert len(load_texts(tmp_path / "texts")[0]) == FEW


@pytest.mark.slow
def test_server_that_dies_midway(describe, vllm_server, tmp_path):
    upstream = vllm_server.base_url.removesuffix("/v1")
    with FaultyProxy(upstream, cut_after=20) as proxy:
        process = describe(base_url=proxy.base_url)
        _, stderr = process.communicate(timeout=240)
    assert process.returncode == 1
    message = stderr.strip().splitlines()[-1]
    assert message.startswith("Error: http://127.0.0.1:") and "run the same command again" in message
    assert "Traceback" not in stderr and vllm_server.api_key not in stderr
    _, kept = answers_of(tmp_path / "texts")
    assert len(kept) >= 12
    process = describe()  # the settings are the same: the address is none
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert answers_of(tmp_path / "texts")[1][: len(kept)] == kept


def test_answers_that_are_no_json(vllm_server, key, tmp_path):
    """The category is named, and the rest goes on."""

    def spoil(answer):
        message = answer["choices"][0]["message"]
        if message["content"].startswith("{"):
            message["content"] = message["content"][:-2]
        return answer

    with (
        FaultyProxy(vllm_server.base_url.removesuffix("/v1"), spoil=spoil) as proxy,
        pytest.warns(UserWarning, match=r"answers about attributes of 'cat' are not valid JSON.*going on without"),
    ):
        texts = generate_texts(CATEGORIES, tmp_path, base_url=proxy.base_url, sentences=8, **ALL)
    assert sum(texts.num_rows.values()) == 8
    assert Knowledge.load(tmp_path / "knowledge.json").attributes == {c.name: [] for c in CATEGORIES}


def test_full_disk(describe, tmp_path):
    """The operating system refuses to let the file grow, as a full disk does."""
    limit = 3000
    process = describe(file_limit=limit)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 1
    message = stderr.strip().splitlines()[-1]
    assert "answers.jsonl can't be written" in message and "Make room" in message
    assert "Traceback" not in stderr
    _, kept = answers_of(tmp_path / "texts")
    assert kept
    process = describe()
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert answers_of(tmp_path / "texts")[1][: len(kept)] == kept


def test_other_settings_are_refused_and_overwrite_helps(generated, key, vllm_server, tmp_path):
    before = (generated / ".progress" / "answers.jsonl").read_bytes()
    with pytest.raises(InvalidInputError, match=r"other settings \(seed\).*--overwrite"):
        generate_texts(CATEGORIES, generated, base_url=vllm_server.base_url, seed=7, co_occurrence="both", quiet=True)
    assert (generated / ".progress" / "answers.jsonl").read_bytes() == before
    generate_texts(CATEGORIES, tmp_path, base_url=vllm_server.base_url, sentences=4, **ALL)
    others = [Category("tree"), Category("boat")]
    generate_texts(others, tmp_path, base_url=vllm_server.base_url, sentences=4, overwrite=True, **ALL)
    assert load_texts(tmp_path)[1].categories == others


def test_plan_is_reproducible_and_balanced():
    knowledge = Knowledge(CATEGORIES, "m", 5, co_occurrence={"cat": {"dog": 1.0}, "dog": {}, "car": {}, "cup": {}})
    plan = DescriptionPlan(knowledge, load_questions())
    requests = [plan.request(number) for number in range(400)]
    assert requests == [DescriptionPlan(knowledge, load_questions()).request(number) for number in range(400)]
    singles = [request.asked[0] for request in requests if request.kind == "single"]
    assert {name: singles.count(name) for name in set(singles)} == {c.name: 50 for c in CATEGORIES}
    groups = [request.asked for request in requests if request.kind == "multiple"]
    assert all(len(set(group)) == len(group) for group in groups)
    second = [group[1] for group in groups if group[0] == "cat"]
    assert second.count("dog") > 4 * (second.count("car") + second.count("cup"))  # seen together, so asked together


def test_groups_are_of_what_is_seen_together():
    seen = {"cat": {"dog": 1.0, "cup": 0.5}, "dog": {"cup": 0.5}, "car": {"dog": 0.1}}
    knowledge = Knowledge(CATEGORIES, "m", 0, co_occurrence=seen)

    def groups(**options):
        plan = DescriptionPlan(knowledge, load_questions(), **options)
        return [plan.request(number).asked for number in range(1, 800, 2)]

    likely = groups(unlikely_share=0.0)
    assert {len(group) for group in likely} == {2, 3, 4}
    assert not any({"cat", "car"} == set(group) or {"cup", "car"} == set(group) for group in likely)
    of_cat = [group[1] for group in likely if group[0] == "cat"]
    assert of_cat.count("dog") > 2 * of_cat.count("cup") > 0
    even = [group[1] for group in groups(unlikely_share=1.0) if group[0] == "cat"]
    assert min(even.count(name) for name in ("dog", "cup", "car")) > len(even) / 5


def test_a_category_that_nothing_is_seen_with_still_gets_company():
    plan = DescriptionPlan(Knowledge(CATEGORIES, "m", 0), load_questions(), unlikely_share=0.0)
    assert {len(plan.request(number).asked) for number in range(1, 400, 2)} == {2}


def test_sentences_about_one_category_are_asked_for_with_two_details():
    knowledge = Knowledge(
        [Category("candle")],
        "m",
        0,
        attributes={"candle": ["red or green"]},
        scenes={"candle": ["a church"]},
        companions={"candle": ["a wine glass"]},
    )
    plan = DescriptionPlan(knowledge, load_questions())
    asked = {plan.request(number).messages[-1]["content"].partition(". View")[0] for number in range(200)}
    assert asked == {
        "Object: candle. Looks: red. Place: a church",
        "Object: candle. Looks: green. Place: a church",
        "Object: candle. Place: a church. With: a wine glass",
        "Object: candle. Looks: red. With: a wine glass",
        "Object: candle. Looks: green. With: a wine glass",
    }


def test_a_scene_suits_as_many_as_possible():
    assert common_scenes([["a sofa", "a kitchen table"], ["the kitchen"], ["a road"]]) == [
        "a kitchen table",
        "the kitchen",
    ]
    assert common_scenes([["a sofa", "a bed"], ["a road"]]) == ["a sofa", "a bed"]
    assert common_scenes([[], ["a road"]]) == []


def test_a_scene_that_suits_everything_is_rarely_asked_for():
    scenes = {"cat": ["in a park", "on a sofa"], "dog": ["in a large park"], "car": ["in a park"], "cup": ["in a park"]}
    assert scene_weights(scenes.values()) == {"in a park": 0.25, "on a sofa": 1.0, "in a large park": 0.25}
    plan = DescriptionPlan(Knowledge(CATEGORIES, "m", 0, scenes=scenes), load_questions())
    asked = [plan.request(number) for number in range(0, 800, 2)]
    of_cat = [request.messages[-1]["content"] for request in asked if request.asked == ("cat",)]
    sofas, parks = (sum(scene in content for content in of_cat) for scene in ("on a sofa", "in a park"))
    assert sofas > 2 * parks > 0


def test_some_requests_say_how_the_photo_is_taken_and_what_one_of_several_looks_like():
    knowledge = Knowledge([Category("cat"), Category("dog")], "m", 0, attributes={"dog": ["a red collar"]})
    questions = load_questions()
    plan = DescriptionPlan(knowledge, questions)
    asked = [plan.request(number).messages[-1]["content"] for number in range(800)]
    views = [content.partition(". View: ")[2] for content in asked]
    assert set(views) == {"", *questions.descriptions.views}
    assert 0.2 < 1 - views.count("") / len(views) < 0.3
    several = [content for content in asked if content.startswith("Objects: ")]
    assert 0.2 < sum(". Looks of the dog: a red collar" in content for content in several) / len(several) < 0.3
    assert not any("Looks of the cat" in content for content in asked)


def test_requests_speak_of_synonyms_half_of_the_time():
    knowledge = Knowledge([Category("person", ("girl", "man")), Category("dog")], "m", 0)
    plan = DescriptionPlan(knowledge, load_questions())
    requests = [plan.request(number) for number in range(0, 400, 4)]  # about persons alone
    assert all(request.asked == ("person",) for request in requests)
    spoken = [request.messages[-1]["content"].split(".")[0].removeprefix("Object: ") for request in requests]
    assert set(spoken) == {"person", "girl", "man"}
    assert 0.35 < spoken.count("person") / len(spoken) < 0.65


def test_folders_that_are_no_texts(generated, tmp_path):
    with pytest.raises(InvalidInputError, match="not a folder of sentences"):
        load_texts(tmp_path)
    (tmp_path / "knowledge.json").write_text("{")
    with pytest.raises(InvalidInputError, match="can't be read as wordsight's knowledge"):
        load_texts(tmp_path)
    content = json.loads((generated / "knowledge.json").read_text())
    (tmp_path / "knowledge.json").write_text(json.dumps(content | {"format_version": 99}))
    with pytest.raises(InvalidInputError, match=r"format 99; this wordsight reads up to 2. Upgrade"):
        load_texts(tmp_path)
    (tmp_path / "knowledge.json").write_text(json.dumps(content))
    with pytest.raises(InvalidInputError, match=r"can't be read: .*its answers are kept"):
        load_texts(tmp_path)
