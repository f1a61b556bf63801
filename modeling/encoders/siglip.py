"""SigLIP and SigLIP 2 (`SiglipModel` checkpoints): each half loads on its own from the same checkpoint."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, SiglipTextModel, SiglipVisionModel

from .base import ImageEmbeddings, ImageEncoder, PatchEmbeddings, TextEmbeddings, TextEncoder, split_loading_kwargs
from .vision_blocks import correlative_attention, finish_block


class SiglipTextEncoder(TextEncoder):
    """SigLIP's text tower: pooled at the last of 64 positions, every token through the pooled one's head.

    It was trained with texts padded to the full length and no attention mask, so padding is part of the input: a text
    that is padded otherwise has another embedding (google-research/big_vision#157).
    """

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> SiglipTextEncoder:
        """Loads the text half of a SigLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = SiglipTextModel.from_pretrained(name, **model_kwargs, **hub_kwargs)
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

    def __init__(
        self, model: SiglipVisionModel, image_processor: Any, patch_embeddings: PatchEmbeddings = "value"
    ) -> None:
        super().__init__(model, image_processor)
        self.patch_embeddings = patch_embeddings

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: PatchEmbeddings, **kwargs: Any) -> SiglipImageEncoder:
        """Loads the image half of a SigLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        model = SiglipVisionModel.from_pretrained(name, **model_kwargs, **hub_kwargs)
        return cls(
            model, AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs), patch_embeddings
        )

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors."""
        states = self.model.embeddings(pixel_values)
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
        patch_size = self.model.config.patch_size
        return ImageEmbeddings(
            pooled=F.normalize(pooled, dim=-1),
            patches=F.normalize(patches, dim=-1),
            grid=(pixel_values.shape[-2] // patch_size, pixel_values.shape[-1] // patch_size),
        )

    def _value_path(self, states: Tensor) -> Tensor:
        """The pooling head, with the probe attending to one patch alone: states (B, P, d) -> (B, P, d)."""
        head = self.model.head
        attention = head.attention
        _, _, value_weight = attention.in_proj_weight.chunk(3)
        _, _, value_bias = attention.in_proj_bias.chunk(3)
        pooled = attention.out_proj(F.linear(states, value_weight, value_bias))
        return pooled + head.mlp(head.layernorm(pooled))
