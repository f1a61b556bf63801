"""SigLIP and SigLIP 2, of fixed resolution or NaFlex: each half loads on its own from the same checkpoint."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel
from transformers.models.siglip import SiglipImageProcessorPil

from .base import ImageEmbeddings, ImageEncoder, PatchEmbeddings, TextEmbeddings, TextEncoder, split_loading_kwargs
from .vision_blocks import correlative_attention, finish_block


class SiglipTextEncoder(TextEncoder):
    """SigLIP's text tower: pooled at the last of 64 positions, every token through the pooled one's head.

    It was trained with texts padded to the full length and no attention mask, so padding is part of the input: a text
    that is padded otherwise has another embedding (google-research/big_vision#157).
    """

    model_class: ClassVar[str] = "SiglipTextModel"

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> Self:
        """Loads the text half of a SigLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = getattr(transformers, cls.model_class).from_pretrained(name, **model_kwargs, **hub_kwargs)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub_kwargs)
        return cls(model, tokenizer, max_length=model.config.max_position_embeddings, pad_to_max_length=True)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Texts (N, 64) as unit vectors."""
        output = self.model(input_ids=input_ids)
        return TextEmbeddings(
            pooled=F.normalize(output.pooler_output, dim=-1),
            tokens=F.normalize(self.model.head(output.last_hidden_state), dim=-1),
            mask=attention_mask.bool(),
        )

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Texts (N, 64) as unit vectors (N, D)."""
        return F.normalize(self.model(input_ids=input_ids).pooler_output, dim=-1)


class SiglipImageEncoder(ImageEncoder):
    """SigLIP's image tower (ViT with an attention-pooling head).

    Args:
        model: the image tower.
        image_processor: its image processor.
        patch_embeddings: "value" sends each patch alone through the pooling head's value path, as MaskCLIP does with
            CLIP's attention pooling (arXiv 2112.01071, section 3.2); "correlative" does the same after a last block
            whose attention is of queries to queries and of keys to keys (SCLIP, arXiv 2312.01597, section 3), a
            second one beside that of the pooled embedding; "plain" takes the last layer's tokens as they are.
    """

    model_class: ClassVar[str] = "SiglipVisionModel"

    def __init__(
        self, model: PreTrainedModel, image_processor: Any, patch_embeddings: PatchEmbeddings = "value"
    ) -> None:
        super().__init__(model, image_processor)
        self.patch_embeddings = patch_embeddings

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: PatchEmbeddings, **kwargs: Any) -> Self:
        """Loads the image half of a SigLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = getattr(transformers, cls.model_class).from_pretrained(name, **model_kwargs, **hub_kwargs)
        image_processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs)
        return cls(model, cls.squaring(image_processor), patch_embeddings)

    @classmethod
    def squaring(cls, image_processor: Any) -> Any:
        """The checkpoint's image processor, or one like it that makes `pixel_values` (B, 3, H, W)."""
        return image_processor

    @property
    def patch_size(self) -> int:
        """Side of a patch: position embeddings are interpolated for photos of any number of patches."""
        size: int = self.model.config.patch_size
        return size

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors; of another size than the encoder's own, with interpolated positions."""
        states = self.embed(pixel_values)
        *blocks, last = self.model.encoder.layers
        for block in blocks:
            states = block(states, None)
        tokens = self.model.post_layernorm(last(states, None))
        pooled, patches = self.model.head(tokens), tokens
        if self.patch_embeddings == "correlative":
            attended = correlative_attention(last.self_attn, last.layer_norm1(states))
            patches = self.model.post_layernorm(finish_block(last, states, attended))
        if self.patch_embeddings != "plain":
            patches = self._value_path(patches)
        return ImageEmbeddings(
            pooled=F.normalize(pooled, dim=-1),
            patches=F.normalize(patches, dim=-1),
            grid=(pixel_values.shape[-2] // self.patch_size, pixel_values.shape[-1] // self.patch_size),
        )

    def embed(self, pixel_values: Tensor) -> Tensor:
        """What the first block is given of images (B, 3, H, W): their patches (B, P, d) with their positions."""
        embedded: Tensor = self.model.embeddings(pixel_values, interpolate_pos_encoding=True)
        return embedded

    def _value_path(self, states: Tensor) -> Tensor:
        """The pooling head, with the probe attending to one patch alone: states (B, P, d) -> (B, P, d)."""
        head = self.model.head
        attention = head.attention
        _, _, value_weight = attention.in_proj_weight.chunk(3)
        _, _, value_bias = attention.in_proj_bias.chunk(3)
        pooled = attention.out_proj(F.linear(states, value_weight, value_bias))
        return pooled + head.mlp(head.layernorm(pooled))


class Siglip2TextEncoder(SiglipTextEncoder):
    """The text tower of a NaFlex checkpoint: SigLIP's."""

    model_class: ClassVar[str] = "Siglip2TextModel"


class Siglip2ImageEncoder(SiglipImageEncoder):
    """The image tower of a NaFlex checkpoint (SigLIP 2, arXiv 2502.14786, section 2.4), for any grid of patches.

    Its own image processor gives each photo as many rows and columns as suit its shape, and a mask of what is padding.
    Here all photos of a batch have one size, so none is padded; photos are made square, as large as the checkpoint's
    number of patches allows.
    """

    model_class: ClassVar[str] = "Siglip2VisionModel"

    @classmethod
    def squaring(cls, image_processor: Any) -> SiglipImageProcessorPil:
        """An image processor like the checkpoint's, for squares of as many pixels."""
        side = math.isqrt(image_processor.max_num_patches) * image_processor.patch_size
        kept = ("resample", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_convert_rgb")
        same = {name: getattr(image_processor, name) for name in kept if hasattr(image_processor, name)}
        return SiglipImageProcessorPil(size={"height": side, "width": side}, **same)

    def embed(self, pixel_values: Tensor) -> Tensor:
        """Patches of images (B, 3, H, W), cut row by row, channels last, with positions interpolated to their grid."""
        size, batch = self.model.config.patch_size, len(pixel_values)
        rows, columns = pixel_values.shape[-2] // size, pixel_values.shape[-1] // size
        cut = pixel_values[..., : rows * size, : columns * size].unfold(2, size, size).unfold(3, size, size)
        # (B, 3, rows, columns, size, size) -> (B, rows * columns, size * size * 3)
        patches = cut.permute(0, 2, 3, 4, 5, 1).reshape(batch, rows * columns, -1)
        embedded: Tensor = self.model.embeddings(patches, torch.tensor([[rows, columns]] * batch))
        return embedded
