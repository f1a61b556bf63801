"""Round 3: sentences that could caption a photo, half about one category, half about several seen together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dataset import Knowledge
from .llm.client import Message
from .questions import Questions
from .scenes import common_scenes, scene_weights

SIZES = (2, 3, 4)
SIZE_PROBABILITIES = (0.6, 0.3, 0.1)
UNLIKELY_SHARE = 0.1
# Half of the time a category goes by one of its synonyms: sentences vary more, and an ambiguous name ("remote") is
# asked for in the sense that is meant ("remote control").
SYNONYM_SHARE = 0.5
VIEW_SHARE = 0.25  # of the requests: those that say how the photo is taken
DETAIL_SHARE = 0.5  # of the requests about several categories: those that say what one of them looks like
DESCRIPTION = "description/"  # what the keys of sentences in the store begin with
PLAN_VERSION = 4  # counts up when the same number would make another request
ALTERNATIVES = re.compile(r"(\w+) or (\w+)|(\w+)或者?(\w+)")  # of which a photo shows one
DETAILS = 2  # of a sentence about one category


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
        return f"{DESCRIPTION}{self.number}"


class DescriptionPlan:
    """An endless, reproducible list of requests in which all categories come equally often.

    Args:
        knowledge: what the model said of the categories.
        questions: the questions.
        unlikely_share: how many of a group's members are drawn evenly, not by how often they are seen together.
    """

    def __init__(self, knowledge: Knowledge, questions: Questions, unlikely_share: float = UNLIKELY_SHARE) -> None:
        self.knowledge, self.spec, self.unlikely_share = knowledge, questions.descriptions, unlikely_share
        self.categories = knowledge.categories
        self.names = [category.name for category in knowledge.categories]
        number = {name: index for index, name in enumerate(self.names)}
        self.co_occurrence = np.zeros((len(self.names), len(self.names)))
        for name, others in knowledge.co_occurrence.items():
            for other, weight in others.items():
                self.co_occurrence[number[name], number[other]] += weight / 2
                self.co_occurrence[number[other], number[name]] += weight / 2
        self.scene_weights = scene_weights(knowledge.scenes.values())

    def request(self, number: int) -> DescriptionRequest:
        """The request with this number: even ones are about one category, odd ones about several."""
        rng = np.random.default_rng([self.knowledge.seed, number])
        anchor = (number // 2) % len(self.names)
        several = number % 2 == 1 and len(self.names) > 1
        asked = self._group(anchor, rng) if several else [anchor]
        wording = self.spec.wordings[rng.integers(len(self.spec.wordings))]
        parts = self._about_several(asked, rng) if several else self._about_one(anchor, rng)
        if self.spec.views and rng.random() < VIEW_SHARE:
            parts.append(self.spec.parts["view"].format(self.spec.views[rng.integers(len(self.spec.views))]))
        return DescriptionRequest(
            number=number,
            kind="multiple" if several else "single",
            asked=tuple(self.names[index] for index in asked),
            messages=[
                *(wording.multiple if several else wording.single),
                {"role": "user", "content": ". ".join(parts)},
            ],
            temperature=self.spec.temperatures[rng.integers(len(self.spec.temperatures))],
            seed=int(rng.integers(2**31)),
        )

    def _about_one(self, category: int, rng: np.random.Generator) -> list[str]:
        """The category, with two of: an attribute, a scene, a companion."""
        name, known = self.names[category], self.knowledge
        found = {"looks": known.attributes, "place": known.scenes, "companion": known.companions}
        parts = [self.spec.parts["single"].format(name=self._spoken(category, rng))]
        available = [detail for detail in found if found[detail].get(name)]
        for index in sorted(rng.permutation(len(available))[:DETAILS]):
            detail = available[index]
            choices = found[detail][name]
            choice = self._scene(choices, rng) if detail == "place" else choices[rng.integers(len(choices))]
            parts.append(self.spec.parts[detail].format(_one_of(choice, rng)))
        return parts

    def _about_several(self, group: Sequence[int], rng: np.random.Generator) -> list[str]:
        """The categories, half of the time what one looks like, and a scene that suits as many of them as possible."""
        spoken = [self._spoken(index, rng) for index in group]
        parts = [self.spec.parts["multiple"].format(names=", ".join(spoken))]
        which = int(rng.integers(len(group)))
        if (looks := self.knowledge.attributes.get(self.names[group[which]])) and rng.random() < DETAIL_SHARE:
            said = _one_of(looks[rng.integers(len(looks))], rng)
            parts.append(self.spec.parts["looks_of"].format(said, name=spoken[which]))
        if scenes := common_scenes([self.knowledge.scenes.get(self.names[index], []) for index in group]):
            parts.append(self.spec.parts["place"].format(self._scene(scenes, rng)))
        return parts

    def _scene(self, scenes: Sequence[str], rng: np.random.Generator) -> str:
        """One of the scenes, the more rarely the more categories it suits: where everything is says little."""
        weights = np.array([self.scene_weights[scene] for scene in scenes])
        return scenes[rng.choice(len(scenes), p=weights / weights.sum())]

    def _spoken(self, index: int, rng: np.random.Generator) -> str:
        """What a category is called in a request."""
        category = self.categories[index]
        if category.synonyms and rng.random() < SYNONYM_SHARE:
            return category.in_full_as(category.synonyms[rng.integers(len(category.synonyms))])
        return category.in_full

    def _group(self, anchor: int, rng: np.random.Generator) -> list[int]:
        """2 to 4 categories: the anchor, then others by how often they are seen with it and with each other.

        Fewer where too few are ever seen with it, but at least 2.
        """
        size = min(int(rng.choice(SIZES, p=SIZE_PROBABILITIES)), len(self.names))
        group = [anchor]
        while len(group) < size:
            together = self.co_occurrence[anchor] * self.co_occurrence[group].mean(axis=0)
            unlikely = rng.random() < self.unlikely_share
            weights = np.ones(len(self.names)) if unlikely else together
            weights[group] = 0
            if not weights.any():
                if len(group) > 1:
                    break
                weights = np.ones(len(self.names))
                weights[group] = 0
            group.append(int(rng.choice(len(self.names), p=weights / weights.sum())))
        return group


def _one_of(phrase: str, rng: np.random.Generator) -> str:
    """One of the alternatives in a phrase such as "red or green": a photo does not show both."""
    return ALTERNATIVES.sub(lambda match: [word for word in match.groups() if word][int(rng.integers(2))], phrase)
