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
    target = cache_dir() / "benchmarks" / "clip-vit-base-patch32-random"
    if target.is_dir():
        return target
    tokenizer = AutoTokenizer.from_pretrained(str(cached_imagenet_encoder()), model_max_length=77)
    text = {
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 32}, projection_dim=512)).eval()
    with building(target) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil().save_pretrained(folder)
    return target
