"""What a run of `generate_texts` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .captions import PLAN_VERSION, UNLIKELY_SHARE
from .categories import Category
from .co_occurrence import CoOccurrence
from .questions import Questions
from .self_check import DROP_SHARE


@dataclass(frozen=True)
class Settings:
    """What a run is asked for.

    Attributes:
        categories: the K categories.
        questions: the questions.
        sentences: how many usable sentences are wanted.
        seed: seed of questions and sampling.
        concurrency: requests under way at once on each server.
        co_occurrence: how to find which categories are seen together.
        progress: whether to show progress bars.
        kinds: kinds of attribute to ask for; None for those that are shipped, "find" to let the model choose.
        unlikely_share: how many of a group's members are drawn evenly, not by how often they are seen together.
        drop_share: how many sentences to drop: those that the model finds least likely given what was asked.
    """

    categories: list[Category]
    questions: Questions
    sentences: int
    seed: int
    concurrency: int
    co_occurrence: CoOccurrence
    progress: bool
    kinds: Sequence[str] | str | None = None
    unlikely_share: float = UNLIKELY_SHARE
    drop_share: float = DROP_SHARE

    def identity(self, model: str) -> dict[str, Any]:
        """What must be the same for answers on disk to be used again."""
        return {
            "categories": [
                # As earlier versions wrote it where there are no descriptions.
                [
                    category.name,
                    *category.synonyms,
                    *([{"description": said}] if (said := category.description) else []),
                ]
                for category in self.categories
            ],
            "model": model,
            "seed": self.seed,
            "questions": self.questions.fingerprint,
            "plan": PLAN_VERSION,
            "co_occurrence": self.co_occurrence,
            "kinds": self.kinds,
            "unlikely_share": self.unlikely_share,
            "drop_share": self.drop_share,
        }
