"""CLIP, and families whose towers are built like CLIP's: each half loads on its own from the same checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoTokenizer, PreTrainedModel

from .base import ImageEmbeddings, ImageEncoder, PatchEmbeddings, TextEmbeddings, TextEncoder, split_loading_kwargs
from .halves import load_half
from .vision_blocks import correlative_attention, finish_block, split_heads

if TYPE_CHECKING:
    from ..prompt_layout import PromptChunk


class CLIPTextEncoder(TextEncoder):
    """CLIP's text tower: pooled at EOS; every token projected as the pooled one is."""

    model_class: ClassVar[str] = "CLIPModel"
    # The most tokens of a text in training, where the tower has more positions than that.
    trained_length: ClassVar[int | None] = None

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> Self:
        """Loads the text half of a checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model = load_half(cls.model_class, "text", name, kwargs)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **split_loading_kwargs(kwargs)[1])
        positions = model.config.text_config.max_position_embeddings
        return cls(model, tokenizer, max_length=min(positions, cls.trained_length or positions))

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> TextEmbeddings:
        """Texts (N, L) as unit vectors."""
        output = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        tokens = self.model.text_projection(output.last_hidden_state)
        return TextEmbeddings(
            pooled=F.normalize(output.pooler_output, dim=-1),
            tokens=F.normalize(tokens, dim=-1),
            mask=attention_mask.bool(),
        )

    def pool(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Texts (N, L) as unit vectors (N, D)."""
        output = self.model.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        return F.normalize(output.pooler_output, dim=-1)

    def encode_prompts(self, prompts: PromptChunk, soft_tokens: Tensor) -> Tensor:
        """Prompts with their soft tokens (N, M, d) as unit vectors (N, D), with gradient.

        Attention is causal, so tokens that several prompts begin with go through the blocks once, and padding never.
        """
        tree, device = prompts.prefix_tree, soft_tokens.device
        nodes, first, ends = tree.nodes.to(device), tree.first.to(device), tree.ends.to(device)
        text = self.model.text_model
        words = text.embeddings.token_embedding(prompts.input_ids.to(device))
        words = words.masked_scatter(prompts.soft_positions.to(device).unsqueeze(-1), soft_tokens.to(words.dtype))
        states = words.flatten(0, 1).index_select(0, first)
        states = states + text.embeddings.position_embedding(tree.columns.to(device))
        *blocks, last = list(text.encoder.layers)
        for block in blocks:
            states = _tree_block(block, states, nodes, first)
        # Of the last block only the states at EOS are asked for.
        states = text.final_layer_norm(_tree_block(last, states, nodes, ends))
        return F.normalize(self.model.text_projection(states), dim=-1)


def _tree_block(block: Any, states: Tensor, nodes: Tensor, wanted: Tensor) -> Tensor:
    """One block over the nodes of a `PrefixTree`: states (U, d) -> (number wanted, d).

    Args:
        block: a CLIP encoder layer.
        states: (U, d), one a node.
        nodes: (N, L) node of each token.
        wanted: positions in the flattened (N * L) tokens whose states to compute.
    """
    attention = block.self_attn
    normed = block.layer_norm1(states)
    flat = nodes.flatten()

    def heads(projection: nn.Module) -> Tensor:
        """(N, heads, L, width of a head): what each token sees is laid out, what is projected is not."""
        laid_out = projection(normed).index_select(0, flat)
        return laid_out.view(*nodes.shape, attention.num_heads, attention.head_dim).transpose(1, 2)

    attended = F.scaled_dot_product_attention(
        heads(attention.q_proj), heads(attention.k_proj), heads(attention.v_proj), is_causal=True, scale=attention.scale
    )
    attended = attended.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, wanted)
    return finish_block(block, states.index_select(0, flat.index_select(0, wanted)), attended)


class CLIPImageEncoder(ImageEncoder):
    """CLIP's image tower (ViT).

    Args:
        model: the image tower with its projection.
        image_processor: its image processor.
        patch_embeddings: "value" replaces the last block's attention by its value path (MaskCLIP, arXiv 2112.01071,
            section 3.2), since plain last-layer patch tokens carry little local meaning; "correlative" by attention
            of queries to queries and of keys to keys (SCLIP, arXiv 2312.01597, section 3), and keeps the block's
            residual connection and MLP, as its authors do; "plain" takes the patch tokens as they are. The pooled
            embedding is the same in all.
    """

    model_class: ClassVar[str] = "CLIPModel"

    def __init__(
        self,
        model: PreTrainedModel,
        image_processor: Any,
        patch_embeddings: PatchEmbeddings = "value",
    ) -> None:
        super().__init__(model, image_processor)
        self.patch_embeddings = patch_embeddings

    @classmethod
    def from_pretrained(cls, name: str, patch_embeddings: PatchEmbeddings, **kwargs: Any) -> Self:
        """Loads the image half of a checkpoint; keywords as in transformers (revision, token, dtype, ...)."""
        model = load_half(cls.model_class, "vision", name, kwargs)
        hub_kwargs = split_loading_kwargs(kwargs)[1]
        return cls(
            model, AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **hub_kwargs), patch_embeddings
        )

    @property
    def patch_size(self) -> int:
        """Side of a patch: position embeddings are interpolated for photos of any number of patches."""
        size: int = self.model.vision_model.config.patch_size
        return size

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Images (B, 3, H, W) as unit vectors; of another size than the encoder's own, with interpolated positions."""
        vision = self.model.vision_model
        if self.patch_embeddings != "plain":
            states = vision.pre_layrnorm(vision.embeddings(pixel_values, interpolate_pos_encoding=True))
            for block in vision.encoder.layers[:-1]:
                states = block(states, None)
            states = self._last_block(states)
        else:
            states = vision(pixel_values, interpolate_pos_encoding=True).last_hidden_state
        embeddings = F.normalize(self.model.visual_projection(vision.post_layernorm(states)), dim=-1)
        return ImageEmbeddings(
            pooled=embeddings[:, 0],
            patches=embeddings[:, 1:],
            grid=(pixel_values.shape[-2] // self.patch_size, pixel_values.shape[-1] // self.patch_size),
        )

    def _last_block(self, states: Tensor) -> Tensor:
        """The last block, in which the class token attends to all and patches by their own rule: (B, 1 + P, d).

        Both paths in one pass: the patches' own attention, which nobody would use, is not computed.
        """
        block = self.model.vision_model.encoder.layers[-1]
        attention = block.self_attn
        normed = block.layer_norm1(states)
        values = attention.v_proj(normed)
        attended = F.scaled_dot_product_attention(
            split_heads(attention, attention.q_proj(normed[:, :1])),
            split_heads(attention, attention.k_proj(normed)),
            split_heads(attention, values),
            scale=attention.scale,
        )
        correlative = self.patch_embeddings == "correlative"
        patches = correlative_attention(attention, normed, first=1) if correlative else values[:, 1:]
        return finish_block(block, states, torch.cat([attended.transpose(1, 2).flatten(2), patches], dim=1))
