"""Loads the image half of an encoder, by the family that its config names; goes along with a pushed model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers import PreTrainedConfig
from transformers.utils import logging

from wordsight.utils.errors import InvalidInputError

from ..checks import whole_weights
from ..imagenet_variants import IMAGENET_VARIANTS
from .align import AlignImageEncoder
from .base import ImageEncoder, PatchEmbeddings
from .clip import CLIPImageEncoder
from .clip_families import AltCLIPImageEncoder, ChineseCLIPImageEncoder, MetaClip2ImageEncoder
from .imagenet.encoders import ImageNetImageEncoder
from .open_clip import OpenCLIPImageEncoder, is_open_clip
from .siglip import Siglip2ImageEncoder, SiglipImageEncoder

IMAGENET = "imagenet"
IMAGENET_TYPE = "wordsight-offline"  # the model type, as folders built by version 0.2 have it
IMAGE_ENCODERS: dict[str, Any] = {
    "align": AlignImageEncoder,
    "altclip": AltCLIPImageEncoder,
    "chinese_clip": ChineseCLIPImageEncoder,
    "clip": CLIPImageEncoder,
    "metaclip_2": MetaClip2ImageEncoder,
    "open_clip": OpenCLIPImageEncoder,
    "siglip": SiglipImageEncoder,
    "siglip2": Siglip2ImageEncoder,
    IMAGENET_TYPE: ImageNetImageEncoder,
}


def load_image_encoder(
    name: str,
    patch_embeddings: PatchEmbeddings = "value",
    *,
    image_size: int | None = None,
    whole_photo: bool = False,
    **kwargs: Any,
) -> ImageEncoder:
    """The image half of an encoder, frozen.

    Args:
        name: Hub id (with "hf-hub:" before it or not), path, "imagenet" or "imagenet-lite2".
        patch_embeddings: for ViT encoders, where patch embeddings come from (see `WordsightConfig`).
        image_size: side of the square that photos become, in pixels: a multiple of the patch size; None for the
            encoder's own. Position embeddings are interpolated.
        whole_photo: whether the whole photo becomes that square, and not the middle of it alone.
        kwargs: as for transformers' `from_pretrained`: revision, token, cache_dir, local_files_only, dtype.

    Raises:
        InvalidInputError: no encoder is there, it is of a family that wordsight does not know, or it can't take photos
            of that size.

    Example:
        >>> import torch
        >>> from wordsight import load_image_encoder
        >>> encoder = load_image_encoder("imagenet")
        >>> embeddings = encoder(torch.zeros(1, 3, 224, 224))
        >>> embeddings.pooled.shape, embeddings.patches.shape
        (torch.Size([1, 256]), torch.Size([1, 49, 256]))
    """
    kwargs, name = given(kwargs), hub_id(name)
    encoder: ImageEncoder
    if name in IMAGENET_VARIANTS:
        with quiet_transformers():
            encoder = ImageNetImageEncoder.from_packages(IMAGENET_VARIANTS[name], dtype=kwargs.get("dtype"))
    else:
        family = family_of(name, name, IMAGE_ENCODERS, kwargs)
        with quiet_transformers(), no_code_of(name), whole_weights(name):
            encoder = IMAGE_ENCODERS[family].from_pretrained(name, patch_embeddings=patch_embeddings, **kwargs)
    encoder.set_photo_size(image_size, whole_photo)
    return encoder


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hides transformers' bars, and its reports, as of weights left out on purpose; bars of downloads stay."""
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
def no_code_of(name: str) -> Iterator[None]:
    """Says of an encoder whose tokenizer or image processor wants to run code of its own that it may not."""
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise InvalidInputError(
            f"The encoder {name!r} wants to run code of its own, which wordsight never lets it. Name another encoder."
        ) from error


def hub_id(name: str) -> str:
    """The Hub id in what open_clip calls a checkpoint ("hf-hub:user/name"), or the name as it is."""
    return name.removeprefix("hf-hub:")


def given(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords that are not None."""
    return {key: value for key, value in kwargs.items() if value is not None}


def family_of(name: str, path: str, families: dict[str, Any], kwargs: dict[str, Any]) -> str:
    """The encoder's model type, read from its config as it is: an encoder's own code is never asked for, let alone run.

    Args:
        name: the encoder's name, as it was given.
        path: where it is.
        families: the model types that are supported.
        kwargs: as for transformers' `from_pretrained`.

    Raises:
        InvalidInputError: no encoder is there, or it is of another family.
    """
    hub_kwargs = {key: value for key, value in kwargs.items() if key != "dtype"}
    family, problem = "unknown", None
    try:
        family = PreTrainedConfig.get_config_dict(path, **hub_kwargs)[0].get("model_type", "unknown")
    except (OSError, ValueError) as error:
        problem = error
    # timm's repositories have a config.json of their own beside open_clip's.
    if family not in families and is_open_clip(path, hub_kwargs):
        return "open_clip"
    if problem is not None:
        raise InvalidInputError(
            f"The encoder {name!r} can't be loaded: {str(problem).splitlines()[0]} Pass a Hub id that can be reached, "
            f"the path of a saved encoder, or {IMAGENET!r}."
        ) from problem
    if family not in families:
        supported = sorted(IMAGENET if known == IMAGENET_TYPE else known for known in families)
        raise InvalidInputError(f"The encoder {name!r} is a {family!r} model; supported are {', '.join(supported)}.")
    return family
