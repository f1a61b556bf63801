"""`wordsight accelerate-config`: ready-made configurations for accelerate launch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from wordsight.utils.errors import InvalidInputError


def accelerate_config(
    name: Annotated[str, typer.Argument(help="One of cpu, gpu-1, gpu-8, nodes-2.")],
) -> None:
    """Print the path of a ready-made configuration for accelerate launch.

    Example: accelerate launch --config_file "$(wordsight accelerate-config gpu-8)" -m wordsight train my-texts
    --out my-model
    """
    folder = Path(str(files("wordsight") / "accelerate_configs"))
    path = folder / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise InvalidInputError(f"There is no configuration {name!r}; there are {there}.")
    typer.echo(path)
