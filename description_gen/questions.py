"""The questions, read from `questions.yaml`, as chat messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from wordsight.utils.cache import fingerprint

from .llm.client import Message


@dataclass(frozen=True)
class JsonQuestion:
    """A question about one category whose answer is a list of strings under one key.

    Attributes:
        key: the key.
        prefix: the messages before the question: system line and examples.
        question: the question, with placeholders.
        temperature: of sampling.
        max_tokens: the longest answer.
        items: the least and the most items of the list.
        example_items: the items of the examples' answers, in lower case.
    """

    key: str
    prefix: list[Message]
    question: str
    temperature: float
    max_tokens: int
    items: tuple[int, int]
    example_items: frozenset[str]

    def messages(self, **values: str) -> list[Message]:
        """The whole conversation."""
        return [*self.prefix, {"role": "user", "content": self.question.format(**values)}]

    def schema(self, choices: list[str] | None = None) -> dict[str, Any]:
        """JSON schema of the answer; with choices, the items are among them, each once at most."""
        item: dict[str, Any] = {"enum": choices} if choices else {"type": "string", "minLength": 3, "maxLength": 60}
        least, most = self.items
        if choices:
            least, most = min(least, len(choices)), min(most, len(choices))
        array = {"type": "array", "items": item, "minItems": least, "maxItems": most}
        return {
            "type": "object",
            "properties": {self.key: array},
            "required": [self.key],
            "additionalProperties": False,
        }


@dataclass(frozen=True)
class Wording:
    """One way to ask for descriptions: prefixes for one category and for several."""

    name: str
    single: list[Message]
    multiple: list[Message]


@dataclass(frozen=True)
class DescriptionQuestions:
    """How descriptions are asked for."""

    wordings: list[Wording]
    temperatures: list[float]
    max_tokens: int
    single: str
    multiple: str


@dataclass(frozen=True)
class Questions:
    """All questions.

    Attributes:
        attributes, scenes, co_occurrence: rounds 1 and 2.
        likelihood: texts whose probabilities say what is seen together.
        descriptions: round 3.
        fingerprint: a hash of the file, so that answers to other questions are not taken for these.
    """

    attributes: JsonQuestion
    scenes: JsonQuestion
    co_occurrence: JsonQuestion
    likelihood: dict[str, str]
    descriptions: DescriptionQuestions
    fingerprint: str


@cache
def load_questions() -> Questions:
    """The questions that are shipped."""
    content = (files(__package__) / "questions.yaml").read_bytes()
    data = yaml.safe_load(content)
    spec = data["descriptions"]
    wordings = [
        Wording(
            name=wording["name"],
            single=_prefix(wording["system"], wording["single"]),
            multiple=_prefix(wording["system"], wording["multiple"]),
        )
        for wording in spec["wordings"]
    ]
    return Questions(
        attributes=_json_question(data["attributes"]),
        scenes=_json_question(data["scenes"]),
        co_occurrence=_json_question(data["company"]),  # the file keeps its bytes: answers on disk belong to its hash
        likelihood=data["likelihood"],
        descriptions=DescriptionQuestions(
            wordings, spec["temperatures"], spec["max_tokens"], spec["single"], spec["multiple"]
        ),
        fingerprint=fingerprint(content),
    )


def _json_question(spec: dict[str, Any]) -> JsonQuestion:
    (key,) = spec["examples"][0]["answer"]
    return JsonQuestion(
        key,
        _prefix(spec["system"], spec["examples"]),
        spec["question"],
        spec["temperature"],
        spec["max_tokens"],
        tuple(spec["items"]),
        frozenset(item.casefold() for example in spec["examples"] for item in example["answer"][key]),
    )


def _prefix(system: str, examples: list[dict[str, Any]]) -> list[Message]:
    messages = [{"role": "system", "content": system}]
    for example in examples:
        answer = example["answer"]
        messages.append({"role": "user", "content": example["user"]})
        messages.append({"role": "assistant", "content": answer if isinstance(answer, str) else json.dumps(answer)})
    return messages
