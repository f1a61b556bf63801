"""Loads the half of an encoder that is needed, by the family that its config names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers import PreTrainedConfig
from transformers.utils import logging

from wordsight.utils.errors import InvalidInputError

from ..encoders.imagenet.encoders import ImageNetImageEncoder, ImageNetTextEncoder
from .base import ImageEncoder, TextEncoder
from .clip import CLIPImageEncoder, CLIPTextEncoder
from .siglip import SiglipImageEncoder, SiglipTextEncoder

IMAGENET = "imagenet"
TEXT_ENCODERS: dict[str, Any] = {
    "clip": CLIPTextEncoder,
    "siglip": SiglipTextEncoder,
    "wordsight-offline": ImageNetTextEncoder,
}
IMAGE_ENCODERS: dict[str, Any] = {
    "clip": CLIPImageEncoder,
    "siglip": SiglipImageEncoder,
    "wordsight-offline": ImageNetImageEncoder,
}


def load_text_encoder(name: str, **kwargs: Any) -> TextEncoder:
    """The text half of an encoder, frozen.

    Args:
        name: Hub id, path, or "imagenet".
        kwargs: as for transformers' `from_pretrained`: revision, token, cache_dir, local_files_only, dtype.

    Raises:
        InvalidInputError: no encoder is there, or it is of a family that wordsight does not know.
    """
    from wordsight.utils.progress import library_step

    from ..encoders.imagenet.build import cached_imagenet_encoder

    path, kwargs = name, _given(kwargs)
    if name == IMAGENET:
        path = str(cached_imagenet_encoder())
        kwargs.pop("revision", None)
    family = _family(name, path, TEXT_ENCODERS, kwargs)
    with library_step(f"Loading the encoder {name}"), _quiet_loading(), _no_code_of(name):
        encoder: TextEncoder = TEXT_ENCODERS[family].from_pretrained(path, **kwargs)
    return encoder


def load_image_encoder(name: str, patch_embeddings: Literal["value", "plain"] = "value", **kwargs: Any) -> ImageEncoder:
    """The image half of an encoder, frozen; arguments and errors as for `load_text_encoder`.

    Args:
        name: Hub id, path, or "imagenet".
        patch_embeddings: for ViT encoders, where patch embeddings come from (see `WordsightConfig`).
        kwargs: as for transformers' `from_pretrained`.
    """
    kwargs = _given(kwargs)
    if name == IMAGENET:
        with _quiet_loading():
            return ImageNetImageEncoder.from_packages(dtype=kwargs.get("dtype"))
    family = _family(name, name, IMAGE_ENCODERS, kwargs)
    with _quiet_loading(), _no_code_of(name):
        encoder: ImageEncoder = IMAGE_ENCODERS[family].from_pretrained(
            name, patch_embeddings=patch_embeddings, **kwargs
        )
    return encoder


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Hides transformers' report of the other half's weights, which are left out on purpose."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_has_bars = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # which takes the Hub's bars for downloads along
    if hub_has_bars:
        enable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _no_code_of(name: str) -> Iterator[None]:
    """Says of an encoder whose tokenizer or image processor wants to run code of its own that it may not."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise InvalidInputError(
            f"The encoder {name!r} wants to run code of its own, which wordsight never lets it. Name another encoder."
        ) from error


def _given(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if value is not None}


def _family(name: str, path: str, families: dict[str, Any], kwargs: dict[str, Any]) -> str:
    """The encoder's model type.

    Read from the config as it is: an encoder's own code is never asked for, let alone run.
    """
    hub_kwargs = {key: value for key, value in kwargs.items() if key != "dtype"}
    try:
        family: str = PreTrainedConfig.get_config_dict(path, **hub_kwargs)[0].get("model_type", "unknown")
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"The encoder {name!r} can't be loaded: {str(error).splitlines()[0]} Give a Hub id that you can reach, "
            f"the path of a saved encoder, or {IMAGENET!r}."
        ) from error
    if family not in families:
        raise InvalidInputError(
            f"The encoder {name!r} is a {family!r} model; supported are {', '.join(sorted(families))}."
        )
    return family
