"""`wordsight calibrate`: fits the score standardization on unlabeled photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wordsight.modeling.evaluation.options import CALIBRATION_METHODS, FORMATS, STANDARDIZATIONS
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import load_libraries
from wordsight.utils.wording import counted

from .options import WORKERS_HELP, check_exists, check_out_folder


def calibrate(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Unlabeled photos, or folders of them.", metavar="PHOTOS...")
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(
            help="Score standardization to switch on: none, images, categories or sparc (see "
            "docs/how-to/calibrate.md); by default the model's own stays."
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="What to find on the photos: statistics of scores, or gda, a classifier of photos as well, that is "
            "mixed into the scores."
        ),
    ] = "statistics",
    data: Annotated[
        Path | None, typer.Option(help="In place of PHOTOS: labels of photos, as evaluate reads them.")
    ] = None,
    data_format: Annotated[
        str | None, typer.Option("--format", help=f"Of --data, by default jsonl; one of {', '.join(FORMATS)}.")
    ] = None,
    photos_folder: Annotated[
        Path | None, typer.Option("--photos", help="Folder of the photos, if they are not beside --data.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the calibrated model; by default MODEL itself.")] = None,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=0)] = None,
) -> None:
    """Fit a model's score standardization, or a classifier, on unlabeled photos, and save it with the model.

    --use switches the standardization on. Each category is then found on the same share of these photos as before.
    Measure first whether that helps: wordsight evaluate --scores all.

    Example: wordsight calibrate my-model holiday-photos/ --use categories

    --method gda fits a classifier to the photos that the model is sure of (Gaussian discriminant analysis). Categories
    that are found on fewer than 5 photos keep their own scores. Without it, a classifier of before is taken out.

    Example: wordsight calibrate my-model holiday-photos/ --method gda

    With --data, thresholds are fitted to labeled photos, such as corrected ones from Label Studio, CVAT or FiftyOne.
    Categories that fewer than 5 photos show, or fewer than 5 do not show, keep theirs.

    Example: wordsight calibrate my-model --data export.json --format label-studio --photos holiday-photos
    """
    if (data is None) == (not photos):
        raise InvalidInputError("Pass either unlabeled photos, or --data with labels of photos.")
    if data is not None:
        _on_labels(model, data, data_format or "jsonl", photos_folder, out, batch_size, num_workers, use, method)
        return
    assert photos is not None
    if data_format is not None or photos_folder is not None:
        raise InvalidInputError("--format and --photos are for --data, labels of photos. Omit them, or pass that.")
    if use is not None and use not in STANDARDIZATIONS:
        raise InvalidInputError(f"--use {use} is not known. Pass one of {', '.join(STANDARDIZATIONS)}.")
    if method not in CALIBRATION_METHODS:
        raise InvalidInputError(f"--method {method} is not known. Pass one of {', '.join(CALIBRATION_METHODS)}.")
    for path in photos:
        check_exists(path, "photo or folder")
    if out is not None:
        check_out_folder(out)
    load_libraries()
    from wordsight.pipelines.calibrate import calibrate_checkpoint

    gathered, folder = calibrate_checkpoint(model, photos, use, out, batch_size, num_workers, method)
    if gathered.unreadable:
        typer.echo(f"Skipped, since they can't be read: {', '.join(map(str, gathered.unreadable[:5]))}", err=True)
    standardization = gathered.score_standardization
    typer.echo(f"Statistics of {gathered.photos} photos in {folder}; score standardization: {standardization}")
    if method == "gda":
        categories, found = gathered.logits.shape[1], gathered.classified
        rest = "" if len(found) == categories else "; the others keep their own scores, found on fewer than 5 photos"
        typer.echo(f"A classifier of photos for {len(found)} of {categories} categories: {', '.join(found)}{rest}")


def _on_labels(
    model: str,
    data: Path,
    data_format: str,
    photos: Path | None,
    out: Path | None,
    batch_size: int,
    num_workers: int | None,
    use: str | None,
    method: str,
) -> None:
    """Checks the options of labeled photos, calibrates, and says what was fitted."""
    if use is not None or method != CALIBRATION_METHODS[0]:
        raise InvalidInputError("--use and --method are for unlabeled photos. Omit them, or calibrate a second time.")
    if data_format not in FORMATS:
        raise InvalidInputError(f"The format {data_format!r} is not known. Pass one of {', '.join(FORMATS)}.")
    check_exists(data, "file or folder")
    if photos is not None:
        check_exists(photos, "folder")
    if out is not None:
        check_out_folder(out)
    load_libraries()
    from wordsight.pipelines.calibrate_on_labels import calibrate_checkpoint_on_labels

    fitted, folder = calibrate_checkpoint_on_labels(model, data, data_format, photos, out, batch_size, num_workers)
    if fitted.unreadable:
        typer.echo(f"Skipped, since they can't be read: {', '.join(fitted.unreadable[:5])}", err=True)
    typer.echo(
        f"Thresholds of {counted(len(fitted.categories), 'category', 'categories')}, fitted to "
        f"{counted(fitted.photos, 'photo')}, in {folder}: "
        f"{', '.join(fitted.categories)}"
    )
