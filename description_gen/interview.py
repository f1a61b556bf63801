"""Rounds 1 and 2: the language model is asked what categories look like, where they are seen, and with what."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wordsight.utils.progress import progress_bar

from .captions import DESCRIPTION
from .categories import Category
from .co_occurrence import CoOccurrence, Weights, answered_weights, likelihood_weights, ranked
from .knowledge import Knowledge
from .llm.asker import Asker
from .llm.asking import ask_all
from .plausibility import names_itself, usable_items, usable_values
from .questions import ListQuestion, Questions
from .scenes import likely_scenes
from .store import AnswerStore

MAX_CANDIDATES = 100  # of a question, so that it fits a small model's context
# Keys in the store.
KINDS, ATTRIBUTES, SCENES, COMPANIONS, TOGETHER = "kinds", "attributes", "scenes", "companions", "co_occurrence"
LIKELIHOOD = "likelihood"
SAID = {
    KINDS: "kinds of attribute",
    ATTRIBUTES: "attributes",
    SCENES: "scenes",
    COMPANIONS: "companions",
    TOGETHER: "co-occurring categories",
}
STARTS = 16  # texts whose endings are scored at once; each takes dozens of requests
COMPARED = 10  # things whose scenes are compared, at least
FIND_KINDS = "find"  # in place of kinds: the model is asked


@dataclass(frozen=True)
class Ask:
    """One question: of which sort, about which category, for which time."""

    sort: str
    number: int
    key: str
    round: int = 0


@dataclass(frozen=True)
class Interview:
    """What the two rounds ask, and of whom.

    Attributes:
        categories: the K categories.
        questions: the questions.
        client: the model.
        store: answers so far; grows.
        seed: seed of shuffling and sampling.
        kinds: kinds of attribute to ask for; by default those of the questions, and the model's own for "find".
        progress: whether to show progress bars.
    """

    categories: list[Category]
    questions: Questions
    client: Asker
    store: AnswerStore
    seed: int
    kinds: Sequence[str] | str | None = None
    progress: bool = True

    @property
    def names(self) -> list[str]:
        """The categories' names."""
        return [category.name for category in self.categories]

    async def knowledge(self, co_occurrence: CoOccurrence) -> Knowledge:
        """Asks what is not in the store yet, and puts all answers together.

        Args:
            co_occurrence: how to find what is seen together, and where: by the model's "answers", by "likelihood", or
                by "both".
        """
        kinds = await self._kinds()
        sorts = [ATTRIBUTES, SCENES, COMPANIONS, TOGETHER]
        if co_occurrence == "likelihood" and self.questions.places:
            sorts.remove(SCENES)
        if co_occurrence == "likelihood" or len(self.categories) == 1:
            sorts.remove(TOGETHER)
        await self._ask_all(kinds, sorts)
        if co_occurrence != "answers":
            await self._score()
        weights = self._weights(co_occurrence)
        answers, values = self.store.answers, {}
        for category in self.categories:
            known = answers[f"{ATTRIBUTES}/{category.name}"] or {}
            values[category.name] = {kind: known[kind] for kind in kinds if kind in known}
        phrase = self.questions.attributes.phrase
        return Knowledge(
            categories=self.categories,
            model=await self.client.model(),
            seed=self.seed,
            attributes={name: [phrase(kind, value) for kind, value in of.items()] for name, of in values.items()},
            attribute_values=values,
            scenes=self._scenes(co_occurrence),
            companions={name: answers[f"{COMPANIONS}/{name}"] or [] for name in self.names},
            co_occurrence=ranked(self.names, weights),
            language=self.questions.language,
            found_by=co_occurrence,
        )

    async def _kinds(self) -> list[str]:
        """The kinds of attribute to ask for."""
        if self.kinds is None:
            return self.questions.kinds
        if self.kinds != FIND_KINDS:
            return list(self.kinds)
        if self._is_open(KINDS):
            question = self.questions.find_kinds
            things = ", ".join(category.in_full for category in self.categories[:MAX_CANDIDATES])
            items = await self._list_answer(question, Ask(KINDS, 0, KINDS), question.schema(), things=things)
            # One word each: what is longer is a value, not a kind.
            found = [kind.casefold() for kind in usable_items(items or [], [], ()) if kind.isalpha()]
            self.store.put(KINDS, None if items is None else found)
        return self.store.answers[KINDS] or self.questions.kinds

    async def _ask_all(self, kinds: list[str], sorts: Sequence[str]) -> None:
        """All questions about single categories, of these sorts."""
        asks = [
            Ask(sort, number, f"{sort}/{name}")
            for sort in sorts
            if sort != TOGETHER
            for number, name in enumerate(self.names)
        ]
        if TOGETHER in sorts:
            asks += [
                Ask(TOGETHER, number, f"{TOGETHER}/{name}/{turn}", turn)
                for number, name in enumerate(self.names)
                for turn in range(self.questions.co_occurrence.rounds)
            ]
        todo = [ask for ask in asks if self._is_open(ask.key)]
        with progress_bar("Asking about categories", len(asks), "answer", self.progress, len(asks) - len(todo)) as bar:

            async def answer(ask: Ask) -> None:
                if ask.sort == ATTRIBUTES:
                    await self._ask_values(ask, kinds)
                elif ask.sort == TOGETHER:
                    await self._ask_choice(ask)
                else:
                    await self._ask_list(ask)
                bar.update()

            await ask_all(todo, answer, self.client.concurrency)

    def _is_open(self, key: str) -> bool:
        """Whether a question is still to be asked: it was not yet, or its answer was of no use (None).

        Once there are sentences, what they were asked for stays as it is.
        """
        if self.store.answers.get(key) is not None:
            return False
        return key not in self.store or not any(known.startswith(DESCRIPTION) for known in self.store.answers)

    async def _ask_values(self, ask: Ask, kinds: list[str]) -> None:
        question, category = self.questions.attributes, self.categories[ask.number]
        answer = await self.client.chat_json(
            question.messages(kinds, name=category.in_full),
            seed=self.seed + ask.number,
            temperature=question.temperature,
            max_tokens=question.max_tokens,
            schema=question.schema(kinds),
        )
        if not isinstance(answer, dict):
            self._warn(ask)
            self.store.put(ask.key, None)
            return
        values = {kind: value for kind in kinds if isinstance(value := answer.get(kind), str)}
        self.store.put(ask.key, usable_values(values, category.all_names, question.example_values()))

    async def _ask_list(self, ask: Ask) -> None:
        question = self.questions.scenes if ask.sort == SCENES else self.questions.companions
        category = self.categories[ask.number]
        items = await self._list_answer(question, ask, question.schema(), name=category.in_full)
        if items is None:
            self.store.put(ask.key, None)
            return
        usable = usable_items(items, category.all_names, question.example_items)
        others = [item for item in usable if not names_itself(item, category.all_names)]
        # "A train station" may be the best of the places, but "a train wheel" is no companion of a train.
        self.store.put(ask.key, others or (usable[:1] if ask.sort == SCENES else []))

    async def _ask_choice(self, ask: Ask) -> None:
        """Which of the other categories are seen with one, from a list in an order of its own."""
        question, category = self.questions.co_occurrence, self.categories[ask.number]
        others = [other for other in self.names if other != category.name]
        order = np.random.default_rng([self.seed, ask.number, ask.round]).permutation(len(others))
        shuffled = [others[i] for i in order][:MAX_CANDIDATES]
        in_full = {category.name: category.in_full for category in self.categories}
        items = await self._list_answer(
            question,
            ask,
            question.schema(shuffled),
            name=category.in_full,
            candidates=", ".join(in_full[other] for other in shuffled),
        )
        self.store.put(ask.key, None if items is None else list(dict.fromkeys(items)))

    async def _list_answer(
        self, question: ListQuestion, ask: Ask, schema: dict[str, Any], **values: str
    ) -> list[str] | None:
        """What a question's answer lists; None where it can't be used."""
        answer = await self.client.chat_json(
            question.messages(**values),
            seed=self.seed + ask.number + ask.round * len(self.categories),
            temperature=question.temperature,
            max_tokens=question.max_tokens,
            schema=schema,
        )
        items = answer.get(question.key) if isinstance(answer, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self._warn(ask)
            return None
        return items

    def _warn(self, ask: Ask) -> None:
        of = "" if ask.sort == KINDS else f" of {self.names[ask.number]!r}"
        warnings.warn(
            f"The model's answers about {SAID[ask.sort]}{of} are not valid JSON, after several tries; going on without "
            "them.",
            stacklevel=2,
        )

    def _weights(self, co_occurrence: CoOccurrence) -> Weights:
        """Weights (K, K) of categories seen together, in the way that is asked for."""
        size = len(self.categories)
        found, answers = [], self.store.answers
        if size == 1:
            return np.zeros((1, 1))
        if co_occurrence != "answers":
            found.append(likelihood_weights(self._pair_scores()))
        if co_occurrence != "likelihood":
            turns = range(self.questions.co_occurrence.rounds)
            said = {name: [answers[f"{TOGETHER}/{name}/{turn}"] or [] for turn in turns] for name in self.names}
            found.append(answered_weights(self.names, said))
        weights: Weights = np.mean(found, axis=0)
        return weights

    def _scenes(self, co_occurrence: CoOccurrence) -> dict[str, list[str]]:
        """Where each category is seen, in the way that is asked for."""
        answers, places = self.store.answers, self.questions.places
        answered: dict[str, list[str]] = {name: answers.get(f"{SCENES}/{name}") or [] for name in self.names}
        if co_occurrence == "answers" or not places:
            return answered
        scores = np.array([[self._scored(start, ending) for ending in endings] for start, endings in self._places()])
        likely = likely_scenes(scores, len(self.names), places)
        return {
            name: list(dict.fromkeys([*found, *answered[name]])) for name, found in zip(self.names, likely, strict=True)
        }

    def _pairs(self) -> list[tuple[str, list[str]]]:
        """For each category a text that names it, and how it may go on with each other one."""
        names = [category.in_full for category in self.categories]
        texts = [_parted(self.questions.likelihood, name, names) for name in names]
        return [
            (start, [ending for j, ending in enumerate(endings) if i != j]) for i, (start, endings) in enumerate(texts)
        ]

    def _places(self) -> list[tuple[str, list[str]]]:
        """For each category, and then for things beside them, a text that names it and the scenes that may follow."""
        things = [category.in_full for category in self.categories]
        things += self.questions.references[: max(0, COMPARED - len(things))]
        return [_parted(self.questions.place_likelihood, thing, self.questions.places) for thing in things]

    def _pair_scores(self) -> Weights:
        """(K, K) log-probabilities of pairs; 0 on the diagonal."""
        size = len(self.categories)
        pairs = np.zeros((size, size))
        for i, (start, endings) in enumerate(self._pairs()):
            pairs[i, np.arange(size) != i] = [self._scored(start, ending) for ending in endings]
        return pairs

    def _scored(self, start: str, ending: str) -> float:
        return float(self.store.answers[f"{LIKELIHOOD}/{start}{ending}"])

    async def _score(self) -> None:
        """Puts the texts' log-probabilities into the store, all those with the same start at once."""
        texts = [*(self._pairs() if len(self.categories) > 1 else []), *self._places()]
        todo = [
            (start, endings)
            for start, endings in texts
            if any(f"{LIKELIHOOD}/{start}{ending}" not in self.store for ending in endings)
        ]
        count, left = (sum(len(endings) for _, endings in of) for of in (texts, todo))
        with progress_bar("Scoring scenes and pairs", count, "text", self.progress, count - left) as bar:

            async def score(text: tuple[str, list[str]]) -> None:
                start, endings = text
                for ending, value in zip(endings, await self.client.ending_scores(start, endings), strict=True):
                    self.store.put(f"{LIKELIHOOD}/{start}{ending}", value)
                bar.update(len(endings))

            await ask_all(todo, score, STARTS)


def _parted(template: str, name: str, endings: Sequence[str]) -> tuple[str, list[str]]:
    """What a template's text begins with, and each of its endings with the space before it."""
    before, _ = template.format(name=name, **dict.fromkeys(("other", "scene"), "\0")).split("\0")
    start = before.rstrip()
    return start, [before[len(start) :] + ending for ending in endings]
