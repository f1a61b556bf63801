"""The ImageNet encoder behind the interface of all encoders."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from ...imagenet_variants import LITE0, ImageNetVariant
from ..base import ImageEmbeddings, ImageEncoder, TextEmbeddings, TextEncoder, split_loading_kwargs
from .configuration_imagenet import ImageNetEncoderConfig
from .modeling_imagenet import ImageNetTextModel, ImageNetVisionModel
from .packages import built_encoder, fill_image_half, imagenet_image_processor

STRIDE = 32  # of EfficientNet's last feature map


class ImageNetTextEncoder(TextEncoder):
    """The text half: pooled by mean, every token projected as the pooled one is."""

    # Its halves never met in training: what names say must not be forgotten, and what all have in common is much.
    embedding_defaults: ClassVar[dict[str, Any]] = {"prior_weight": 1.0, "mean_shift": True}
    photo_defaults: ClassVar[dict[str, Any]] = {}  # it takes the whole photo as it is; see its README for scores

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> ImageNetTextEncoder:
        """Loads the text half of a built encoder; keywords as in transformers (dtype, local_files_only, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = ImageNetTextModel.from_pretrained(name, **model_kwargs, **hub_kwargs)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub_kwargs)
        return cls(model, tokenizer, max_length=model.text_model.encoder.config.max_position_embeddings)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Texts (N, L) as unit vectors."""
        output = self.model(input_ids, attention_mask)
        return TextEmbeddings(output.text_embeds, output.token_embeds, attention_mask.bool())

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Texts (N, L) as unit vectors (N, D)."""
        tower = self.model.text_model
        pooled: Tensor = tower.project(tower.sentence_states(input_ids, attention_mask)[0])
        return pooled


class ImageNetImageEncoder(ImageEncoder):
    """The image half: patches are the cells of the last feature map."""

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: str = "value", **kwargs: Any) -> ImageNetImageEncoder:
        """Loads the image half of a built encoder; a convolutional network has no value path to choose."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = ImageNetVisionModel.from_pretrained(name, **model_kwargs, **hub_kwargs)
        return cls(model, AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs))

    @classmethod
    def from_packages(cls, variant: ImageNetVariant = LITE0, dtype: torch.dtype | None = None) -> ImageNetImageEncoder:
        """The image half of the encoder in the cache or, where there is none, straight from the package's weights."""
        if built_encoder(variant).is_dir():
            return cls.from_pretrained(str(built_encoder(variant)), dtype=dtype or torch.float32)
        config = ImageNetEncoderConfig(width_multiplier=variant.width, depth_multiplier=variant.depth)
        model = ImageNetVisionModel(config)
        fill_image_half(model.vision_model, variant)
        half: ImageNetVisionModel = model.to(dtype=dtype or torch.float32)  # type: ignore[call-arg]
        return cls(half, imagenet_image_processor())

    @property
    def patch_size(self) -> int:
        """Pixels from one cell of the last feature map to the next."""
        return STRIDE

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors."""
        output = self.model(pixel_values)
        return ImageEmbeddings(output.image_embeds, output.patch_embeds, output.grid)
