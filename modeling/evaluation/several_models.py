"""Several models side by side, such as runs with other seeds: what they must have in common, and a row for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wordsight.utils.errors import InvalidInputError

from ..loading import load_model
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..onnx.files import BACKENDS
from .methods import Method, MethodFactory
from .options import CHANGED_METHODS, OWN_METHODS, own_names
from .photo_settings import reason_against

# One pass through the image encoder serves all models, and one set of zero-shot rows is beside them.
IN_COMMON = (
    "encoder",
    "encoder_revision",
    "patch_embeddings",
    "image_size",
    "whole_photo",
    "categories",
    "compounds",
    "logit_scale",
    "local_temperature_image",
    "local_weight",
    "tiles",
)


def load_factories(models: Mapping[str, str], revision: str | None, texts: Path | None) -> dict[str, MethodFactory]:
    """What makes the methods of each model; all share the first one's text encoder, and only it has an image encoder.

    Args:
        models: label -> folder or Hub id.
        revision: the models' revision on the Hub.
        texts: folder of sentences for the learned baselines, which are kept in the first model's folder.

    Raises:
        InvalidInputError: a model can't be loaded, or the models differ in more than in what was learned.
    """
    loaded: dict[str, WordsightForMultiLabelImageClassification] = {}
    factories: dict[str, MethodFactory] = {}
    for label, model in models.items():
        loaded[label] = load_model(model, revision)
        check_in_common(loaded)
        folder = Path(model) if Path(model).is_dir() else None
        if factories:
            loaded[label].image_encoder = None
            text_encoder = next(iter(factories.values())).text_encoder
        else:
            text_encoder = loaded[label].load_text_encoder()
        baselines = folder / "baselines" if folder else Path("wordsight-baselines")
        factories[label] = MethodFactory(loaded[label], text_encoder, folder=folder, texts=texts, baselines=baselines)
    return factories


def check_in_common(models: Mapping[str, WordsightForMultiLabelImageClassification]) -> None:
    """Whether models can be measured in one pass through the image encoder.

    Args:
        models: label -> model.

    Raises:
        InvalidInputError: they differ in more than in what was learned; names how.
    """
    (first, of_first), *others = models.items()
    for label, model in others:
        for field in IN_COMMON:
            if getattr(model.config, field) != getattr(of_first.config, field):
                raise InvalidInputError(
                    f"The models {first} and {label} have other {field.replace('_', ' ')}. Pass models that differ in "
                    "what was learned alone, such as with --seed; run evaluate for each of the others."
                )


def exported_methods(factories: Mapping[str, MethodFactory], models: Sequence[str], backend: str) -> list[Method]:
    """Each model's exported graph as a row of its own, such as "learned, onnx-int8".

    Args:
        factories: label -> what makes the model's methods.
        models: folders or Hub ids, in the same order.
        backend: of `BACKENDS`; "torch" has no such row.

    Raises:
        InvalidInputError: a model was not exported for it, or has changed since.
    """
    if backend == "torch":
        return []
    from ..onnx.model import load_onnx_model

    rows = zip(own_names("learned", list(factories)), factories.values(), models, strict=True)
    return [
        replace(
            factory.make("learned"),
            name=f"{name}, {backend}",
            graph=load_onnx_model(model, factory.model.revision, BACKENDS[backend]),
        )
        for name, factory, model in rows
    ]


def make_methods(factories: Mapping[str, MethodFactory], names: Sequence[str], leave_out: bool = False) -> list[Method]:
    """The methods of that name: those that are a model's own once for each model, the others once.

    Args:
        factories: label -> what makes the model's methods; the others are made by the first.
        names: see `METHODS`.
        leave_out: whether those that can't be made for the model are left out, and no error.
    """
    first, methods = next(iter(factories.values())), []
    for name in names:
        if leave_out and name in CHANGED_METHODS and reason_against(name, first.model):
            continue
        if name in OWN_METHODS:
            rows = zip(own_names(name, list(factories)), factories.values(), strict=True)
            methods += [replace(factory.make(name), name=row) for row, factory in rows]
        else:
            methods.append(first.make(name))
    return methods
