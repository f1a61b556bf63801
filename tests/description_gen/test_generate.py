"""`generate_texts` as it is called: splits, the folder in the cache, notebooks, folders of earlier versions."""

import asyncio
import json
import shutil
import threading
from pathlib import Path

import pytest
from datasets import DatasetDict

from tests.fixtures.llm import ScriptedLLM, asked_for, good_answer
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


def test_a_run_of_0_2_0_goes_on(tmp_path):
    """Its answers are used again, and only the rest is asked."""
    folder = tmp_path / "texts"
    shutil.copytree(WRITTEN_BY_0_2_0, folder)
    settings = json.loads((folder / ".progress" / "answers.jsonl").read_text().splitlines()[0])["settings"]
    categories = [", ".join(names) for names in settings["categories"]]
    before, _ = load_texts(folder)
    with ScriptedLLM(good_answer) as server:
        # It was written by another model: the name is all that a server is known by.
        server.model = settings["model"]
        texts = generate(
            server, folder, categories, sentences=len(before) + 10, co_occurrence=settings["co_occurrence"]
        )
        asked = len(server.requests)
    assert sum(texts.num_rows.values()) == len(before) + 10
    assert asked <= 20
    assert load_texts(folder)[0]["text"][: len(before)] == before["text"][:]


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
