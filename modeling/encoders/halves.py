"""One half of a checkpoint that holds both: the model of the whole, built without the other half."""

from __future__ import annotations

from typing import Any, Literal

import transformers
from torch import nn
from transformers import PreTrainedModel

from wordsight.utils.errors import InvalidInputError, shortened

from .base import split_loading_kwargs

Half = Literal["text", "vision"]
# What a model of both halves has for each beside its tower, if it has it.
PROJECTIONS = {"text": "text_projection", "vision": "visual_projection"}


def load_half(class_name: str, half: Half, name: str, kwargs: dict[str, Any]) -> PreTrainedModel:
    """Loads one half of a checkpoint; the other's weights are never read into memory.

    Args:
        class_name: transformers' class of the whole ("CLIPModel"), imported only when one is loaded.
        half: the half to keep.
        name: Hub id or path.
        kwargs: as in transformers (revision, token, dtype, ...).

    Returns:
        The model with `get_text_features` or `get_image_features` as transformers has them.

    Raises:
        InvalidInputError: the checkpoint lacks some of the half's weights.
    """
    model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
    whole: type[PreTrainedModel] = getattr(transformers, class_name)
    loaded: Any = half_class(whole, half).from_pretrained(name, output_loading_info=True, **model_kwargs, **hub_kwargs)
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise InvalidInputError(
            f"The encoder {name!r} lacks weights of its {half} half: {shortened(missing)}. Its files are damaged or "
            "incomplete: download or save it again."
        )
    found: PreTrainedModel = model
    return found


def half_class(whole: type[PreTrainedModel], half: Half) -> Any:
    """A class like the model of both halves, with one of them."""

    class OneHalf(whole):  # type: ignore[misc,valid-type]
        def __init__(self, config: Any) -> None:
            # `from_pretrained` builds models without memory for their weights, so the other half costs none.
            super().__init__(config)
            (other,) = set(PROJECTIONS) - {half}
            for part in (f"{other}_model", PROJECTIONS[other], "logit_scale", "temperature"):
                if hasattr(self, part):
                    delattr(self, part)

        def _init_weights(self, module: nn.Module) -> None:
            if module is not self:  # what is its own is in the checkpoint, or loading fails
                super()._init_weights(module)

        def get_input_embeddings(self) -> nn.Module:
            embeddings: nn.Module = getattr(self, f"{half}_model").get_input_embeddings()
            return embeddings

    # By a model's name and module transformers finds out how checkpoints of it name their weights.
    OneHalf.__name__, OneHalf.__module__ = whole.__name__, whole.__module__
    return OneHalf
