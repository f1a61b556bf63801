"""ALIGN (`AlignModel` checkpoints): EfficientNet and BERT; each half loads on its own from the same checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch.nn.functional as F
from torch import Tensor
from transformers import AutoImageProcessor

from .base import ImageEmbeddings, ImageEncoder, split_loading_kwargs
from .clip_families import BertTextEncoder
from .halves import load_half


class AlignTextEncoder(BertTextEncoder):
    """ALIGN's text tower (arXiv 2102.05918): BERT, trained on texts of up to 64 tokens."""

    model_class: ClassVar[str] = "AlignModel"
    trained_length: ClassVar[int | None] = 64  # transformers' AlignProcessor


class AlignImageEncoder(ImageEncoder):
    """ALIGN's image tower: a convolutional network, whose positions are its patches and whose mean is the pooled one.

    There is no projection, and no attention whose value path could be chosen.
    """

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: str = "value", **kwargs: Any) -> Self:
        """Loads the image half of a checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model = load_half("AlignModel", "vision", name, kwargs)
        hub_kwargs = split_loading_kwargs(kwargs)[1]
        return cls(model, AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs))

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors."""
        output = self.model.get_image_features(pixel_values=pixel_values)
        states = output.last_hidden_state
        return ImageEmbeddings(
            pooled=F.normalize(output.pooler_output, dim=-1),
            patches=F.normalize(states.flatten(2).transpose(1, 2), dim=-1),
            grid=(states.shape[2], states.shape[3]),
        )
