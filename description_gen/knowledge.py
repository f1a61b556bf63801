"""What the language model knows of the categories: rounds 1 (attributes) and 2 (scenes and company)."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from wordsight.utils.progress import progress_bar

from .categories import Category
from .dataset import Knowledge
from .llm.client import LLMClient, ask_all
from .questions import JsonQuestion, Questions
from .store import AnswerStore

MAX_CANDIDATES = 100  # of a question, so that it fits a small model's context
CoOccurrence = Literal["answers", "likelihood", "both"]


async def ask_knowledge(
    categories: list[Category],
    questions: Questions,
    client: LLMClient,
    store: AnswerStore,
    *,
    seed: int,
    co_occurrence: CoOccurrence,
    progress: bool = True,
) -> Knowledge:
    """Asks what is not in the store yet, and puts all answers together.

    Args:
        categories: the K categories.
        questions: the questions.
        client: the model.
        store: answers so far; grows.
        seed: seed of shuffling and sampling.
        co_occurrence: how to find what is seen together: by the model's "answers" (good for large models), by
            "likelihood" (for small ones, whose choices from a list depend on its order), or by the mean of "both".
        progress: whether to show progress bars.
    """
    names = [category.name for category in categories]

    async def ask_list(item: tuple[str, JsonQuestion, str]) -> None:
        kind, question, name = item
        number = names.index(name)
        # Shuffled for each question: small models favor what stands first.
        others = [other for other in names if other != name]
        shuffled = [others[i] for i in np.random.default_rng([seed, number]).permutation(len(others))]
        is_choice = kind == "company"
        shuffled = shuffled[:MAX_CANDIDATES]
        answer = await client.chat_json(
            question.messages(name=name, candidates=", ".join(shuffled)),
            seed=seed + number,
            temperature=question.temperature,
            max_tokens=question.max_tokens,
            schema=question.schema(shuffled if is_choice else None),
        )
        items = _strings(answer, question.key)
        if items is None:
            warnings.warn(
                f"The model's {kind} of {name!r} are no valid JSON after several tries; going on without.",
                stacklevel=2,
            )
        store.put(f"{kind}/{name}", _usable(items or [], name, question))
        bar.update()

    kinds: list[tuple[str, JsonQuestion]] = [("attributes", questions.attributes), ("scenes", questions.scenes)]
    if co_occurrence != "likelihood" and len(names) > 1:
        kinds.append(("company", questions.company))
    todo = [(kind, question, name) for kind, question in kinds for name in names if f"{kind}/{name}" not in store]
    total = len(kinds) * len(names)
    with progress_bar("Asking about categories", total, "answer", progress, total - len(todo)) as bar:
        await ask_all(todo, ask_list, client.concurrency)

    weights = np.zeros((len(names), len(names)))
    if co_occurrence != "answers" and len(names) > 1:
        weights += await _likelihood_weights(names, questions, client, store, progress)
    if co_occurrence != "likelihood":
        for i, name in enumerate(names):
            for other in store.answers.get(f"company/{name}", []):
                if other in names and other != name:
                    weights[i, names.index(other)] += 1
    if co_occurrence == "both":
        weights /= 2
    return Knowledge(
        categories=categories,
        model=await client.model(),
        seed=seed,
        attributes={name: store.answers[f"attributes/{name}"] for name in names},
        scenes={name: store.answers[f"scenes/{name}"] for name in names},
        co_occurrence={
            name: {
                names[j]: round(float(weights[i, j]), 4)
                for j in np.argsort(-weights[i], kind="stable")
                if weights[i, j] > 0
            }
            for i, name in enumerate(names)
        },
    )


async def _likelihood_weights(
    names: list[str], questions: Questions, client: LLMClient, store: AnswerStore, progress: bool
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights (K, K) from pointwise mutual information under the language model (Church and Hanks, 1990).

    pmi_ij = log p("... {i} and a {j}") - log p("... {i} and a") - (log p("... {j}") - log p("..."))

    Made weights by standardizing each row: 0 at its mean and below, 1 from two standard deviations on.
    """
    condition, baseline = questions.likelihood["condition"], questions.likelihood["baseline"]
    continuations = [questions.likelihood["continuation"].format(other=name) for name in names]
    conditions = [condition.format(name=name) for name in names]
    texts = [baseline, *conditions, *(baseline + c for c in continuations)]
    texts += [text + c for i, text in enumerate(conditions) for j, c in enumerate(continuations) if i != j]
    todo = [text for text in dict.fromkeys(texts) if f"likelihood/{text}" not in store]

    async def score(text: str) -> None:
        store.put(f"likelihood/{text}", await client.log_probability(text))
        bar.update()

    total = len(set(texts))
    with progress_bar("Scoring pairs of categories", total, "pair", progress, total - len(todo)) as bar:
        await ask_all(todo, score, client.concurrency)

    def log_p(text: str) -> float:
        return float(store.answers[f"likelihood/{text}"])

    weights = np.zeros((len(names), len(names)))
    for i, text in enumerate(conditions):
        others = [j for j in range(len(names)) if j != i]
        pmi = np.array(
            [
                log_p(text + continuations[j]) - log_p(text) - log_p(baseline + continuations[j]) + log_p(baseline)
                for j in others
            ]
        )
        spread = pmi.std() or 1.0
        weights[i, others] = ((pmi - pmi.mean()) / (2 * spread)).clip(0, 1)
    return weights


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
