"""Calibration on labeled photos, such as those that were corrected in an annotation tool: thresholds that fit them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wordsight.modeling.calibration import MIN_EXAMPLES, fit_on_photos
from wordsight.modeling.evaluation.datasets import EvaluationDataset, load_labeled_photos
from wordsight.modeling.loading import load_model
from wordsight.modeling.memory import Pieces
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import progress_bar

from .calibrate import check_target, save_calibrated
from .image_loader import photo_batches


@dataclass(frozen=True)
class FittedThresholds:
    """What was fitted.

    Attributes:
        photos: how many could be read.
        unreadable: names of those that could not.
        categories: those that were fitted; the others keep their scores.
    """

    photos: int
    unreadable: list[str]
    categories: list[str]


@torch.no_grad()
def calibrate_on_labels(
    model: WordsightForMultiLabelImageClassification,
    dataset: EvaluationDataset,
    batch_size: int = 32,
    num_workers: int | None = None,
) -> FittedThresholds:
    """Fits each category's scale and threshold to labeled photos, so that scores are probabilities on photos like them.

    Categories that fewer than 5 photos show, or fewer than 5 do not show, keep what they have.

    Args:
        model: the model; changed.
        dataset: labeled photos, from `load_labeled_photos`.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.

    Raises:
        InvalidInputError: no category has enough photos.
    """
    config = model.config
    similarities, rows, unreadable = _similarities(model, dataset, batch_size, num_workers)
    fitted = fit_on_photos(
        similarities.numpy(), dataset.labels[rows], np.array(config.score_scale), np.array(config.score_threshold)
    )
    names = [name for name, is_fitted in zip(config.category_names, fitted[2], strict=True) if is_fitted]
    if not names:
        raise InvalidInputError(
            f"No category is shown by {MIN_EXAMPLES} of the {len(rows)} photos and absent from {MIN_EXAMPLES}, with "
            "scores that rise with it: there is nothing to fit. Pass more labeled photos."
        )
    model.set_calibration(fitted[0].tolist(), fitted[1].tolist())
    return FittedThresholds(len(rows), unreadable, names)


def calibrate_checkpoint_on_labels(
    model: str,
    data: Path,
    data_format: str,
    photos: Path | None = None,
    out: Path | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
) -> tuple[FittedThresholds, Path]:
    """`calibrate_on_labels` from folder to folder.

    Args:
        model: folder or Hub id.
        data: the labels; see `load_labeled_photos`.
        data_format: theirs.
        photos: folder of the photos, if they are not where the labels say.
        out: folder for the calibrated model; by default the model's own.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.

    Returns:
        What was fitted, and the folder that holds the calibrated model.

    Raises:
        InvalidInputError: as `calibrate_on_labels` and `load_labeled_photos`, or a model on the Hub without `out`.
    """
    target = out or check_target(model, out)
    loaded = load_model(model)
    dataset = load_labeled_photos(data, data_format, loaded.config.categories, photos_folder=photos)
    fitted = calibrate_on_labels(loaded, dataset, batch_size, num_workers)
    save_calibrated(loaded, target)
    return fitted, target


def _similarities(
    model: WordsightForMultiLabelImageClassification,
    dataset: EvaluationDataset,
    batch_size: int,
    num_workers: int | None,
) -> tuple[Tensor, list[int], list[str]]:
    """Scores before calibration (M, K) of the photos that can be read, their rows, and the names of the others."""
    assert model.image_encoder is not None
    photos, pieces = dataset.photos, Pieces()
    found: list[Tensor] = []
    rows: list[int] = []
    unreadable: list[str] = []

    def encode(pixels: Tensor) -> Any:
        return model.view_logits(pixels.to(model.device, non_blocking=True))

    batches = photo_batches(
        [photo.source for photo in photos],
        model.image_encoder.image_processor,
        batch_size,
        num_workers=num_workers,
        name_of=lambda row: photos[row].name,
        tiles=model.config.tiles,
    )
    with progress_bar("Reading photos", len(photos), "photo") as bar:
        for batch in batches:
            bar.update(len(batch))
            unreadable += [photos[row].name for row in batch.unreadable]
            pixels = batch.pixel_values
            if parts := pieces(lambda rows, pixels=pixels: encode(pixels[rows]), len(pixels)):  # type: ignore[misc]
                in_global, in_local, of_compounds = (torch.cat(of_pieces) for of_pieces in zip(*parts, strict=True))
                views = (torch.tensor(given, device=model.device) for given in (batch.num_views, batch.whole_weights))
                similarities = model.score_views(in_global, in_local, of_compounds, None, None, *views).similarities
                assert similarities is not None
                found.append(similarities.float().cpu())
                rows += batch.rows
    if not rows:
        raise InvalidInputError(f"None of the {len(photos)} photos can be read.")
    return torch.cat(found), rows, unreadable
