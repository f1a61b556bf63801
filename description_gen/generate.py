"""From category names to a dataset of labeled sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wordsight.utils.cache import cache_dir, fingerprint
from wordsight.utils.errors import InvalidInputError, check_not_empty

from .captions import UNLIKELY_SHARE
from .categories import Category, as_categories
from .co_occurrence import CoOccurrence
from .dataset import train_validation_split
from .interview import FIND_KINDS
from .languages import check_language, detect_language
from .llm.asking import run_async
from .llm.catalog import catalog_model
from .llm.client import CONCURRENCY
from .llm.language_model import language_model
from .llm.offline import OfflineLLM
from .llm.server import LLMServer, model_name
from .questions import load_questions
from .run import PROGRESS, Run, answers_path, drop
from .self_check import DROP_SHARE, MAX_DROP_SHARE
from .settings import Settings
from .store import recorded_settings

if TYPE_CHECKING:
    from datasets import DatasetDict

SENTENCES_PER_CATEGORY, MIN_SENTENCES = 50, 2000
MAX_SCORED_CATEGORIES = 150  # scoring pairs takes a request for each of K * K


def generate_texts(
    categories: Sequence[Category | str],
    out: Path | str | None = None,
    *,
    llm: str | Path | None = None,
    base_url: str | Sequence[str] | None = None,
    tensor_parallel_size: int = 1,
    data_parallel_size: int = 1,
    engine: Literal["server", "offline"] = "server",
    sentences: int | None = None,
    seed: int = 0,
    language: str | None = None,
    concurrency: int = CONCURRENCY,
    attribute_kinds: Sequence[str] | Literal["find"] | None = None,
    co_occurrence: Literal["auto"] | CoOccurrence = "auto",
    unlikely_share: float = UNLIKELY_SHARE,
    drop_share: float = DROP_SHARE,
    overwrite: bool = False,
    quiet: bool = False,
) -> DatasetDict:
    """Asks a language model to describe categories, and labels its sentences by what they really mention.

    Every answer is on disk as soon as it is there: an interrupted call goes on where it stopped, and asking for more
    sentences with the same settings keeps those that exist. Works in notebooks, too.

    Args:
        categories: the K categories, as `Category` or as strings ("cup, mug": a name and its synonyms).
        out: folder for the sentences and `knowledge.json`; by default one in wordsight's cache, the same for the same
            categories, model and seed. `load_texts` reads it.
        llm: an instruct model to serve with vLLM: "smollm2-135m", "qwen2.5-0.5b" or "qwen2.5-1.5b", which come from
            PyPI, a Hub id or a folder. By default the environment variable WORDSIGHT_LLM, else "qwen2.5-0.5b", or
            "smollm2-135m" when that can't be downloaded.
        base_url: address of an OpenAI-compatible server that is running, used instead; or of several with the same
            model, which share the requests. When one stops answering, the others go on with a warning.
        tensor_parallel_size: devices over which wordsight's own server splits the model.
        data_parallel_size: copies of the model in wordsight's own server, which share the requests.
        engine: how vLLM runs the model: as a "server", or "offline", in this process and without a port.
        sentences: how many usable sentences to write; by default 50 a category, and at least 2,000.
        seed: seed of questions, sampling and split.
        language: of the names, and of the sentences: "en", "de", "zh", ...; by default found from the names.
        concurrency: requests under way at once on each server.
        attribute_kinds: the kinds of attribute to ask for ("color", "parts", ...); by default those that are shipped in
            `questions.yaml`. "find" lets the model choose them for these categories.
        co_occurrence: how to find which categories are seen together, and where: by the model's "answers", by
            "likelihood" or by "both"; "auto" takes the likelihood where wordsight starts the server and there are at
            most 150 categories, and answers elsewhere.
        unlikely_share: in sentences about several categories, how many of them are drawn evenly instead of by how often
            they are seen together, in [0, 1].
        drop_share: how many sentences to drop, in [0, 1): of each kind those that the model itself finds least likely
            given what was asked. 0 where the server gives no log-probabilities.
        overwrite: whether to remove what is in `out` first.
        quiet: whether to hide progress bars.

    Returns:
        "train" and, with a tenth of the sentences, "validation": text, labels (multi-hot, K), kind ("single",
        "multiple"), asked, model, seed, temperature. Each knows its categories and what the model said about them.

    Raises:
        InvalidInputError: the categories can't be used, the language is not known, `out` is of another run, the
            servers have different models, a parallel size is set for servers that are running, or no sentence mentions
            a category.
        LLMServerError: our server does not start, another one does not answer at the start, or all stop answering.
        WordsightError: most answers are empty or cut off, or the disk is full.

    Example:
        >>> from wordsight import generate_texts
        >>> texts = generate_texts(["cat", "cup, mug", "rocket"], "few-texts", sentences=20)
        >>> texts.num_rows
        {'train': 18, 'validation': 2}
    """
    check_not_empty(out, "out")
    known = as_categories(categories)
    base_urls = [base_url] if isinstance(base_url, str) else list(base_url or ())
    _check(llm, base_urls, (tensor_parallel_size, data_parallel_size), engine)
    model = "" if base_urls else str(language_model(llm or (None if overwrite else earlier_model(out)), not quiet))
    if co_occurrence == "auto":
        scores = not base_urls and len(known) <= MAX_SCORED_CATEGORIES  # not every server scores prompts
        co_occurrence = "likelihood" if scores else "answers"
    if sentences is None:
        sentences = default_sentences(len(known))
    settings = Settings(
        known,
        load_questions(check_language(language) or detect_language(known)),
        sentences,
        seed,
        concurrency,
        co_occurrence,
        not quiet,
        _kinds(attribute_kinds),
        _share("unlikely_share", unlikely_share, 1.0),
        _share("drop_share", drop_share, MAX_DROP_SHARE),
    )
    out = _cached(settings, model_name(model), base_urls) if out is None else Path(out)
    run = Run(settings, out)
    if overwrite:
        drop(out)
    servers: Sequence[str] | LLMServer | OfflineLLM = base_urls
    if engine == "offline":
        servers = OfflineLLM(
            model, tensor_parallel_size=tensor_parallel_size, concurrency=concurrency, progress=not quiet
        )
    elif not base_urls:
        servers = LLMServer(
            model,
            tensor_parallel_size=tensor_parallel_size,
            data_parallel_size=data_parallel_size,
            log_path=out / PROGRESS / "server.log",
            progress=not quiet,
        )
    return train_validation_split(run_async(run.generate(servers)), seed=seed)


def default_sentences(categories: int) -> int:
    """How many sentences are written about so many categories where no number is given."""
    return max(MIN_SENTENCES, SENTENCES_PER_CATEGORY * categories)


def _check(llm: str | Path | None, base_urls: list[str], parallel_sizes: tuple[int, int], engine: str) -> None:
    if engine not in ("server", "offline"):
        raise InvalidInputError(f"engine is {engine!r}. Pass 'server' or 'offline'.")
    if engine == "offline" and (base_urls or parallel_sizes[1] > 1):
        given = f"{base_urls[0]} is running already" if base_urls else "copies of the model need a server"
        raise InvalidInputError(f"engine is 'offline', in this process, but {given}. Pass one of the two.")
    if llm is not None and base_urls:
        raise InvalidInputError("Pass either a model to serve (llm) or a running server (base_url), not both.")
    if base_urls and parallel_sizes != (1, 1):
        raise InvalidInputError(
            f"{base_urls[0]} is running already, and --tensor-parallel-size and --data-parallel-size are for a server "
            "that wordsight starts. Pass them to that server instead."
        )


def _kinds(kinds: Sequence[str] | str | None) -> list[str] | str | None:
    """The kinds of attribute as settings hold them."""
    if kinds is None or kinds == FIND_KINDS:
        return kinds
    listed = [kind.strip() for kind in kinds] if not isinstance(kinds, str) else []
    if not listed or not all(listed) or len(set(listed)) < len(listed):
        raise InvalidInputError(
            f"attribute_kinds is {kinds!r}. Pass different names, such as ['color', 'parts'], or {FIND_KINDS!r}."
        )
    return listed


def _share(name: str, share: float, most: float) -> float:
    if not 0 <= share <= most:
        raise InvalidInputError(f"{name} is {share}; allowed are 0 to {most}.")
    return float(share)


def earlier_model(out: Path | str | None) -> str | None:
    """The model of the catalog that wrote what is in a folder: where no model is named, it goes on there.

    Args:
        out: the folder.
    """
    found = None if out is None else recorded_settings(answers_path(Path(out)))
    model = catalog_model(found["model"]) if found else None
    return model.name if model else None


def _cached(settings: Settings, model: str, base_urls: list[str]) -> Path:
    """The folder in the cache for what is asked, whatever the number of sentences."""
    asked = settings.identity(model) | {"base_urls": sorted(base_urls)}
    names = "-".join(category.name for category in settings.categories[:3])
    readable = re.sub(r"[^\w.-]+", "-", names)[:40]
    return cache_dir() / "texts" / f"{readable}-{fingerprint(json.dumps(asked, sort_keys=True).encode())}"
