"""`generate_texts` as it is called: splits, the folder in the cache, notebooks, folders of earlier versions."""

import asyncio
import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from datasets import DatasetDict

from tests.fixtures.llm import NUMBERS, ScriptedLLM, asked_for, good_answer
from wordsight.description_gen import Category, generate_texts, load_texts
from wordsight.description_gen.dataset import categories_of, dropped_of, knowledge_of, normalize_texts
from wordsight.description_gen.llm.asking import run_async
from wordsight.utils.cache import cache_dir
from wordsight.utils.errors import InvalidInputError

CATEGORIES = [Category("cat"), Category("cup", ("mug",)), Category("rocket")]
NAMES = ["cat", "cup, mug", "rocket"]
WRITTEN_BY_0_2_0 = Path(__file__).parent.parent / "data" / "texts-0.2.0"


@pytest.fixture
def llm():
    with ScriptedLLM(good_answer) as server:
        yield server


def generate(llm, out=None, categories=NAMES, sentences=30, **options):
    return generate_texts(categories, out, base_url=llm.base_url, sentences=sentences, quiet=True, **options)


def test_splits_know_their_categories_and_the_folder_holds_all(llm, tmp_path):
    texts = generate(llm, tmp_path)
    assert isinstance(texts, DatasetDict) and texts.num_rows == {"train": 27, "validation": 3}
    whole, knowledge = load_texts(tmp_path)
    assert knowledge.categories == CATEGORIES
    for part in (*texts.values(), whole):
        assert categories_of(part) == CATEGORIES and knowledge_of(part) == knowledge
    assert sorted(whole["text"]) == sorted([*texts["train"]["text"], *texts["validation"]["text"]])
    assert not list(tmp_path.glob("cache-*.arrow"))  # the split has no file of its own
    asked = len(llm.requests)
    again = generate(llm, tmp_path)
    assert {name: part[:] for name, part in again.items()} == {name: part[:] for name, part in texts.items()}
    assert len(llm.requests) == asked
    other = generate(llm, tmp_path / "other", seed=1)
    assert other["validation"]["text"][:] != texts["validation"]["text"][:]
    normalized, categories = normalize_texts(texts)
    assert categories == CATEGORIES and normalized["labels"][:] == texts["train"]["labels"][:]


def test_without_a_folder_the_cache_keeps_it(llm, tmp_path, monkeypatch):
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path))
    first = generate(llm)
    (folder,) = (cache_dir() / "texts").iterdir()
    assert folder.name.startswith("cat-cup-rocket-")
    asked = len(llm.requests)
    assert generate(llm, categories=CATEGORIES)["train"][:] == first["train"][:]
    assert len(llm.requests) == asked
    generate(llm, sentences=40)  # the same folder
    generate(llm, categories=["cat", "dog"])
    assert len(list((cache_dir() / "texts").iterdir())) == 2


def test_it_runs_inside_a_running_loop_as_in_a_notebook(llm, tmp_path):
    async def cell():
        return generate(llm, tmp_path)

    assert asyncio.run(cell()).num_rows == {"train": 27, "validation": 3}


def test_errors_and_interrupts_come_through_a_running_loop(llm):
    async def cell():
        generate(llm, categories=["cat", "Cat"])

    with pytest.raises(InvalidInputError, match="twice"):
        asyncio.run(cell())

    ended = threading.Event()

    async def endless():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def interrupted():
        main = threading.main_thread().ident
        timer = threading.Timer(0.3, lambda: signal_interrupt(main))
        timer.start()
        run_async(endless())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert ended.is_set()


def signal_interrupt(thread):
    import signal

    signal.pthread_kill(thread, signal.SIGINT)


def test_strings_that_are_no_list_of_categories(tmp_path):
    with pytest.raises(InvalidInputError, match=r"must be a list, not the string 'cat, dog'"):
        generate_texts("cat, dog", tmp_path)
    with pytest.raises(InvalidInputError, match=r"3 is not a category"):
        generate_texts(["cat", 3], tmp_path)


def test_a_run_of_0_2_0_is_read_and_kept_but_does_not_go_on(tmp_path):
    """Its answers are to other questions."""
    folder = tmp_path / "texts"
    shutil.copytree(WRITTEN_BY_0_2_0, folder)
    settings = json.loads((folder / ".progress" / "answers.jsonl").read_text().splitlines()[0])["settings"]
    categories = [", ".join(names) for names in settings["categories"]]
    before, knowledge = load_texts(folder)
    assert knowledge.attributes and not knowledge.attribute_values and not knowledge.companions
    with ScriptedLLM(good_answer) as server:
        server.model = settings["model"]
        with pytest.raises(InvalidInputError, match=r"other settings \(.*questions.*\).*--overwrite"):
            generate(server, folder, categories, co_occurrence=settings["co_occurrence"])
        assert load_texts(folder)[0][:] == before[:]
        texts = generate(server, folder, categories, sentences=10, overwrite=True)
    assert sum(texts.num_rows.values()) == 10


def test_categories_that_nothing_mentions(tmp_path):
    """None at all is an error, one is a warning."""

    def about_cats_alone(request):
        names = asked_for(request)
        if names is None:
            return good_answer(request)
        return {"content": f"A {'cat' if 'cat' in names else 'sofa'} is in room {next(NUMBERS)}."}, "stop"

    with ScriptedLLM(about_cats_alone) as server:
        with pytest.raises(InvalidInputError, match=r"None of the sentences .* mentions a category"):
            generate(server, tmp_path / "a", ["cup", "rocket"], sentences=2, drop_share=0)
        with pytest.warns(UserWarning, match="No sentence mentions rocket"):
            generate(server, tmp_path / "b", ["cat", "rocket"], sentences=4, drop_share=0, unlikely_share=0)


def test_a_run_goes_on_with_its_answers(llm, tmp_path):
    generate(llm, tmp_path, sentences=30)
    before, asked = load_texts(tmp_path)[0]["text"][:], len(llm.requests)
    generate(llm, tmp_path, sentences=40)
    assert load_texts(tmp_path)[0]["text"][:30] == before
    assert len(llm.requests) - asked <= 40
    with pytest.raises(InvalidInputError, match=r"other settings \(unlikely_share\)"):
        generate(llm, tmp_path, sentences=40, unlikely_share=0.5)


def test_unlikely_sentences_are_dropped_where_the_server_scores_them(tmp_path):
    """The same sentences stay, whatever is asked for later; without scores all stay, with one line about it."""

    def is_doubtful(text):  # a ninth of those that are written, whatever the first one's number is
        return int(re.search(r"room (\d+)", text)[1]) % 9 == 1

    def scored(request):
        message, reason = good_answer(request)
        if asked_for(request) is not None:
            assert request["logprobs"]
            doubt = -9.0 if is_doubtful(message["content"]) else -0.5
            message |= {"logprobs": [{"token": "A", "logprob": doubt}, {"token": "b", "logprob": -0.5}]}
        return message, reason

    with ScriptedLLM(scored) as server:
        generate(server, tmp_path, sentences=20, drop_share=0.4)
        few = load_texts(tmp_path)[0]["text"][:]
        generate(server, tmp_path, sentences=40, drop_share=0.4)
    dataset = load_texts(tmp_path)[0]
    assert dataset["text"][:20] == few and len(dataset) == 40
    assert dropped_of(dataset)["unlikely"] >= 10
    assert not any(map(is_doubtful, dataset["text"]))
    with ScriptedLLM(good_answer) as server, pytest.warns(UserWarning, match="gives no log-probabilities"):
        generate(server, tmp_path / "unscored", sentences=20)
    assert "unlikely" not in (dropped_of(load_texts(tmp_path / "unscored")[0]) or {})


@pytest.mark.parametrize("kinds", [["color", "leaves"], "find"])
def test_kinds_of_attribute_are_the_users_or_the_models(kinds, tmp_path):
    found = ["color", "leaves"]

    def answer(request):
        if asked_for(request) is not None:
            return good_answer(request)
        asked = request["response_format"]["json_schema"]["schema"]["required"]
        if asked == ["kinds"]:
            return {"content": json.dumps({"kinds": [*found, "as long as a hand"]})}, "stop"
        if asked == found:
            return {"content": json.dumps({"color": "red or blue", "leaves": "not visible"})}, "stop"
        return {"content": json.dumps({asked[0]: ["a garden", "a shelf"] if asked[0] != "together" else []})}, "stop"

    with ScriptedLLM(answer) as server:
        generate(server, tmp_path, sentences=10, attribute_kinds=kinds)
    knowledge = load_texts(tmp_path)[1]
    assert knowledge.attribute_values["cat"] == {"color": "red or blue"}
    assert knowledge.attributes["cat"] == ["red or blue"]
    assert knowledge.scenes["cat"] == knowledge.companions["cat"] == ["a garden", "a shelf"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attribute_kinds": "color"}, "attribute_kinds is 'color'. Pass different names"),
        ({"attribute_kinds": ["color", "color"]}, "Pass different names"),
        ({"unlikely_share": 1.5}, "unlikely_share is 1.5; allowed are 0 to 1.0"),
        ({"drop_share": 0.95}, "drop_share is 0.95; allowed are 0 to 0.9"),
    ],
)
def test_settings_that_cannot_be(options, message, llm, tmp_path):
    with pytest.raises(InvalidInputError, match=message):
        generate(llm, tmp_path, **options)


def test_what_is_dropped_is_counted_by_reason_and_stays_with_the_texts(tmp_path):
    unusable = ["I'm sorry, I can't help with that.", "Cat.", "A photo of nothing at all.", "A photo of a cat.", ""]
    written = [unusable[3], *unusable, unusable[1], *(f"A cat in room {number}." for number in range(40))]
    answers = iter(written)

    def answer(request):
        return good_answer(request) if asked_for(request) is None else ({"content": next(answers)}, "stop")

    with ScriptedLLM(answer) as server:
        texts = generate(server, tmp_path, sentences=20, concurrency=1)
    expected = {"refusal": 1, "too short": 2, "names no category": 1, "duplicate": 1, "empty": 1}
    assert dropped_of(load_texts(tmp_path)[0]) == dropped_of(texts["validation"]) == expected
    assert dropped_of(load_texts(WRITTEN_BY_0_2_0)[0]) is None
