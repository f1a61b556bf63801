"""The questions, read from `questions.yaml`, as chat messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from wordsight.utils.cache import fingerprint

from .languages import ENGLISH, LANGUAGES
from .llm.client import Message

MIN_ITEM_LENGTH, MAX_ITEM_LENGTH = 3, 60  # characters of a phrase
IN_LANGUAGE = "The examples are in English. Answer in {0}, and use the {0} names as they are given."


@dataclass(frozen=True)
class ListQuestion:
    """A question whose answer is a list of strings under one key.

    Attributes:
        key: the key.
        prefix: the messages before the question: system line and examples.
        question: the question, with placeholders.
        temperature: of sampling.
        max_tokens: the longest answer.
        items: the least and the most items of the list.
        rounds: how many times it is asked.
        min_length: characters of an item, at least.
        example_items: the items of the examples' answers, in lower case.
    """

    key: str
    prefix: list[Message]
    question: str
    temperature: float
    max_tokens: int
    items: tuple[int, int]
    rounds: int
    min_length: int
    example_items: frozenset[str]

    @property
    def system(self) -> str:
        """The system line."""
        return self.prefix[0]["content"]

    def messages(self, **values: str) -> list[Message]:
        """The whole conversation."""
        return [*self.prefix, {"role": "user", "content": self.question.format(**values)}]

    def schema(self, choices: list[str] | None = None) -> dict[str, Any]:
        """JSON schema of the answer; with choices, the items are among them, each once at most."""
        item: dict[str, Any] = (
            {"enum": choices}
            if choices
            else {"type": "string", "minLength": self.min_length, "maxLength": MAX_ITEM_LENGTH}
        )
        least, most = self.items
        if choices:
            least, most = min(least, len(choices)), min(most, len(choices))
        return _object({self.key: {"type": "array", "items": item, "minItems": least, "maxItems": most}})


@dataclass(frozen=True)
class ValuesQuestion:
    """A question about one category whose answer has a string for each kind of attribute.

    Attributes:
        system: the system line.
        examples: things, with the value of each kind.
        question: the question, with a placeholder.
        temperature: of sampling.
        max_tokens: the longest answer.
        patterns: the shipped kinds, with how a value of each reads as a phrase.
    """

    system: str
    examples: list[tuple[str, dict[str, str]]]
    question: str
    temperature: float
    max_tokens: int
    patterns: dict[str, str]

    def messages(self, kinds: Sequence[str], **values: str) -> list[Message]:
        """The whole conversation; kinds that the examples don't know are asked for by the schema alone."""
        examples = [
            {"user": user, "answer": {kind: known[kind] for kind in kinds if kind in known}}
            for user, known in self.examples
        ]
        shown = [example for example in examples if example["answer"]]
        return [*_prefix(self.system, shown), {"role": "user", "content": self.question.format(**values)}]

    def schema(self, kinds: Sequence[str]) -> dict[str, Any]:
        """JSON schema of the answer."""
        return _object({kind: {"type": "string", "maxLength": MAX_ITEM_LENGTH} for kind in kinds})

    def example_values(self) -> frozenset[str]:
        """The examples' values, in lower case."""
        return frozenset(value.casefold() for _, known in self.examples for value in known.values() if value)

    def phrase(self, kind: str, value: str) -> str:
        """A value as it reads by itself: "made of wax" for the material wax."""
        before, after = self.patterns.get(kind, "{}").split("{}")
        return value if before and value.startswith(before) else f"{before}{value}{after}"


@dataclass(frozen=True)
class Wording:
    """One way to ask for descriptions: prefixes for one category and for several."""

    name: str
    single: list[Message]
    multiple: list[Message]


@dataclass(frozen=True)
class DescriptionQuestions:
    """How descriptions are asked for.

    Attributes:
        wordings: asked in turn.
        temperatures: of sampling, in turn.
        max_tokens: the longest answer.
        parts: what a request consists of, by name: single, multiple, looks, looks_of, place, companion, view.
        views: how a photo may be taken.
    """

    wordings: list[Wording]
    temperatures: list[float]
    max_tokens: int
    parts: dict[str, str]
    views: list[str]


@dataclass(frozen=True)
class Questions:
    """All questions.

    Attributes:
        find_kinds: which kinds of attribute tell the categories apart.
        attributes: a category's value of each kind.
        scenes, companions, co_occurrence: where it is seen, with what, and with which other categories.
        likelihood: a text about two categories, whose probability says whether they are seen together.
        places: scenes that photos of whatever have, of which the likeliest are a category's; none in languages other
            than those of the questions.
        place_likelihood: a text about a category and a scene, whose probability says whether it is seen there.
        references: things with which the categories are compared.
        descriptions: the sentences.
        language: in which answers are to be, as one of `LANGUAGES`.
        fingerprint: a hash of the files, so that answers to other questions are not taken for these.
    """

    find_kinds: ListQuestion
    attributes: ValuesQuestion
    scenes: ListQuestion
    companions: ListQuestion
    co_occurrence: ListQuestion
    likelihood: str
    places: list[str]
    place_likelihood: str
    references: list[str]
    descriptions: DescriptionQuestions
    language: str
    fingerprint: str

    @property
    def kinds(self) -> list[str]:
        """The kinds of attribute that are shipped."""
        return list(self.attributes.patterns)


@cache
def load_questions(language: str = ENGLISH) -> Questions:
    """The questions that are shipped.

    Args:
        language: of the categories' names, as one of `LANGUAGES`. Where no questions are shipped in it, the English
            ones say in which language to answer.
    """
    content = (files(__package__) / "questions.yaml").read_bytes()
    data = yaml.safe_load(content)
    if (own := files(__package__) / f"questions_{language}.yaml").is_file():
        content += own.read_bytes()
        data = _replaced(data, yaml.safe_load(own.read_bytes()))
    elif language != ENGLISH:
        content += language.encode()
        data = _answered_in(data, LANGUAGES[language]) | {"places": []}
    lists = {
        kind: _list_question(data[kind], data.get("min_length", MIN_ITEM_LENGTH))
        for kind in ("find_kinds", "scenes", "companions", "co_occurrence")
    }
    return Questions(
        **lists,
        attributes=_values_question(data["attributes"], data["kinds"]),
        likelihood=data["likelihood"],
        places=data["places"],
        place_likelihood=data["place_likelihood"],
        references=data["references"],
        descriptions=_descriptions(data["descriptions"]),
        language=language,
        fingerprint=fingerprint(content),
    )


def _replaced(data: Any, by: Any) -> Any:
    """Data with what other data of the same structure have in its place."""
    if not isinstance(by, dict):
        return by
    return {**data, **{key: _replaced(data.get(key, {}), value) for key, value in by.items()}}


def _answered_in(data: Any, language: str) -> Any:
    """Questions whose system lines say in which language to answer."""
    if isinstance(data, list):
        return [_answered_in(item, language) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: f"{value} {IN_LANGUAGE.format(language)}" if key == "system" else _answered_in(value, language)
        for key, value in data.items()
    }


def _list_question(spec: dict[str, Any], min_length: int) -> ListQuestion:
    (key,) = spec["examples"][0]["answer"]
    return ListQuestion(
        key,
        _prefix(spec["system"], spec["examples"]),
        spec["question"],
        spec["temperature"],
        spec["max_tokens"],
        tuple(spec["items"]),
        spec.get("rounds", 1),
        min_length,
        frozenset(item.casefold() for example in spec["examples"] for item in example["answer"][key]),
    )


def _values_question(spec: dict[str, Any], patterns: dict[str, str]) -> ValuesQuestion:
    return ValuesQuestion(
        spec["system"],
        [(example["user"], example["answer"]) for example in spec["examples"]],
        spec["question"],
        spec["temperature"],
        spec["max_tokens"],
        patterns,
    )


def _descriptions(spec: dict[str, Any]) -> DescriptionQuestions:
    wordings = [
        Wording(
            name=wording["name"],
            single=_prefix(wording["system"], wording["single"]),
            multiple=_prefix(wording["system"], wording["multiple"]),
        )
        for wording in spec["wordings"]
    ]
    parts = {part: spec[part] for part in ("single", "multiple", "looks", "looks_of", "place", "companion", "view")}
    return DescriptionQuestions(wordings, spec["temperatures"], spec["max_tokens"], parts, spec["views"])


def _prefix(system: str, examples: Sequence[dict[str, Any]]) -> list[Message]:
    messages = [{"role": "system", "content": system}]
    for example in examples:
        answer = example["answer"]
        messages.append({"role": "user", "content": example["user"]})
        messages.append(
            {
                "role": "assistant",
                "content": answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False),
            }
        )
    return messages


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
