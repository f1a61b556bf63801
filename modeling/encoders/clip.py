"""CLIP (`CLIPModel` checkpoints): each half loads on its own from the same checkpoint."""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPConfig,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
)

from .base import ImageEmbeddings, ImageEncoder, TextEmbeddings, TextEncoder, split_loading_kwargs


class CLIPTextEncoder(TextEncoder):
    """CLIP's text tower: pooled at EOS; every token projected as the pooled one is."""

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> CLIPTextEncoder:
        """Loads the text half of a CLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        config = _half_config(name, "text_config", hub_kwargs)
        model = CLIPTextModelWithProjection.from_pretrained(name, config=config, **model_kwargs, **hub_kwargs)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **hub_kwargs)
        return cls(model, tokenizer, max_length=model.config.max_position_embeddings)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Texts (N, L) as unit vectors."""
        output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        tokens = self.model.text_projection(output.last_hidden_state)
        return TextEmbeddings(
            pooled=F.normalize(output.text_embeds, dim=-1),
            tokens=F.normalize(tokens, dim=-1),
            mask=attention_mask.bool(),
        )


class CLIPImageEncoder(ImageEncoder):
    """CLIP's image tower (ViT).

    Args:
        model: the image tower with its projection.
        image_processor: its image processor.
        patch_embeddings: "value" replaces the last block's attention by its value path (MaskCLIP, arXiv 2112.01071,
            section 3.2), since plain last-layer patch tokens carry little local meaning; "plain" takes them as they
            are.
    """

    def __init__(
        self,
        model: CLIPVisionModelWithProjection,
        image_processor: Any,
        patch_embeddings: Literal["value", "plain"] = "value",
    ) -> None:
        super().__init__(model, image_processor)
        self.patch_embeddings = patch_embeddings

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: Literal["value", "plain"], **kwargs: Any) -> CLIPImageEncoder:
        """Loads the image half of a CLIP checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model_kwargs, hub_kwargs = split_loading_kwargs(kwargs)
        config = _half_config(name, "vision_config", hub_kwargs)
        model = CLIPVisionModelWithProjection.from_pretrained(name, config=config, **model_kwargs, **hub_kwargs)
        return cls(
            model, AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs), patch_embeddings
        )

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors."""
        output = self.model(pixel_values=pixel_values, output_hidden_states=True)
        vision = self.model.vision_model
        if self.patch_embeddings == "value":
            states = self._value_path(output.hidden_states[-2])
        else:
            states = output.last_hidden_state
        patches = self.model.visual_projection(vision.post_layernorm(states[:, 1:]))
        patch_size = vision.config.patch_size
        return ImageEmbeddings(
            pooled=F.normalize(output.image_embeds, dim=-1),
            patches=F.normalize(patches, dim=-1),
            grid=(pixel_values.shape[-2] // patch_size, pixel_values.shape[-1] // patch_size),
        )

    def _value_path(self, states: Tensor) -> Tensor:
        """The last block with each position attending to itself alone: states (B, 1 + P, d) -> (B, 1 + P, d)."""
        block = self.model.vision_model.encoder.layers[-1]
        attention = block.self_attn
        states = states + attention.out_proj(attention.v_proj(block.layer_norm1(states)))
        return states + block.mlp(block.layer_norm2(states))


def _half_config(name: str, half: str, hub_kwargs: dict[str, Any]) -> Any:
    """One half's configuration; some checkpoints (LAION's) hold the projection's width in the whole's alone."""
    config = CLIPConfig.from_pretrained(name, **hub_kwargs)
    half_config = getattr(config, half)
    half_config.projection_dim = config.projection_dim
    return half_config
