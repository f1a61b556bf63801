"""Makes transformers know wordsight's configs, models and pipeline, without importing transformers or torch for it."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from wrapt import LazyObjectProxy, register_post_import_hook

PIPELINE = "wordsight.pipelines.multi_label_image_classification"


def register_with_transformers() -> None:
    """Arranges for registration to happen when it is first needed.

    transformers' registries want the classes themselves, and those take torch. So the config classes are registered
    as stand-ins, as soon as the registry exists; the first look at one imports and registers everything. The pipeline
    is registered when transformers.pipelines is imported (or at once, if it is already).
    """
    register_post_import_hook(_register_stand_ins, "transformers.models.auto.configuration_auto")
    # In two steps: our pipeline's module may be what imports transformers.pipelines, and then is not complete yet.
    register_post_import_hook(lambda _: import_module(PIPELINE), "transformers.pipelines")
    register_post_import_hook(lambda _: register_pipeline(), PIPELINE)


def register_models() -> dict[str, Any]:
    """Registers the real classes with the Auto classes; returns the configs by model type."""
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    from wordsight.modeling.configuration_wordsight import WordsightConfig
    from wordsight.modeling.encoders.imagenet import ImageNetEncoderConfig, ImageNetEncoderModel
    from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification

    configs = {config.model_type: config for config in (WordsightConfig, ImageNetEncoderConfig)}
    for model_type, config in configs.items():
        AutoConfig.register(model_type, config, exist_ok=True)
    for auto_class in (AutoModel, AutoModelForImageClassification):
        auto_class.register(WordsightConfig, WordsightForMultiLabelImageClassification, exist_ok=True)
    AutoModel.register(ImageNetEncoderConfig, ImageNetEncoderModel, exist_ok=True)
    return configs


def register_pipeline() -> None:
    """Registers the pipeline with transformers' `pipeline()`."""
    from transformers import AutoModelForImageClassification
    from transformers.pipelines import PIPELINE_REGISTRY

    from wordsight.modeling.configuration_wordsight import TASK
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

    PIPELINE_REGISTRY.register_pipeline(
        TASK,
        pipeline_class=MultiLabelImageClassificationPipeline,
        pt_model=AutoModelForImageClassification,
        type="image",
    )


def _config_class(model_type: str) -> Any:
    return register_models()[model_type]


def _register_stand_ins(auto: ModuleType) -> None:
    for model_type in ("wordsight", "wordsight-offline"):
        stand_in = LazyObjectProxy(partial(_config_class, model_type), interface=type)
        auto.CONFIG_MAPPING.register(model_type, stand_in, exist_ok=True)
