"""Pipelines for transformers' `pipeline()`, registered when this package is imported."""

from transformers import AutoModelForImageClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .multi_label_image_classification import MultiLabelImageClassificationPipeline

__all__ = ["TASK", "MultiLabelImageClassificationPipeline"]

TASK = "multi-label-image-classification"

PIPELINE_REGISTRY.register_pipeline(
    TASK,
    pipeline_class=MultiLabelImageClassificationPipeline,
    pt_model=AutoModelForImageClassification,
    type="image",
)
