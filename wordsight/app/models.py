"""The models that an app offers, loaded when they are used."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

KEPT_LOADED = 4  # models, those that were used last


class Models:
    """Pipelines by the folder or Hub id of their model; models that were not added are refused.

    Args:
        model: the first one.

    Raises:
        InvalidInputError: it can't be loaded.
    """

    def __init__(self, model: str) -> None:
        self._lock = threading.Lock()
        self._offered = {model}
        self._loaded: OrderedDict[str, MultiLabelImageClassificationPipeline] = OrderedDict()
        self.get(model)

    def add(self, model: str) -> None:
        """Offers one more; it is loaded when it is first used."""
        self._offered.add(model)

    def get(self, model: str) -> MultiLabelImageClassificationPipeline:
        """The pipeline of a model.

        Raises:
            InvalidInputError: it is not one of the models on offer, or can't be loaded.
        """
        from wordsight.pipelines.loading import load_pipeline

        with self._lock:
            if model not in self._offered:
                raise InvalidInputError(f"The app does not offer the model {model!r}. Choose one of those in the list.")
            if model not in self._loaded:
                self._loaded[model] = load_pipeline(model)
                if len(self._loaded) > KEPT_LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(model)
            return self._loaded[model]
