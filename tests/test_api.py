"""The Python API: every public name is on a page of the documentation, with an example that runs as it stands."""

import doctest
import importlib
import re
import shutil
from pathlib import Path

import pytest

import wordsight
from tests.fixtures.texts import CATEGORIES, write_texts
from wordsight import plotting, scale, serving
from wordsight.example_photos import load_photos
from wordsight.modeling.training.train import train_prompts
from wordsight.serving.batching import Batcher

PAGES = Path(__file__).parents[1] / "docs/api"
NAMES = [name for name in wordsight.__all__ if name != "__version__"]
STARTS_A_SERVER = "generate_texts"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """What the examples go on from: sentences, a model and photos."""
    folder = tmp_path_factory.mktemp("api")
    names = [category.name for category in CATEGORIES]
    write_texts(folder / "my-texts")
    write_texts(folder / "new-texts", [*CATEGORIES, wordsight.Category("rocket")], [
        f"A {name} and a {other} in the {place}."
        for name in (*names, "rocket") for other in (*names, "rocket") if name != other for place in ("sun", "rain")
    ])  # fmt: skip
    train_prompts(folder / "my-texts", folder / "my-model")
    (folder / "photos").mkdir()
    for name, photo in load_photos().items():
        photo.save(folder / f"photos/{name}.jpg")
    return folder


@pytest.fixture
def run_examples(prepared, tmp_path, monkeypatch):
    """Runs the examples in the docstrings of something, and of its members, in a copy of what is prepared."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(thing):
        examples = doctest.DocTestFinder().find(thing, "", module=module_of(thing), globs={})
        examples = [each for each in examples if each.examples]
        assert examples, f"{thing} has no example"
        for each in examples:
            skipped = [example for example in each.examples if example.options.get(doctest.SKIP)]
            assert not skipped, f"{each.name}: {skipped[0].source} is not run"
            output = []
            doctest.DocTestRunner(optionflags=OPTIONS).run(each, out=output.append)
            assert not output, "".join(output)

    return run


def module_of(thing):
    return None if not hasattr(thing, "__module__") else importlib.import_module(thing.__module__)


def documented():
    """Everything on the pages, by its path: `:::` and the members named below it."""
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        for path, options in re.findall(r"^::: (\S+)\n((?:    .*\n)*)", page.read_text(), re.MULTILINE):
            members = re.search(r"members: \[(.*)\]", options)
            places = [f"{path}.{name}" for name in members[1].split(", ")] if members else []
            found |= dict.fromkeys([path, *places], page.name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_on_a_page(name):
    thing = getattr(wordsight, name)
    assert f"{thing.__module__}.{thing.__qualname__}" in documented()


@pytest.mark.parametrize("name", [name for name in NAMES if name != STARTS_A_SERVER])
def test_example_of(name, run_examples):
    run_examples(getattr(wordsight, name))


def test_example_that_asks_a_language_model(shared_server, run_examples):
    run_examples(getattr(wordsight, STARTS_A_SERVER))


@pytest.mark.parametrize("thing", [serving.make_app, serving.ServingOptions, Batcher], ids=lambda thing: thing.__name__)
def test_example_of_serving(thing, run_examples):
    run_examples(thing)


@pytest.mark.slow
def test_examples_on_a_cluster(run_examples):
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    try:
        for name in scale.__all__:
            run_examples(getattr(scale, name))
    finally:
        ray.shutdown()


@pytest.mark.parametrize("module", [wordsight, plotting], ids=lambda module: module.__name__)
def test_example_of_the_module(module, run_examples):
    run_examples(module)
