"""`pipeline("multi-label-image-classification")`: photos in, labels with calibrated scores out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import UnidentifiedImageError
from transformers import ImageClassificationPipeline
from transformers.image_utils import load_image
from transformers.pipelines.image_classification import ClassificationFunction, sigmoid, softmax

from wordsight.errors import InvalidInputError
from wordsight.modeling.configuration_wordsight import WordsightConfig


class MultiLabelImageClassificationPipeline(ImageClassificationPipeline):
    """Labels photos with any number of a model's categories.

    Follows transformers' image classification: one photo (path, URL, base64, PIL image, array) gives a list of
    `{"label", "score"}`, best first; several (list, generator, `datasets` dataset or `KeyDataset`) give a list (or, for
    generators and datasets, a stream) of such lists.

    Args:
        top_k (`int`, *optional*): how many labels to return; all by default, since any number can be right.
        threshold (`float`, *optional*): only labels with at least this score; 0.5 is each category's calibrated
            threshold.
        function_to_apply (`str`, *optional*): from logits to scores: "default" (sigmoid of the logit, scaled and
            shifted per category as calibrated), "sigmoid", "softmax" or "none" (all three of the bare logits).
        timeout (`float`, *optional*): seconds to wait for a URL.

    Example:
        >>> from transformers import pipeline
        >>> import wordsight
        >>> labeller = pipeline("multi-label-image-classification", model="demo-output/model")  # doctest: +SKIP
        >>> labeller("photo.jpg", threshold=0.5)  # doctest: +SKIP
        [{'label': 'cat', 'score': 0.93}]
    """

    def _sanitize_parameters(  # type: ignore[override]
        self,
        top_k: int | None = None,
        threshold: float | None = None,
        function_to_apply: str | ClassificationFunction | None = None,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if top_k is not None and top_k < 1:
            raise InvalidInputError(f"top_k must be 1 or more, got {top_k}.")
        if threshold is not None and not 0 <= threshold <= 1 and function_to_apply != "none":
            raise InvalidInputError(f"threshold must be between 0 and 1, got {threshold}.")
        if function_to_apply == "default":
            function_to_apply = None
        preprocess, _, postprocess = super()._sanitize_parameters(top_k, function_to_apply, timeout)
        if threshold is not None:
            postprocess["threshold"] = threshold
        return preprocess, {}, postprocess

    def check_model_type(self, supported_models: Any) -> None:
        """Leaves out transformers' check, which knows none but its own models and warns of all others."""

    def __call__(self, inputs: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Labels one photo or many; see the class."""
        if isinstance(inputs, list) and not inputs:
            return []
        # A `datasets` object can only be given once the package is imported, and who lacks it needs no more than that.
        datasets = sys.modules.get("datasets")
        if datasets is not None and isinstance(inputs, datasets.Dataset | datasets.IterableDataset):
            inputs = (example for example in inputs)
        return super().__call__(inputs, **kwargs)

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """Pushes the model; a pipeline is no more than it. Arguments are those of the model's `push_to_hub`."""
        return self.model.push_to_hub(*args, **kwargs)

    def preprocess(self, image: Any, timeout: float | None = None) -> Any:  # type: ignore[override]
        """One photo to `pixel_values` (1, 3, H, W); an error names the photo."""
        if isinstance(image, dict):
            if "image" not in image:
                raise InvalidInputError(f"A dataset's rows need a column 'image', got {', '.join(image)}.")
            image = image["image"]
        if isinstance(image, os.PathLike):
            image = str(image)
        if not isinstance(image, np.ndarray | torch.Tensor):
            image = self._open(image, timeout)
        assert self.image_processor is not None
        return self.image_processor(images=image, return_tensors="pt").to(self.dtype)

    @staticmethod
    def _open(image: Any, timeout: float | None) -> Any:
        shown = repr(image[:200]) if isinstance(image, str) else repr(image)
        is_path = isinstance(image, str) and len(image) < 1000 and "://" not in image and bool(Path(image).suffix)
        if is_path and not Path(image).exists():
            # Without this, transformers takes a path that does not exist for base64, and says so.
            raise InvalidInputError(f"There is no photo {shown}.")
        try:
            return load_image(image, timeout=timeout)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError) as error:
            raise InvalidInputError(
                f"{shown} can't be read as an image ({type(error).__name__}: {str(error)[:200]}). Give a path, a URL "
                "or a PIL image, in a format that Pillow reads."
            ) from error

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: Any,
        function_to_apply: ClassificationFunction | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
    ) -> list[dict[str, Any]]:
        """Logits (1, K) of one photo to sorted labels and scores."""
        config = cast(WordsightConfig, self.model.config)
        names = config.category_names
        logits = model_outputs["logits"][0].float().numpy()
        if function_to_apply is None:
            scores = sigmoid(np.asarray(config.score_scale) * (logits - np.asarray(config.score_threshold)))
        elif function_to_apply == ClassificationFunction.SIGMOID:
            scores = sigmoid(logits)
        elif function_to_apply == ClassificationFunction.SOFTMAX:
            scores = softmax(logits)
        else:
            scores = logits
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [
            {"label": names[index], "score": float(scores[index])}
            for index in best
            if threshold is None or scores[index] >= threshold
        ]
