"""From category names to a data set of labeled sentences: the three rounds, one after the other."""

from __future__ import annotations

import asyncio
import shutil
import warnings
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, Features, List, Value, load_from_disk

from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.files import KNOWLEDGE
from wordsight.utils.progress import no_datasets_bars, progress_bar

from .captions import PLAN_VERSION, DescriptionPlan, DescriptionRequest, answer_record, clean_sentence, fold
from .categories import Category, check_categories
from .dataset import PUBLISHED, Knowledge, load_texts
from .knowledge import CoOccurrence, ask_knowledge
from .labeling import SentenceLabeler
from .llm.client import CONCURRENCY, LLMClient, ask_all
from .llm.default_llm import default_llm_path
from .llm.server import LLMServer, model_name
from .questions import Questions, load_questions
from .store import AGAIN, AnswerStore

PROGRESS = ".progress"  # folder for answers and the server's log
MAX_REQUESTS_PER_SENTENCE = 4
SENTENCES_PER_CATEGORY, MIN_SENTENCES = 50, 2000
MAX_SCORED_CATEGORIES = 150  # scoring pairs takes a request for each of K * K


def generate_texts(
    categories: Sequence[Category],
    out: Path | str,
    *,
    llm: str | Path | None = None,
    base_url: str | Sequence[str] | None = None,
    tensor_parallel_size: int = 1,
    data_parallel_size: int = 1,
    sentences: int | None = None,
    seed: int = 0,
    concurrency: int = CONCURRENCY,
    co_occurrence: Literal["auto"] | CoOccurrence = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> Dataset:
    """Lets a language model describe categories, and labels its sentences by what they really mention.

    Every answer is on disk as soon as it is there: an interrupted call goes on where it stopped, and asking for more
    sentences with the same settings keeps those that exist.

    Args:
        categories: the K categories.
        out: folder for the data set; also gets `knowledge.json`.
        llm: Hub id or folder of an instruct model to serve with vLLM; by default SmolLM2-135M from PyPI.
        base_url: an OpenAI-compatible server that runs already, used instead; or several of the same model, which share
            the requests. When one stops answering, the others go on with a warning.
        tensor_parallel_size: devices over which our own server splits the model.
        data_parallel_size: copies of the model in our own server, which share the requests.
        sentences: how many usable sentences to write; by default 50 a category, and at least 2,000.
        seed: seed of questions and sampling.
        concurrency: requests under way at once on each server.
        co_occurrence: how to find which categories are seen together (see `ask_knowledge`); "auto" takes both ways for
            the small default model and a larger model's answers as they are.
        overwrite: whether to drop what is in `out` first.
        quiet: whether to hide progress bars.

    Returns:
        The data set: text, labels (multi-hot, K), kind ("single", "multiple"), asked, model, seed, temperature.

    Raises:
        InvalidInputError: the categories can't be used, `out` is of another run, the servers have different models, a
            parallel size is given for servers that run already, or no sentence mentions a category.
        LLMServerError: our server does not start, a given one does not answer at the start, or all stop answering.
        WordsightError: the disk is full.
    """
    check_categories(categories)
    base_urls = [base_url] if isinstance(base_url, str) else list(base_url or ())
    if llm is not None and base_urls:
        raise InvalidInputError("Give either a model to serve (llm) or a server that runs (base_url), not both.")
    if base_urls and (tensor_parallel_size, data_parallel_size) != (1, 1):
        raise InvalidInputError(
            f"{base_urls[0]} runs already, and --tensor-parallel-size and --data-parallel-size are for a server that "
            "wordsight starts. Give them to that server instead."
        )
    out = Path(out)
    if overwrite:
        _drop(out)
    if co_occurrence == "auto":
        small = llm is None and not base_urls and len(categories) <= MAX_SCORED_CATEGORIES
        co_occurrence = "both" if small else "answers"
    if sentences is None:
        sentences = max(MIN_SENTENCES, SENTENCES_PER_CATEGORY * len(categories))
    run = _Run(list(categories), out, load_questions(), sentences, seed, concurrency, co_occurrence, not quiet)
    if base_urls:
        return asyncio.run(run.generate(base_urls))
    server = LLMServer(
        llm or default_llm_path(),
        tensor_parallel_size=tensor_parallel_size,
        data_parallel_size=data_parallel_size,
        log_path=out / PROGRESS / "server.log",
        progress=not quiet,
    )
    return asyncio.run(run.generate(server))


class _Run:
    """One call of `generate_texts`."""

    def __init__(
        self,
        categories: list[Category],
        out: Path,
        questions: Questions,
        sentences: int,
        seed: int,
        concurrency: int,
        co_occurrence: CoOccurrence,
        progress: bool,
    ) -> None:
        self.categories, self.out, self.questions = categories, out, questions
        self.sentences, self.seed, self.concurrency = sentences, seed, concurrency
        self.co_occurrence, self.progress = co_occurrence, progress
        self.labeler = SentenceLabeler(categories)

    async def generate(self, servers: Sequence[str] | LLMServer) -> Dataset:
        """Asks servers that run, or one that is started if anything is left to ask."""
        async with AsyncExitStack() as stack:
            if isinstance(servers, LLMServer):
                client = LLMClient(
                    servers.base_url, model_name(servers.model), servers.api_key, self.concurrency, send_seeds=True
                )
            else:
                client = LLMClient(servers, concurrency=self.concurrency)
            await stack.enter_async_context(client)
            model = await client.model()
            store = stack.enter_context(AnswerStore(self.out / PROGRESS / "answers.jsonl", self._settings(model)))
            if (done := self._finished(store)) is not None:
                return done
            if isinstance(servers, LLMServer):
                stack.enter_context(servers)
            knowledge = await ask_knowledge(
                self.categories,
                self.questions,
                client,
                store,
                seed=self.seed,
                co_occurrence=self.co_occurrence,
                progress=self.progress,
            )
            plan = DescriptionPlan(knowledge, self.questions)
            rows = await self._describe(plan, client, store)
        return self._save(rows, knowledge)

    def _settings(self, model: str) -> dict[str, Any]:
        return {
            "categories": [[category.name, *category.synonyms] for category in self.categories],
            "model": model,
            "seed": self.seed,
            "questions": self.questions.fingerprint,
            "plan": PLAN_VERSION,
            "co_occurrence": self.co_occurrence,
        }

    def _finished(self, store: AnswerStore) -> Dataset | None:
        """What is there already, when it is of this run and has as many sentences as are wanted."""
        if not store.answers or not (self.out / KNOWLEDGE).exists():
            return None
        try:
            dataset, _ = load_texts(self.out)
        except InvalidInputError:
            return None
        return dataset if len(dataset) == self.sentences else None

    async def _describe(self, plan: DescriptionPlan, client: LLMClient, store: AnswerStore) -> list[dict[str, Any]]:
        """Asks until enough sentences are usable, a bounded number of times."""

        async def ask(request: DescriptionRequest) -> None:
            text, complete = await client.chat(
                request.messages,
                temperature=request.temperature,
                max_tokens=self.questions.descriptions.max_tokens,
                seed=request.seed,
            )
            store.put(request.key, answer_record(text, complete))
            bar.update()

        asked = 0
        rows: list[dict[str, Any]] = []
        first = [plan.request(number) for number in range(self._wanted(0, 0))]
        done = sum(request.key in store for request in first)  # by a run before this one
        with progress_bar("Writing sentences", len(first), "sentence", self.progress, initial=done) as bar:
            while len(rows) < self.sentences and asked < MAX_REQUESTS_PER_SENTENCE * self.sentences:
                wanted = self._wanted(asked, len(rows))
                requests = [plan.request(number) for number in range(wanted)]
                todo = [request for request in requests[asked:] if request.key not in store]
                bar.total = wanted
                if asked:
                    bar.update(wanted - asked - len(todo))
                await ask_all(todo, ask, client.concurrency)
                asked = wanted
                rows = self._usable(requests, store, plan.knowledge.model)
        return rows[: self.sentences]

    def _wanted(self, asked: int, usable: int) -> int:
        """How many requests in all are to give as many sentences as are wanted, by the share that was usable so far."""
        share = max(usable / asked, 0.25) if asked else 0.9
        return asked + int(np.ceil((self.sentences - usable) / share))

    def _usable(self, requests: list[DescriptionRequest], store: AnswerStore, model: str) -> list[dict[str, Any]]:
        """Sentences that mention a category, each once, in the order of the plan."""
        rows, seen = [], set()
        for request in requests:
            answer = store.answers[request.key]
            sentence = clean_sentence(answer["text"], answer["complete"])
            if sentence is None or (folded := fold(sentence)) in seen:
                continue
            labels = self.labeler.label(sentence)
            if not labels.any():
                continue
            seen.add(folded)
            rows.append(
                {
                    "text": sentence,
                    "labels": labels.tolist(),
                    "kind": request.kind,
                    "asked": list(request.asked),
                    "model": model,
                    "seed": request.seed,
                    "temperature": request.temperature,
                }
            )
        return rows

    def _save(self, rows: list[dict[str, Any]], knowledge: Knowledge) -> Dataset:
        if not rows:
            raise InvalidInputError(
                f"None of the sentences in {self.out / PROGRESS} mentions a category. Try a larger language model, or "
                "give synonyms by which one would mention them."
            )
        if len(rows) < self.sentences:
            warnings.warn(f"Only {len(rows)} of {self.sentences} sentences are usable; going on.", stacklevel=2)
        counts = np.sum([row["labels"] for row in rows], axis=0)
        silent = [category.name for category, count in zip(self.categories, counts, strict=True) if not count]
        if silent:
            warnings.warn(
                f"No sentence mentions {', '.join(silent)}. Add synonyms, or ask for more sentences.", stacklevel=2
            )
        features = Features(
            {
                "text": Value("string"),
                "labels": List(Value("int8"), length=len(self.categories)),
                "kind": Value("string"),
                "asked": List(Value("string")),
                "model": Value("string"),
                "seed": Value("int64"),
                "temperature": Value("float32"),
            }
        )
        dataset = Dataset.from_list(rows, features=features)
        with writing(self.out, AGAIN):
            _save_dataset(dataset, self.out)
            # Last: its presence says that the data set beside it is whole.
            knowledge.save(self.out / KNOWLEDGE)
        loaded = load_from_disk(str(self.out))
        assert isinstance(loaded, Dataset)
        return loaded


def _drop(out: Path) -> None:
    """Removes what `generate_texts` wrote into a folder, and nothing else."""
    shutil.rmtree(out / PROGRESS, ignore_errors=True)
    for path in (
        out / KNOWLEDGE,
        out / PUBLISHED,
        out / "dataset_info.json",
        out / "state.json",
        *out.glob("data-*.arrow"),
    ):
        path.unlink(missing_ok=True)


def _save_dataset(dataset: Dataset, out: Path) -> None:
    """Saves beside, then moves in place, so that a kill leaves the old files or the new ones."""
    partial = out / PROGRESS / "dataset"
    shutil.rmtree(partial, ignore_errors=True)
    with no_datasets_bars():
        dataset.save_to_disk(str(partial))
    for outdated in (out / KNOWLEDGE, out / PUBLISHED):
        outdated.unlink(missing_ok=True)
    for old in out.glob("data-*.arrow"):
        old.unlink()
    for path in partial.iterdir():
        path.replace(out / path.name)
    partial.rmdir()
