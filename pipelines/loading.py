"""A model and its pipeline, with errors that fit in a line."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoImageProcessor

from wordsight.modeling.configuration_wordsight import TASK
from wordsight.modeling.loading import load_model
from wordsight.modeling.onnx.files import BACKENDS as GRAPHS
from wordsight.utils.errors import InvalidInputError

from .multi_label_image_classification import MultiLabelImageClassificationPipeline

BACKENDS = ("torch", *GRAPHS)
DTYPES = ("auto", "float32", "bfloat16", "float16")


def load_pipeline(
    model: str,
    revision: str | None = None,
    device: torch.device | None = None,
    backend: str = "torch",
    dtype: str = "auto",
) -> MultiLabelImageClassificationPipeline:
    """What `pipeline("multi-label-image-classification", model=model)` gives, with errors that fit in a line.

    Args:
        model: folder or Hub id.
        revision: the model's revision on the Hub.
        device: where it runs; by default where transformers puts pipelines.
        backend: what computes: "torch"; or "onnx" or "onnx-int8", onnxruntime, with what `wordsight export` wrote.
        dtype: of weights and pixels, for the backend "torch": "bfloat16", say; "auto" is the model's own.

    Raises:
        InvalidInputError: there is no such model or type, or the model was not exported for the backend.

    Example:
        >>> import wordsight
        >>> exported = wordsight.export_onnx("my-model")
        >>> classifier = wordsight.load_pipeline("my-model", backend="onnx")
        >>> [entry["label"] for entry in classifier("photos/chelsea.jpg", top_k=1)]
        ['cat']
    """
    if backend not in BACKENDS:
        raise InvalidInputError(f"The backend {backend!r} is not known. Pass one of {', '.join(BACKENDS)}.")
    if dtype not in DTYPES:
        raise InvalidInputError(f"There is no dtype {dtype!r}. Choose one of {', '.join(DTYPES)}.")
    if backend != "torch" and dtype != "auto":
        raise InvalidInputError(f"The backend {backend} computes in the type that was exported. Omit dtype {dtype}.")
    loaded: Any
    if backend == "torch":
        loaded = load_model(model, revision)
        if dtype != "auto":
            loaded.to(getattr(torch, dtype))
        image_processor = loaded.image_encoder.image_processor
    else:
        from wordsight.modeling.onnx.model import load_onnx_model

        loaded = load_onnx_model(model, revision, GRAPHS[backend])
        image_processor = AutoImageProcessor.from_pretrained(
            model, revision=revision or "main", trust_remote_code=False
        )
        device = torch.device("cpu")  # of the scores behind the graph
    return MultiLabelImageClassificationPipeline(
        model=loaded, image_processor=image_processor, task=TASK, device=device
    )
