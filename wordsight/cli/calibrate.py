"""`wordsight calibrate`: fits the score standardization on unlabeled photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wordsight.modeling.evaluation.options import STANDARDIZATIONS
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import load_libraries

from .options import WORKERS_HELP, check_exists, check_out_folder


def calibrate(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    photos: Annotated[list[Path], typer.Argument(help="Unlabeled photos, or folders of them.", metavar="PHOTOS...")],
    use: Annotated[
        str,
        typer.Option(
            help="Score standardization to switch on: none, images, categories or sparc (see docs/how-to/calibrate.md)."
        ),
    ] = "none",
    out: Annotated[Path | None, typer.Option(help="Folder for the calibrated model; by default MODEL itself.")] = None,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=0)] = None,
) -> None:
    """Fit a model's score standardization on unlabeled photos, and save it with the model.

    --use switches the standardization on. Each category is then found on the same share of these photos as before.
    Measure first whether that helps: wordsight evaluate --scores all.

    Example: wordsight calibrate my-model holiday-photos/ --use categories
    """
    if use not in STANDARDIZATIONS:
        raise InvalidInputError(f"--use {use} is not known. Pass one of {', '.join(STANDARDIZATIONS)}.")
    for path in photos:
        check_exists(path, "photo or folder")
    if out is not None:
        check_out_folder(out)
    load_libraries()
    from wordsight.pipelines.calibrate import calibrate_checkpoint

    gathered, folder = calibrate_checkpoint(model, photos, use, out, batch_size, num_workers)
    if gathered.unreadable:
        typer.echo(f"Skipped, since they can't be read: {', '.join(map(str, gathered.unreadable[:5]))}", err=True)
    typer.echo(f"Statistics of {gathered.photos} photos in {folder}; score standardization: {use}")
