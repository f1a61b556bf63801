"""A model and its pipeline, with errors that fit in a line."""

from __future__ import annotations

import torch

from wordsight.modeling.configuration_wordsight import TASK
from wordsight.modeling.loading import load_model

from .multi_label_image_classification import MultiLabelImageClassificationPipeline


def load_pipeline(
    model: str, revision: str | None = None, device: torch.device | None = None
) -> MultiLabelImageClassificationPipeline:
    """What `pipeline("multi-label-image-classification", model=model)` gives, with errors that fit in a line.

    Args:
        model: folder or Hub id.
        revision: the model's revision on the Hub.
        device: where it runs; by default where transformers puts pipelines.

    Raises:
        InvalidInputError: there is no such model.
    """
    loaded = load_model(model, revision)
    assert loaded.image_encoder is not None
    return MultiLabelImageClassificationPipeline(
        model=loaded, image_processor=loaded.image_encoder.image_processor, task=TASK, device=device
    )
