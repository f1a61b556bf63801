"""`wordsight encoder build`: the ImageNet encoder as a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(directory: Annotated[Path, typer.Argument(help="Folder for the encoder.", metavar="DIR")]) -> None:
    """Build the ImageNet encoder: an ordinary transformers model directory.

    `--encoder imagenet` does this by itself, once, into the cache.

    Example: wordsight encoder build my-encoder
    """
    from wordsight.modeling.encoders.imagenet import build_imagenet_encoder

    typer.echo(f"The encoder is in {build_imagenet_encoder(directory)}")
