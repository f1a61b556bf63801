"""One run of `generate_texts`: what is still to ask is asked, and what is usable is saved."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.files import KNOWLEDGE
from wordsight.utils.progress import no_datasets_bars, progress_bar

from .captions import DESCRIPTION, DescriptionPlan, DescriptionRequest
from .dataset import PUBLISHED, Knowledge, load_texts, with_dropped, with_knowledge
from .interview import Interview
from .labeling import SentenceLabeler
from .llm.asker import Asker
from .llm.asking import ask_all
from .llm.client import LLMClient
from .llm.offline import OfflineLLM
from .llm.server import LLMServer, model_name
from .self_check import NO_SELF_CHECK, doubtful, whole_blocks
from .sentences import FAILURES, clean_sentence, fold
from .settings import Settings
from .store import AGAIN, AnswerStore

if TYPE_CHECKING:
    from datasets import Dataset

PROGRESS = ".progress"  # folder for answers and the server's log
MAX_REQUESTS_PER_SENTENCE = 4
Usable = tuple[list[dict[str, Any]], dict[str, int]]  # rows of sentences, and how many were dropped by reason
FIRST_SHARE, LEAST_SHARE = 0.9, 0.25  # of usable sentences: expected before the first answer, and at the least


class Run:
    """One run into a folder.

    Args:
        settings: what is asked for.
        out: the folder.
    """

    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.labeler = SentenceLabeler(settings.categories, settings.questions.language)

    async def generate(self, servers: Sequence[str] | LLMServer | OfflineLLM) -> Dataset:
        """Asks servers that are running, or a server or engine that is started if anything is left to ask."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self._client(servers))
            identity = settings.identity(await client.model())
            store = stack.enter_context(AnswerStore(answers_path(self.out), identity))
            if (done := self._finished(store)) is not None:
                return done
            if isinstance(servers, LLMServer | OfflineLLM):
                stack.enter_context(servers)
            co_occurrence = settings.co_occurrence
            if co_occurrence != "answers" and not await client.scores_prompts():
                co_occurrence = "answers"
            interview = Interview(
                settings.categories,
                settings.questions,
                client,
                store,
                settings.seed,
                settings.kinds,
                settings.progress,
            )
            knowledge = await interview.knowledge(co_occurrence)
            plan = DescriptionPlan(knowledge, settings.questions, settings.unlikely_share)
            rows, dropped = await self._describe(plan, client, store)
        return self._save(rows, dropped, knowledge)

    def _client(self, servers: Sequence[str] | LLMServer | OfflineLLM) -> Asker:
        """Who asks them; our server's key and name are known before it runs."""
        if isinstance(servers, OfflineLLM):
            return servers
        if isinstance(servers, LLMServer):
            name, key = model_name(servers.model), servers.api_key
            return LLMClient(servers.base_url, name, key, self.settings.concurrency, send_seeds=True)
        return LLMClient(servers, concurrency=self.settings.concurrency)

    def _finished(self, store: AnswerStore) -> Dataset | None:
        """What is there already, when it is of this run and has as many sentences as are wanted."""
        if not store.answers or not (self.out / KNOWLEDGE).exists():
            return None
        try:
            dataset, _ = load_texts(self.out)
        except InvalidInputError:
            return None
        return dataset if len(dataset) == self.settings.sentences else None

    async def _describe(self, plan: DescriptionPlan, client: Asker, store: AnswerStore) -> Usable:
        """Asks until enough sentences are usable, a bounded number of times."""
        wanted, spec = self.settings.sentences, self.settings.questions.descriptions
        scored = self.settings.drop_share > 0

        async def ask(request: DescriptionRequest) -> None:
            answer = await client.chat(
                request.messages,
                temperature=request.temperature,
                max_tokens=spec.max_tokens,
                seed=request.seed,
                logprobs=scored,
            )
            record = {"text": answer.text, "complete": answer.complete, "log_probability": answer.log_probability}
            store.put(request.key, record)
            bar.update()

        known = self._kept(store)
        requests: list[DescriptionRequest] = []
        rows: list[dict[str, Any]] = []
        dropped: dict[str, int] = {}
        first = self._enough(0, 0)
        done = sum(f"{DESCRIPTION}{number}" in known for number in range(first))  # by a run before this one
        with progress_bar("Writing sentences", first, "sentence", self.settings.progress, initial=done) as bar:
            while len(rows) < wanted and len(requests) < MAX_REQUESTS_PER_SENTENCE * wanted:
                more = [plan.request(number) for number in range(len(requests), self._enough(len(requests), len(rows)))]
                todo = [request for request in more if request.key not in known]
                if requests:
                    bar.update(len(more) - len(todo))
                requests += more
                bar.total = len(requests)
                await ask_all(todo, ask, client.concurrency)
                client.check_answers()
                rows, dropped = self._usable(requests, store, plan.knowledge.model)
        return rows, dropped

    def _kept(self, store: AnswerStore) -> set[str]:
        """The keys of earlier runs' answers that are not asked for again.

        Those without a sentence are, unless a run came to its end with as many sentences as it wanted: then more
        sentences follow on those that are there.
        """
        written = {key: record for key, record in store.answers.items() if key.startswith(DESCRIPTION)}
        if (self.out / KNOWLEDGE).exists():
            with suppress(InvalidInputError):
                # A run that fell short has asked as often as it may for one sentence more than it has.
                if len(written) < MAX_REQUESTS_PER_SENTENCE * (len(load_texts(self.out)[0]) + 1):
                    return set(written)
        return {key for key, record in written.items() if not _is_failure(record)}

    def _enough(self, asked: int, usable: int) -> int:
        """How many requests in all will give as many sentences as are wanted, by the share that was usable so far."""
        kept = 1 - self.settings.drop_share
        share = max(usable / asked, LEAST_SHARE * kept) if asked else FIRST_SHARE * kept
        enough = asked + int(np.ceil((self.settings.sentences - usable) / share))
        return whole_blocks(enough) if self.settings.drop_share else enough

    def _usable(self, requests: list[DescriptionRequest], store: AnswerStore, model: str) -> Usable:
        """As many as are wanted of the sentences that mention a category, each once, in the order of the plan."""
        rows: list[dict[str, Any]] = []
        seen: set[str] = set()
        dropped: Counter[str] = Counter()
        answers = [store.answers[request.key] for request in requests]
        cleaned = [clean_sentence(answer["text"], answer["complete"]) for answer in answers]
        scores = [
            answer["log_probability"] if reason is None else None
            for answer, (_, reason) in zip(answers, cleaned, strict=True)
        ]
        unlikely = self._unlikely(requests, scores)
        for request, (sentence, reason) in zip(requests, cleaned, strict=True):
            if len(rows) == self.settings.sentences:
                break
            if reason is None and request.number in unlikely:
                reason = "unlikely"
            if reason is None and (folded := fold(sentence)) in seen:
                reason = "duplicate"
            if reason is None and not (labels := self.labeler.label(sentence)).any():
                reason = "names no category"
            if reason is not None:
                dropped[reason] += 1
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
        return rows, dict(dropped)

    def _unlikely(self, requests: list[DescriptionRequest], scores: list[float | None]) -> set[int]:
        """The numbers of the requests whose sentences the model itself finds least likely; None has no score."""
        if not self.settings.drop_share:
            return set()
        known = {request.number: score for request, score in zip(requests, scores, strict=True) if score is not None}
        if not known:
            warnings.warn(NO_SELF_CHECK, stacklevel=2)
        return doubtful([request.kind for request in requests], known, self.settings.drop_share)

    def _save(self, rows: list[dict[str, Any]], dropped: dict[str, int], knowledge: Knowledge) -> Dataset:
        categories = self.settings.categories
        if len(rows) < 2:
            raise InvalidInputError(
                f"{'Only one' if rows else 'None'} of the sentences in {self.out / PROGRESS} mentions a category. "
                "Try a larger language model, or add synonyms by which one would mention them."
            )
        if len(rows) < self.settings.sentences:
            warnings.warn(
                f"Only {len(rows)} of {self.settings.sentences} sentences are usable; going on with them.", stacklevel=2
            )
        counts = np.sum([row["labels"] for row in rows], axis=0)
        silent = [category.name for category, count in zip(categories, counts, strict=True) if not count]
        if silent:
            warnings.warn(
                f"No sentence mentions {', '.join(silent)}. Add synonyms, or ask for more sentences.", stacklevel=2
            )
        with writing(self.out, AGAIN):
            dataset = with_knowledge(_dataset(rows, len(categories)), knowledge)
            _save_dataset(with_dropped(dataset, dropped), self.out)
            # Last: its presence says that the dataset beside it is whole.
            knowledge.save(self.out / KNOWLEDGE)
        return load_texts(self.out)[0]


def _is_failure(record: dict[str, Any]) -> bool:
    """Whether an answer holds no sentence, for a reason that another try may not have."""
    return clean_sentence(record["text"], record["complete"])[1] in FAILURES


def answers_path(out: Path) -> Path:
    """The file with the answers of a run into a folder."""
    return out / PROGRESS / "answers.jsonl"


def _dataset(rows: list[dict[str, Any]], num_categories: int) -> Dataset:
    from datasets import Dataset, Features, List, Value

    features = Features(
        {
            "text": Value("string"),
            "labels": List(Value("int8"), length=num_categories),
            "kind": Value("string"),
            "asked": List(Value("string")),
            "model": Value("string"),
            "seed": Value("int64"),
            "temperature": Value("float32"),
        }
    )
    return Dataset.from_list(rows, features=features)


def drop(out: Path) -> None:
    """Removes what a run wrote into a folder, and nothing else.

    Args:
        out: the folder.
    """
    shutil.rmtree(out / PROGRESS, ignore_errors=True)
    names = (KNOWLEDGE, PUBLISHED, "dataset_info.json", "state.json")
    for path in (*(out / name for name in names), *out.glob("data-*.arrow")):
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
