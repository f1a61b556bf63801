"""Pipelines for transformers' `pipeline()`, registered when this package is imported."""

from transformers import AutoModelForImageClassification
from transformers.pipelines import PIPELINE_REGISTRY

from wordsight.modeling.configuration_wordsight import TASK

from .multi_label_image_classification import MultiLabelImageClassificationPipeline

__all__ = ["TASK", "MultiLabelImageClassificationPipeline"]

PIPELINE_REGISTRY.register_pipeline(
    TASK,
    pipeline_class=MultiLabelImageClassificationPipeline,
    pt_model=AutoModelForImageClassification,
    type="image",
)
