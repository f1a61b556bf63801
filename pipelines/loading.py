"""A model and its pipeline, with errors that fit in a line."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from transformers import AutoImageProcessor

from wordsight.modeling.configuration_wordsight import TASK
from wordsight.modeling.loading import load_model
from wordsight.utils.errors import InvalidInputError

from .multi_label_image_classification import MultiLabelImageClassificationPipeline

Backend = Literal["torch", "onnx", "onnx-int8"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


def load_pipeline(
    model: str, revision: str | None = None, device: torch.device | None = None, backend: str = "torch"
) -> MultiLabelImageClassificationPipeline:
    """What `pipeline("multi-label-image-classification", model=model)` gives, with errors that fit in a line.

    Args:
        model: folder or Hub id.
        revision: the model's revision on the Hub.
        device: where it runs; by default where transformers puts pipelines.
        backend: what computes: "torch"; or "onnx" or "onnx-int8", onnxruntime, with what `wordsight export` wrote.

    Raises:
        InvalidInputError: there is no such model, or it was not exported for the backend.

    Example:
        >>> import wordsight
        >>> exported = wordsight.export_onnx("my-model")
        >>> classifier = wordsight.load_pipeline("my-model", backend="onnx")
        >>> [entry["label"] for entry in classifier("photos/chelsea.jpg", top_k=1)]
        ['cat']
    """
    if backend not in BACKENDS:
        raise InvalidInputError(f"The backend {backend!r} is not known. Pass one of {', '.join(BACKENDS)}.")
    loaded: Any
    if backend == "torch":
        loaded = load_model(model, revision)
        image_processor = loaded.image_encoder.image_processor
    else:
        from wordsight.modeling.onnx.model import load_onnx_model

        loaded = load_onnx_model(model, revision, "int8" if backend == "onnx-int8" else "float32")
        image_processor = AutoImageProcessor.from_pretrained(
            model, revision=revision or "main", trust_remote_code=False
        )
        device = torch.device("cpu")  # of the scores behind the graph
    return MultiLabelImageClassificationPipeline(
        model=loaded, image_processor=image_processor, task=TASK, device=device
    )
