"""What the image towers of CLIP and SigLIP have in common: blocks of attention and MLP, whose parts are named alike."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def split_heads(attention: Any, projected: Tensor) -> Tensor:
    """Queries, keys or values (B, L, d) by heads: (B, heads, L, width of a head)."""
    return projected.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def finish_block(block: Any, states: Tensor, attended: Tensor) -> Tensor:
    """What a block does after attention: states and attended values (..., d) -> (..., d)."""
    states = states + block.self_attn.out_proj(attended)
    output: Tensor = states + block.mlp(block.layer_norm2(states))
    return output


def correlative_attention(attention: Any, normed: Tensor, first: int = 0) -> Tensor:
    """Correlative self-attention: (softmax(q q^t / s) + softmax(k k^t / s)) v (SCLIP, arXiv 2312.01597, section 3).

    A position attends to those that are like itself, by its query and by its key, and not to what all attend to. The
    two are summed, not averaged, as in the authors' code.

    Args:
        attention: a block's self-attention; s is the square root of the width of a head.
        normed: (B, L, d), what the block's attention gets.
        first: the first position that is asked for; all are attended to.

    Returns:
        (B, L - first, d), before the output projection.
    """
    queries, keys, values = (
        split_heads(attention, projection(normed))
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    of_queries, of_keys = (
        F.scaled_dot_product_attention(states[:, :, first:], states, values, scale=attention.scale)
        for states in (queries, keys)
    )
    return (of_queries + of_keys).transpose(1, 2).flatten(2)
