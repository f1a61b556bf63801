"""Rounds 1 and 2: the language model is asked what categories look like, where they are seen, and with what."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.progress import progress_bar

from .categories import Category
from .knowledge import Knowledge
from .llm.asker import Asker
from .llm.asking import ask_all
from .questions import JsonQuestion, Questions
from .store import AnswerStore

MAX_CANDIDATES = 100  # of a question, so that it fits a small model's context
CoOccurrence = Literal["answers", "likelihood", "both"]
# Keys in the store, as earlier versions wrote them.
ATTRIBUTES, SCENES, CO_OCCURRENCE = "attributes", "scenes", "company"
SAID = {ATTRIBUTES: "attributes", SCENES: "scenes", CO_OCCURRENCE: "co-occurring categories"}


@dataclass(frozen=True)
class Interview:
    """What the two rounds ask, and of whom.

    Attributes:
        categories: the K categories.
        questions: the questions.
        client: the model.
        store: answers so far; grows.
        seed: seed of shuffling and sampling.
        progress: whether to show progress bars.
    """

    categories: list[Category]
    questions: Questions
    client: Asker
    store: AnswerStore
    seed: int
    progress: bool = True

    @property
    def names(self) -> list[str]:
        """The categories' names."""
        return [category.name for category in self.categories]

    async def knowledge(self, co_occurrence: CoOccurrence) -> Knowledge:
        """Asks what is not in the store yet, and puts all answers together.

        Args:
            co_occurrence: how to find what is seen together: by the model's "answers" (good for large models), by
                "likelihood" (for small ones, whose choices from a list depend on its order), or by the mean of "both".
        """
        names = self.names
        alone = len(names) == 1
        await self._ask_lists(with_others=co_occurrence != "likelihood" and not alone)
        weights = np.zeros((len(names), len(names)))
        if co_occurrence != "answers" and not alone:
            weights += await self._likelihood_weights()
        if co_occurrence != "likelihood":
            weights += self._answered_weights()
        if co_occurrence == "both":
            weights /= 2
        answers = self.store.answers
        return Knowledge(
            categories=self.categories,
            model=await self.client.model(),
            seed=self.seed,
            attributes={name: answers[f"{ATTRIBUTES}/{name}"] for name in names},
            scenes={name: answers[f"{SCENES}/{name}"] for name in names},
            co_occurrence={name: _ranked(names, row) for name, row in zip(names, weights, strict=True)},
        )

    async def _ask_lists(self, with_others: bool) -> None:
        """The questions whose answers are lists."""
        kinds = {ATTRIBUTES: self.questions.attributes, SCENES: self.questions.scenes}
        if with_others:
            kinds[CO_OCCURRENCE] = self.questions.co_occurrence
        todo = [(kind, name) for kind in kinds for name in self.names if f"{kind}/{name}" not in self.store]
        total = len(kinds) * len(self.names)
        with progress_bar("Asking about categories", total, "answer", self.progress, total - len(todo)) as bar:

            async def ask(item: tuple[str, str]) -> None:
                kind, name = item
                await self._ask_list(kind, kinds[kind], name)
                bar.update()

            await ask_all(todo, ask, self.client.concurrency)

    async def _ask_list(self, kind: str, question: JsonQuestion, name: str) -> None:
        number = self.names.index(name)
        # Shuffled for each question: small models favor what stands first.
        others = [other for other in self.names if other != name]
        shuffled = [others[i] for i in np.random.default_rng([self.seed, number]).permutation(len(others))]
        shuffled = shuffled[:MAX_CANDIDATES]
        in_full = {category.name: category.in_full for category in self.categories}
        answer = await self.client.chat_json(
            question.messages(name=in_full[name], candidates=", ".join(in_full[other] for other in shuffled)),
            seed=self.seed + number,
            temperature=question.temperature,
            max_tokens=question.max_tokens,
            schema=question.schema(shuffled if kind == CO_OCCURRENCE else None),
        )
        items = _strings(answer, question.key)
        if items is None:
            warnings.warn(
                f"The model's answers about {SAID[kind]} of {name!r} are not valid JSON, after several tries; going on "
                "without them.",
                stacklevel=2,
            )
        self.store.put(f"{kind}/{name}", _usable(items or [], name, question))

    def _answered_weights(self) -> NDArray[np.float64]:
        """Weights (K, K): 1 where the model names j when it is asked what is seen with i."""
        weights = np.zeros((len(self.names), len(self.names)))
        for i, name in enumerate(self.names):
            for other in self.store.answers.get(f"{CO_OCCURRENCE}/{name}", []):
                if other in self.names and other != name:
                    weights[i, self.names.index(other)] += 1
        return weights

    async def _likelihood_weights(self) -> NDArray[np.float64]:
        """Weights (K, K) from pointwise mutual information under the language model (Church and Hanks, 1990).

        pmi_ij = log p("... {i} and a {j}") - log p("... {i} and a") - (log p("... {j}") - log p("..."))

        They are each row's pmi, standardized: 0 at its mean and below, 1 from two standard deviations on.
        """
        templates = self.questions.likelihood
        baseline = templates["baseline"]
        continuations = [templates["continuation"].format(other=category.in_full) for category in self.categories]
        conditions = [templates["condition"].format(name=category.in_full) for category in self.categories]
        texts = [baseline, *conditions, *(baseline + c for c in continuations)]
        texts += [text + c for i, text in enumerate(conditions) for j, c in enumerate(continuations) if i != j]
        await self._score(list(dict.fromkeys(texts)))

        def log_p(text: str) -> float:
            return float(self.store.answers[f"likelihood/{text}"])

        apart = np.array([log_p(baseline + continuation) - log_p(baseline) for continuation in continuations])
        weights = np.zeros((len(self.names), len(self.names)))
        for i, text in enumerate(conditions):
            others = [j for j in range(len(self.names)) if j != i]
            together = np.array([log_p(text + continuations[j]) - log_p(text) for j in others])
            pmi = together - apart[others]
            weights[i, others] = ((pmi - pmi.mean()) / (2 * (pmi.std() or 1.0))).clip(0, 1)
        return weights

    async def _score(self, texts: list[str]) -> None:
        """Puts the texts' log-probabilities into the store."""
        todo = [text for text in texts if f"likelihood/{text}" not in self.store]
        initial = len(texts) - len(todo)
        with progress_bar("Scoring pairs of categories", len(texts), "pair", self.progress, initial) as bar:

            async def score(text: str) -> None:
                self.store.put(f"likelihood/{text}", await self.client.log_probability(text))
                bar.update()

            await ask_all(todo, score, self.client.concurrency)


def _ranked(names: list[str], weights: NDArray[np.float64]) -> dict[str, float]:
    """The others with their weights, the largest first."""
    order = np.argsort(-weights, kind="stable")
    return {names[j]: round(float(weights[j]), 4) for j in order if weights[j] > 0}


def _usable(items: list[str], name: str, question: JsonQuestion) -> list[str]:
    """The items that say something: each once, none that is the name alone, stutters, or repeats an example.

    Small models copy their examples; a large one rarely says just what an example says of another thing.
    """

    def says_something(item: str) -> bool:
        words = item.casefold().split()
        return item.casefold() not in {name.casefold(), *question.example_items} and len(words) == len(set(words))

    return [item for item in dict.fromkeys(items) if says_something(item)]


def _strings(answer: Any, key: str) -> list[str] | None:
    """The list under the key, when it is one of strings."""
    items = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return [" ".join(item.split()) for item in items if item.strip()]
