"""The encoders that are measured: CLIP of ViT-B/32's real sizes with random weights, and the ImageNet encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPModel
from transformers.models.clip import CLIPImageProcessorPil

from wordsight.modeling.encoders.imagenet import cached_imagenet_encoder
from wordsight.utils.cache import building, cache_dir


def random_clip() -> Path:
    """A folder with a `CLIPModel` of ViT-B/32's sizes; speed does not depend on what its weights are.

    Its tokenizer is the ImageNet encoder's word pieces, with their [CLS] and [SEP] as start and end: as with CLIP's
    own, a common word is one token.
    """
    return _random_clip("clip-vit-base-patch32-random", {}, {"patch_size": 32}, 512)


def tiny_clip() -> Path:
    """A folder with a CLIP so small that all but its forward pass takes the time."""
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return _random_clip("clip-tiny-random", small, small | {"image_size": 32, "patch_size": 8}, 32)


def _random_clip(name: str, text: dict[str, int], vision: dict[str, int], projection_dim: int) -> Path:
    target = cache_dir() / "benchmarks" / name
    if target.is_dir():
        return target
    tokenizer = AutoTokenizer.from_pretrained(str(cached_imagenet_encoder()), model_max_length=77)
    text = text | {
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection_dim)).eval()
    side = model.config.vision_config.image_size
    with building(target) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        size = {"height": side, "width": side}
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size).save_pretrained(folder)
    return target
