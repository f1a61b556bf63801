"""Other settings of a model's image half, with the same weights: each takes a pass over the photos of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError

from ..encoders.photo_size import side_of
from .options import CORRELATIVE_METHODS, LARGE_METHODS, PATCH_METHODS

if TYPE_CHECKING:
    from ..encoders import ImageEncoder
    from ..modeling_wordsight import WordsightForMultiLabelImageClassification

LARGER = 1.5  # times the size of before


def reason_against(name: str, model: WordsightForMultiLabelImageClassification) -> str | None:
    """Why a method can't be made for a model; None if it can."""
    config, encoder = model.config, model.image_encoder
    assert encoder is not None
    if name in PATCH_METHODS and encoder.patch_embeddings is None:
        return f"the encoder {config.encoder!r} has no attention"
    if name == "center-crop" and not encoder.crops:
        return f"the encoder {config.encoder!r} always takes the whole photo"
    if name in LARGE_METHODS and encoder.patch_size is None:
        return f"the encoder {config.encoder!r} takes photos of one size alone"
    if name in CORRELATIVE_METHODS and not config.cooccurring_categories:
        return "the model's config does not say which categories are seen together"
    return None


def other_encoder(name: str, model: WordsightForMultiLabelImageClassification) -> ImageEncoder | None:
    """The image encoder as a method has it; None if it is the model's own.

    Args:
        name: one of `METHODS`.
        model: the model that is measured, with its image encoder.

    Raises:
        InvalidInputError: the encoder has nothing to be changed.
    """
    if reason := reason_against(name, model):
        raise InvalidInputError(f"There is no method {name!r} for this model: {reason}. Name other methods.")
    config, encoder = model.config, model.image_encoder
    assert encoder is not None
    changed: dict[str, Any] = {}
    if name in PATCH_METHODS:
        changed["patch_embeddings"] = "correlative"
    if name == "center-crop":
        changed["whole_photo"] = False
    if name in LARGE_METHODS and encoder.patch_size is not None:
        patches = round(LARGER * side_of(encoder.image_processor) / encoder.patch_size)
        changed |= {"image_size": patches * encoder.patch_size, "whole_photo": True}
    if not changed:
        return None
    before = {name: getattr(config, name) for name in ("patch_embeddings", "image_size", "whole_photo")}
    return encoder.with_settings(**before | changed)
