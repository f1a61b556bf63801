"""Loads the text half of an encoder, which only learning prompts and new category embeddings take."""

from __future__ import annotations

from typing import Any

from wordsight.utils.progress import library_step

from ..checks import whole_weights
from ..imagenet_variants import IMAGENET_VARIANTS
from .align import AlignTextEncoder
from .base import TextEncoder
from .clip import CLIPTextEncoder
from .clip_families import AltCLIPTextEncoder, ChineseCLIPTextEncoder, MetaClip2TextEncoder
from .imagenet.build import cached_imagenet_encoder
from .imagenet.encoders import ImageNetTextEncoder
from .loading import IMAGENET_TYPE, family_of, given, hub_id, no_code_of, quiet_transformers
from .open_clip import OpenCLIPTextEncoder
from .siglip import Siglip2TextEncoder, SiglipTextEncoder

TEXT_ENCODERS: dict[str, Any] = {
    "align": AlignTextEncoder,
    "altclip": AltCLIPTextEncoder,
    "chinese_clip": ChineseCLIPTextEncoder,
    "clip": CLIPTextEncoder,
    "metaclip_2": MetaClip2TextEncoder,
    "open_clip": OpenCLIPTextEncoder,
    "siglip": SiglipTextEncoder,
    "siglip2": Siglip2TextEncoder,
    IMAGENET_TYPE: ImageNetTextEncoder,
}


def load_text_encoder(name: str, **kwargs: Any) -> TextEncoder:
    """The text half of an encoder, frozen.

    Args:
        name: Hub id (with "hf-hub:" before it or not), path, "imagenet" or "imagenet-lite2".
        kwargs: as for transformers' `from_pretrained`: revision, token, cache_dir, local_files_only, dtype.

    Raises:
        InvalidInputError: no encoder is there, or it is of a family that wordsight does not know.

    Example:
        >>> from wordsight import load_text_encoder
        >>> encoder = load_text_encoder("imagenet")
        >>> encoder.width, encoder.projection_dim
        (384, 256)
    """
    name, kwargs = hub_id(name), given(kwargs)
    path = name
    if name in IMAGENET_VARIANTS:
        path = str(cached_imagenet_encoder(IMAGENET_VARIANTS[name]))
        kwargs.pop("revision", None)
    family = family_of(name, path, TEXT_ENCODERS, kwargs)
    with library_step(f"Loading the encoder {name}"), quiet_transformers(), no_code_of(name), whole_weights(name):
        encoder: TextEncoder = TEXT_ENCODERS[family].from_pretrained(path, **kwargs)
    return encoder
