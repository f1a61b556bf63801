"""Makes transformers know wordsight's configs, models and pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def register_with_transformers() -> None:
    """Registers now, or as soon as transformers' registries are imported.

    transformers has no entry points for plug-ins, and its registries take classes. Importing those together with
    wordsight would cost what PyTorch and transformers cost (3 s on a fast machine, against 0.1 s without), also for
    `wordsight --help`. Hence the one import hook of this package: the module of a registry is found and executed as
    usual, then its function here runs. Configs are registered as stand-ins, since other modules of transformers may be
    half imported at that time.
    """
    functions = {
        "transformers.models.auto.configuration_auto": _register_stand_ins,
        "transformers.pipelines": _register_pipeline,
    }
    sys.meta_path.insert(0, _AfterImport({name: f for name, f in functions.items() if name not in sys.modules}))
    for name, function in functions.items():
        if name in sys.modules:
            function()


class _AfterImport(MetaPathFinder):
    """Calls functions once the modules have been imported that they wait for."""

    def __init__(self, functions: dict[str, Callable[[], None]]) -> None:
        self.functions = functions

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        function = self.functions.pop(name, None)
        spec = find_spec(name) if function else None
        if function and spec and spec.loader:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                function()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _StandIn:
    """A config class that is imported when it is first used; the models are registered with it."""

    def __init__(self, model_type: str) -> None:
        self.model_type = model_type

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return register_models()[self.model_type](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(register_models()[self.model_type], name)


def _register_stand_ins() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for model_type in ("wordsight", "wordsight-offline"):
        CONFIG_MAPPING.register(model_type, _StandIn(model_type), exist_ok=True)  # type: ignore[arg-type]


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


def _register_pipeline() -> None:
    """Its module registers the pipeline, and may be what is being imported."""
    import_module("wordsight.pipelines.multi_label_image_classification")
