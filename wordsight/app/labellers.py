"""The models that an app offers, each loaded once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wordsight.errors import InvalidInputError

if TYPE_CHECKING:
    from wordsight.pipelines import MultiLabelImageClassificationPipeline


class Labellers:
    """Pipelines by the folder or Hub id of their model; no other model than those added can be had.

    Args:
        model: the first one.

    Raises:
        InvalidInputError: it can't be loaded.
    """

    def __init__(self, model: str) -> None:
        self._lock = threading.Lock()
        self._pipelines: dict[str, MultiLabelImageClassificationPipeline | None] = {}
        self._titles: dict[str, str] = {}
        self.add(model, model)
        self.get(model)

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Title and model of each."""
        return [(title, model) for model, title in self._titles.items()]

    def add(self, model: str, title: str) -> None:
        """Offers one more; it is loaded when it is first used."""
        self._titles[model] = title
        self._pipelines.setdefault(model, None)

    def get(self, model: str) -> MultiLabelImageClassificationPipeline:
        """The pipeline of a model.

        Raises:
            InvalidInputError: it is none of those offered, or can't be loaded.
        """
        from wordsight.cli import load_labeller

        with self._lock:
            if model not in self._pipelines:
                raise InvalidInputError(f"{model!r} is none of this app's models: {', '.join(self._pipelines)}.")
            labeller = self._pipelines[model]
            if labeller is None:
                labeller = self._pipelines[model] = load_labeller(model)
            return labeller
