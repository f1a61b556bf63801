"""Multi-label image recognition from category names alone.

A language model describes the categories, prompts are learned from its sentences for a frozen CLIP-like encoder, and a
pipeline labels photos. Importing this package registers it with transformers and loads no torch code until it is used:

    >>> import wordsight
    >>> from transformers import pipeline
    >>> classifier = pipeline("multi-label-image-classification", model="my-model")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wordsight.registration import register_models, register_with_transformers
from wordsight.version import __version__

if TYPE_CHECKING:
    from wordsight.description_gen import (
        Category,
        Knowledge,
        TextsSummary,
        generate_texts,
        label_texts,
        load_texts,
        read_categories,
        texts_summary,
    )
    from wordsight.modeling.configuration_wordsight import WordsightConfig
    from wordsight.modeling.encoders import load_image_encoder, load_text_encoder
    from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification, WordsightOutput
    from wordsight.modeling.training.arguments import PromptTrainingArguments
    from wordsight.modeling.training.extend import extend_model
    from wordsight.modeling.training.train import train_prompts
    from wordsight.modeling.training.trainer import PromptTrainer
    from wordsight.pipelines.batch_inference import predict_shards
    from wordsight.pipelines.calibrate import calibrate
    from wordsight.pipelines.export import export_onnx
    from wordsight.pipelines.formats.write import predict_to_format
    from wordsight.pipelines.loading import load_pipeline
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline
    from wordsight.utils.errors import InvalidInputError, WordsightError

_EXPORTS = {
    "Category": "wordsight.description_gen",
    "InvalidInputError": "wordsight.utils.errors",
    "Knowledge": "wordsight.description_gen",
    "MultiLabelImageClassificationPipeline": "wordsight.pipelines.multi_label_image_classification",
    "PromptTrainer": "wordsight.modeling.training.trainer",
    "PromptTrainingArguments": "wordsight.modeling.training.arguments",
    "TextsSummary": "wordsight.description_gen",
    "WordsightConfig": "wordsight.modeling.configuration_wordsight",
    "WordsightError": "wordsight.utils.errors",
    "WordsightForMultiLabelImageClassification": "wordsight.modeling.modeling_wordsight",
    "WordsightOutput": "wordsight.modeling.modeling_wordsight",
    "calibrate": "wordsight.pipelines.calibrate",
    "export_onnx": "wordsight.pipelines.export",
    "extend_model": "wordsight.modeling.training.extend",
    "generate_texts": "wordsight.description_gen",
    "label_texts": "wordsight.description_gen",
    "load_image_encoder": "wordsight.modeling.encoders",
    "load_pipeline": "wordsight.pipelines.loading",
    "load_text_encoder": "wordsight.modeling.encoders",
    "load_texts": "wordsight.description_gen",
    "predict_shards": "wordsight.pipelines.batch_inference",
    "predict_to_format": "wordsight.pipelines.formats.write",
    "read_categories": "wordsight.description_gen",
    "texts_summary": "wordsight.description_gen",
    "train_prompts": "wordsight.modeling.training.train",
}

__all__ = [
    "Category",
    "InvalidInputError",
    "Knowledge",
    "MultiLabelImageClassificationPipeline",
    "PromptTrainer",
    "PromptTrainingArguments",
    "TextsSummary",
    "WordsightConfig",
    "WordsightError",
    "WordsightForMultiLabelImageClassification",
    "WordsightOutput",
    "__version__",
    "calibrate",
    "export_onnx",
    "extend_model",
    "generate_texts",
    "label_texts",
    "load_image_encoder",
    "load_pipeline",
    "load_text_encoder",
    "load_texts",
    "predict_shards",
    "predict_to_format",
    "read_categories",
    "texts_summary",
    "train_prompts",
]

register_with_transformers()


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used (PEP 562)."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'wordsight' has no attribute {name!r}")
    if _EXPORTS[name].startswith("wordsight.modeling"):
        register_models()
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
