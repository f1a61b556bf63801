"""`wordsight encoder build`: the ImageNet encoder as a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER


def build(
    directory: Annotated[Path, typer.Argument(help="Folder for the encoder.", metavar="DIR")],
    name: Annotated[str, typer.Option(help="imagenet-lite2, or imagenet.")] = DEFAULT_ENCODER,
) -> None:
    """Build the ImageNet encoder: an ordinary transformers model directory.

    `--encoder imagenet-lite2` does this by itself, once, into the cache.

    Example: wordsight encoder build my-encoder --name imagenet
    """
    from wordsight.modeling.encoders.imagenet import build_imagenet_encoder
    from wordsight.modeling.imagenet_variants import IMAGENET_VARIANTS
    from wordsight.utils.errors import InvalidInputError

    if name not in IMAGENET_VARIANTS:
        raise InvalidInputError(f"There is no ImageNet encoder {name!r}; there are {', '.join(IMAGENET_VARIANTS)}.")
    typer.echo(f"The encoder is in {build_imagenet_encoder(directory, IMAGENET_VARIANTS[name])}")
