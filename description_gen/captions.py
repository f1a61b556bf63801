"""Round 3: sentences that could caption a photo, half about one category, half about several seen together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from .dataset import Knowledge
from .llm.client import Message
from .questions import Questions
from .tokens import UNSPACED

MAX_WORDS = 40
MIN_WORDS = 3
SIZES = (2, 3, 4)
SIZE_PROBABILITIES = (0.5, 0.3, 0.2)
# Half of a group's members are drawn evenly: sentences about categories that are rarely seen together keep a
# category's prompt from standing for what it is usually seen with.
EVEN_SHARE = 0.5
# Half of the time a category goes by one of its synonyms: sentences vary more, and an ambiguous name ("remote") is
# asked for in the sense that is meant ("remote control").
SYNONYM_SHARE = 0.5
PLAN_VERSION = 2  # counts up when the same number would make another request
DEFAULT_SCENE = "outdoors"
SENTENCE_END = re.compile(r"(?<=[.!?])[\"'\u201d]?\s")
LEAD_IN = re.compile(r"^(?:caption|answer|description|photo|sentence)\s*:\s*", re.IGNORECASE)
APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07\u00b4`", "'"))


@dataclass(frozen=True)
class DescriptionRequest:
    """One sentence to ask for; which, follows from its number and the seed alone.

    Attributes:
        number: its place in the plan.
        kind: "single" or "multiple".
        asked: names of the categories it is to mention.
        messages: the conversation.
        temperature: of sampling.
        seed: of sampling.
    """

    number: int
    kind: str
    asked: tuple[str, ...]
    messages: list[Message]
    temperature: float
    seed: int

    @property
    def key(self) -> str:
        """Its key in the answer store."""
        return f"description/{self.number}"


class DescriptionPlan:
    """An endless, reproducible list of requests in which all categories come equally often.

    Args:
        knowledge: what the model said of the categories.
        questions: the questions.
    """

    def __init__(self, knowledge: Knowledge, questions: Questions) -> None:
        self.knowledge, self.spec = knowledge, questions.descriptions
        self.categories = knowledge.categories
        self.names = [category.name for category in knowledge.categories]
        number = {name: index for index, name in enumerate(self.names)}
        self.co_occurrence = np.zeros((len(self.names), len(self.names)))
        for name, others in knowledge.co_occurrence.items():
            for other, weight in others.items():
                self.co_occurrence[number[name], number[other]] += weight / 2
                self.co_occurrence[number[other], number[name]] += weight / 2

    def request(self, number: int) -> DescriptionRequest:
        """The request with this number: even ones are about one category, odd ones about several."""
        rng = np.random.default_rng([self.knowledge.seed, number])
        anchor = (number // 2) % len(self.names)
        several = number % 2 == 1 and len(self.names) > 1
        asked = self._group(anchor, rng) if several else [anchor]
        names = tuple(self.names[index] for index in asked)
        scenes = self.knowledge.scenes.get(names[0]) or [DEFAULT_SCENE]
        scene = scenes[rng.integers(len(scenes))]
        attributes = self.knowledge.attributes.get(names[0]) or [f"a typical {self.categories[asked[0]].in_full}"]
        attribute = attributes[rng.integers(len(attributes))]
        wording = self.spec.wordings[rng.integers(len(self.spec.wordings))]
        spoken = [self._spoken(index, rng) for index in asked]
        if several:
            prefix, content = wording.multiple, self.spec.multiple.format(objects=", ".join(spoken), scene=scene)
        else:
            prefix, content = wording.single, self.spec.single.format(name=spoken[0], attribute=attribute, scene=scene)
        return DescriptionRequest(
            number=number,
            kind="multiple" if several else "single",
            asked=names,
            messages=[*prefix, {"role": "user", "content": content}],
            temperature=self.spec.temperatures[rng.integers(len(self.spec.temperatures))],
            seed=int(rng.integers(2**31)),
        )

    def _spoken(self, index: int, rng: np.random.Generator) -> str:
        """What a category is called in a request."""
        category = self.categories[index]
        if category.synonyms and rng.random() < SYNONYM_SHARE:
            return category.in_full_as(category.synonyms[rng.integers(len(category.synonyms))])
        return category.in_full

    def _group(self, anchor: int, rng: np.random.Generator) -> list[int]:
        """2 to 4 categories: the anchor, then others by how often they are seen with it, or evenly."""
        size = min(int(rng.choice(SIZES, p=SIZE_PROBABILITIES)), len(self.names))
        group = [anchor]
        while len(group) < size:
            weights = np.ones(len(self.names))
            if rng.random() >= EVEN_SHARE and self.co_occurrence[anchor].any():
                weights = self.co_occurrence[anchor].copy()
            weights[group] = 0
            if not weights.any():
                weights = np.ones(len(self.names))
                weights[group] = 0
            group.append(int(rng.choice(len(self.names), p=weights / weights.sum())))
        return group


def clean_sentence(answer: str, complete: bool) -> tuple[str, str | None]:
    """The first sentence of an answer, and why it is to be dropped.

    Args:
        answer: what the model wrote.
        complete: whether it ended by itself, not at the token limit.

    Returns:
        The sentence, and the reason: "empty", "cut off", "refusal", "too short" or "too long"; None if it is usable.
    """
    lines = [line.strip() for line in answer.strip().splitlines() if line.strip()]
    if not lines:
        return "", "empty"
    parts = SENTENCE_END.split(LEAD_IN.sub("", lines[0]).strip())
    sentence = parts[0].strip().strip("\"'\u201c\u201d`* ")
    whole = complete or len(parts) > 1 or len(lines) > 1 or sentence.endswith((".", "!", "?", "\u3002"))
    # Scripts without spaces have words of about two characters.
    words = len(sentence.split()) + len(UNSPACED.findall(sentence)) // 2
    reasons = {
        "refusal": is_refusal(sentence),
        "cut off": not whole,
        "too short": words < MIN_WORDS,
        "too long": words > MAX_WORDS,
    }
    return sentence, next((reason for reason, holds in reasons.items() if holds), None)


def is_refusal(sentence: str) -> bool:
    """Whether a sentence says, in one of several languages, that the model won't write a caption."""
    return _refusals().search(sentence.translate(APOSTROPHES).casefold()) is not None


@cache
def _refusals() -> re.Pattern[str]:
    phrases = yaml.safe_load((files(__package__) / "refusals.yaml").read_text(encoding="utf-8"))
    found = [re.escape(phrase.casefold()) for group in phrases.values() for phrase in group]
    # Words as a whole, but for scripts without spaces, where words are not apart.
    return re.compile("|".join(phrase if UNSPACED.search(phrase) else rf"\b{phrase}\b" for phrase in found))


def fold(sentence: str) -> str:
    """A sentence without case, punctuation and extra white space: equal for duplicates."""
    return " ".join(re.findall(r"\w+", sentence.casefold()))
