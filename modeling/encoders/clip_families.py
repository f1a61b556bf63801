"""Families around CLIP's towers (MetaCLIP 2, Chinese-CLIP, AltCLIP): how they differ from CLIP, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from .base import TextEncoder
from .clip import CLIPImageEncoder, CLIPTextEncoder

if TYPE_CHECKING:
    from ..prompt_layout import PromptChunk


class MetaClip2TextEncoder(CLIPTextEncoder):
    """MetaCLIP 2's text tower (arXiv 2507.22062): CLIP's with a multilingual vocabulary."""

    model_class: ClassVar[str] = "MetaClip2Model"


class MetaClip2ImageEncoder(CLIPImageEncoder):
    """MetaCLIP 2's image tower."""

    model_class: ClassVar[str] = "MetaClip2Model"


class BertTextEncoder(CLIPTextEncoder):
    """A text tower in which tokens look both ways, pooled at the first; every token projected as the pooled one is."""

    def encode_prompts(self, prompts: PromptChunk, soft_tokens: Tensor) -> Tensor:
        """Prompts with their soft tokens (N, M, d) as unit vectors (N, D): what follows a token changes its states."""
        return TextEncoder.encode_prompts(self, prompts, soft_tokens)


class ChineseCLIPTextEncoder(BertTextEncoder):
    """Chinese-CLIP's text tower (arXiv 2211.01335): Chinese RoBERTa, trained on texts of up to 52 tokens."""

    model_class: ClassVar[str] = "ChineseCLIPModel"
    trained_length: ClassVar[int | None] = 52  # OFA-Sys/Chinese-CLIP, cn_clip/clip/utils.py


class ChineseCLIPImageEncoder(CLIPImageEncoder):
    """Chinese-CLIP's image tower."""

    model_class: ClassVar[str] = "ChineseCLIPModel"


class AltCLIPTextEncoder(BertTextEncoder):
    """AltCLIP's text tower (arXiv 2211.06679): XLM-R, taught by CLIP's own and so on texts of up to 77 tokens."""

    model_class: ClassVar[str] = "AltCLIPModel"
    trained_length: ClassVar[int | None] = 77


class AltCLIPImageEncoder(CLIPImageEncoder):
    """AltCLIP's image tower: CLIP's own."""

    model_class: ClassVar[str] = "AltCLIPModel"
