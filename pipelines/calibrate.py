"""Calibration: what unlabeled photos say of a model's scores, kept in its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.modeling.loading import load_model
from wordsight.modeling.memory import Pieces
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.photo_classifier import FEWEST_CONFIDENT, fit_photo_classifier
from wordsight.modeling.score_statistics import fit_fusion_weights
from wordsight.modeling.scoring import combine_views, mix_branches
from wordsight.modeling.standardization import (
    SCORE_STANDARDIZATIONS,
    ScoreStandardization,
    ScoreStatistics,
    standardize_categories,
    standardize_images,
    standardize_scores,
)
from wordsight.utils.errors import InvalidInputError, check_not_empty, needs, writing
from wordsight.utils.files import drop_figures
from wordsight.utils.plugins import load_plugin
from wordsight.utils.progress import progress_bar

from .image_folders import find_photos
from .image_loader import photo_batches

with needs("train"):
    from sklearn.preprocessing import StandardScaler

CalibrationMethod = Literal["statistics", "gda"]
METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)
# Means and variances are streamed over all photos; directions and thresholds come from a sample of so many.
MAX_KEPT = 10_000
# Of two photos, each score is as far below the mean as the other is above it, whatever they show.
FEWEST_PHOTOS = 3
LEAST_SPREAD = 1e-4  # of scores that are standardized over categories, whose own is 1


@dataclass(frozen=True)
class PhotoScores:
    """What was gathered from photos.

    Attributes:
        photos: how many could be read.
        unreadable: paths that could not.
        scaler: streamed means and variances of K scores and P compound scores, after `standardize_images`.
        logits: (M, K), a sample's logits before any option.
        compound_logits: (M, P), the sample's.
        features: (M, D), the sample's unit vectors, of whole photos.
        classified: categories that a classifier was found for, where one was asked for.
        score_standardization: the model's from now on.
    """

    photos: int
    unreadable: list[Path]
    scaler: StandardScaler
    logits: Tensor
    compound_logits: Tensor
    features: Tensor
    classified: tuple[str, ...] = ()
    score_standardization: ScoreStandardization = "none"


@torch.no_grad()
def score_photos(
    model: WordsightForMultiLabelImageClassification,
    photos: Sequence[Path],
    batch_size: int = 32,
    seed: int = 0,
    progress: bool = True,
    num_workers: int | None = None,
) -> PhotoScores:
    """Streams photos through a model; see `PhotoScores`.

    Args:
        model: the model, with its image encoder.
        photos: paths.
        batch_size: photos at a time.
        seed: of the sample that is kept.
        progress: whether to show a progress bar.
        num_workers: processes that read ahead; see `default_num_workers`.
    """
    assert model.image_encoder is not None
    encoder = model.image_encoder
    scaler = StandardScaler()
    kept = set(np.random.default_rng(seed).permutation(len(photos))[:MAX_KEPT].tolist())
    logits, compound_logits, features, unreadable = [], [], [], []
    weight = model.config.local_weight

    def encode(pixels: Tensor) -> list[Tensor]:
        image = encoder(pixels.to(model.device, non_blocking=True))
        pooled = image.pooled.to(model.dtype)
        found = (*model.branch_logits(pooled, image.patches.to(model.dtype)), pooled)
        return [tensor.float().cpu() for tensor in found]

    pieces = Pieces()
    batches = photo_batches(
        photos,
        encoder.image_processor,
        batch_size,
        num_workers=num_workers,
        name_of=lambda row: str(photos[row]),
        tiles=model.config.tiles,
    )
    with progress_bar("Reading photos", len(photos), "photo", progress) as bar:
        for batch in batches:
            unreadable += [photos[row] for row in batch.unreadable]
            bar.update(len(batch))
            if not batch.rows:
                continue
            pixels = batch.pixel_values
            parts = pieces(lambda rows, pixels=pixels: encode(pixels[rows]), len(pixels))  # type: ignore[misc]
            in_global, in_local, of_compounds, pooled = (torch.cat(of_pieces) for of_pieces in zip(*parts, strict=True))
            whole = np.cumsum([0, *batch.num_views[:-1]])
            raw, views = mix_branches(in_global, in_local, weight), (batch.num_views, batch.whole_weights)
            of_compounds, raw = combine_views(of_compounds, *views, reference=raw), combine_views(raw, *views)
            standardized = standardize_images(torch.cat([raw, of_compounds], dim=1), raw)
            scaler.partial_fit(standardized.numpy())
            chosen = [position for position, row in enumerate(batch.rows) if row in kept]
            logits.append(raw[chosen])
            compound_logits.append(of_compounds[chosen])
            features.append(pooled[whole[chosen]])
    read = len(photos) - len(unreadable)
    if read < FEWEST_PHOTOS:
        raise InvalidInputError(
            f"{read} of {len(photos)} photos can be read; statistics need at least {FEWEST_PHOTOS}."
        )
    if np.sqrt(scaler.var_.max()) < LEAST_SPREAD:
        raise InvalidInputError(
            f"The {read} photos all get the same scores, as copies of one photo do: they say nothing of how scores "
            "spread. Pass photos of the kind that the model will label."
        )
    return PhotoScores(read, unreadable, scaler, torch.cat(logits), torch.cat(compound_logits), torch.cat(features))


@torch.no_grad()
def calibrate(
    model: WordsightForMultiLabelImageClassification,
    photos: Sequence[Path],
    use: ScoreStandardization | None = None,
    batch_size: int = 32,
    progress: bool = True,
    num_workers: int | None = None,
    method: CalibrationMethod = "statistics",
) -> PhotoScores:
    """Finds a model's score statistics on unlabeled photos, keeps them in it and switches the score standardization.

    Thresholds go with the scores: each category keeps the share of these photos that it was found on before.

    Args:
        model: the model; changed.
        photos: paths of unlabeled photos, of the kind that it will label.
        use: the score standardization from now on; by default the model's own.
        batch_size: photos at a time.
        progress: whether to show a progress bar.
        num_workers: processes that read ahead; see `default_num_workers`.
        method: "gda" also fits a classifier to the confidently scored photos (see `fit_photo_classifier`), which is
            mixed into the scores from then on; photos are read twice. "statistics" takes out what was fitted before.

    Raises:
        InvalidInputError: `use` or `method` is not known, the model can't have it, fewer than 3 photos can be read, all
            are the same, or no category has enough confidently scored photos for a classifier.

    Example:
        >>> from pathlib import Path
        >>> from wordsight import WordsightForMultiLabelImageClassification, calibrate
        >>> model = WordsightForMultiLabelImageClassification.from_pretrained("my-model")
        >>> calibrate(model, sorted(Path("photos").glob("*.jpg")), use="images").photos
        6
        >>> model.config.score_standardization
        'images'
    """
    config = model.config
    use = use or config.score_standardization
    check_options(config, use, method)
    read = partial(score_photos, model, photos, batch_size, progress=progress, num_workers=num_workers)
    members, gathered = config.compound_members(), read()
    logits = (gathered.logits, gathered.compound_logits)
    before = standardize_scores(config.score_standardization, *logits, members, model.score_statistics).numpy()
    found = (before >= np.array(config.score_threshold)).sum(axis=0)
    gathered = _fit_classifier(model, gathered, read, method, found)
    statistics = _statistics(gathered, members)
    model.set_score_statistics(statistics, gathered.photos)
    config.score_standardization = use
    after = standardize_scores(use, gathered.logits, gathered.compound_logits, members, statistics).numpy()
    threshold, scale = match_thresholds(before, after, np.array(config.score_threshold), np.array(config.score_scale))
    config.score_threshold, config.score_scale = threshold.tolist(), scale.tolist()
    config.validate()
    return replace(gathered, score_standardization=use)


def check_options(config: WordsightConfig, use: str, method: str) -> None:
    """Raises `InvalidInputError` where a model can't be calibrated so; see `calibrate`."""
    if use not in SCORE_STANDARDIZATIONS:
        raise InvalidInputError(
            f"Unknown score standardization {use!r}. Allowed are {', '.join(SCORE_STANDARDIZATIONS)}."
        )
    if method not in METHODS:
        raise InvalidInputError(f"Unknown calibration method {method!r}. Allowed are {', '.join(METHODS)}.")
    if use == "sparc" and not config.compounds:
        raise InvalidInputError("This model has no compound prompts: no training sentence mentioned two categories.")
    if len(config.category_names) < 2:
        raise InvalidInputError("A model of one category has no spread over categories to standardize.")


def _fit_classifier(
    model: WordsightForMultiLabelImageClassification,
    gathered: PhotoScores,
    read: Callable[[], PhotoScores],
    method: CalibrationMethod,
    found: NDArray[np.integer],
) -> PhotoScores:
    """Fits a classifier of photos, or takes one out, and reads the photos again where that changes scores.

    Args:
        model: the model; changed.
        gathered: what it says of the photos.
        read: gathers it again.
        method: see `calibrate`.
        found: (K,), how many of the sample each category is found on.
    """
    config = model.config
    if config.photo_classifier_weight:
        model.set_photo_classifier(None)  # it is confident of what it was fitted to
        gathered = read()
    if method == "statistics":
        return gathered
    classifier = fit_photo_classifier(gathered.features, gathered.logits, found)
    if not classifier.fitted.any():
        raise InvalidInputError(
            f"No category is found on {FEWEST_CONFIDENT} of the {gathered.photos} photos, so there is nothing to fit a "
            "classifier to. Pass more photos, of the kind that the model will label."
        )
    model.set_photo_classifier(classifier)
    names = zip(config.category_names, classifier.fitted.tolist(), strict=True)
    return replace(read(), classified=tuple(name for name, fitted in names if fitted))


def calibrate_checkpoint(
    model: str,
    photos: Sequence[Path],
    use: str | None = None,
    out: Path | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
    method: str = "statistics",
) -> tuple[PhotoScores, Path]:
    """`calibrate` from folder to folder.

    Args:
        model: folder or Hub id.
        photos: photos, and folders of photos.
        use: the score standardization from now on; by default the model's own.
        out: folder for the calibrated model; by default the model's own.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.
        method: "statistics", or "gda" for a classifier of photos as well.

    Returns:
        What was gathered, and the folder that holds the calibrated model.

    Raises:
        InvalidInputError: as `calibrate`, or a model on the Hub without a folder for the result.
    """
    source = check_target(model, out)
    found = find_photos(photos)
    loaded = load_model(model)
    options = {"num_workers": num_workers, "method": method}
    gathered = calibrate(loaded, found, use, batch_size, **options)  # type: ignore[arg-type]
    save_calibrated(loaded, out or source)
    return gathered, out or source


def check_target(model: str, out: Path | None) -> Path:
    """The model as a path; raises `InvalidInputError` if there is no folder that the calibrated one can be saved to."""
    check_not_empty(out, "out")
    source = Path(model)
    if out is None and not source.is_dir():
        raise InvalidInputError(
            f"{model} is on the Hub, so the calibrated model needs a folder of its own. Pass --out."
        )
    return source


def save_calibrated(model: WordsightForMultiLabelImageClassification, target: Path) -> None:
    """Saves a model with other scores, its side files and card; figures that were measured before are dropped."""
    with writing(target, "run the same command again"):
        model.save_pretrained(target)
        if fetch_side_files := load_plugin("fetch_side_files"):
            fetch_side_files(model, target, replace=True)
        drop_figures(target)  # they are of the scores before
        if write_card := load_plugin("write_card"):
            write_card(target)


def _statistics(gathered: PhotoScores, members: Sequence[Sequence[int]]) -> ScoreStatistics:
    """Streamed moments of all photos, fusion directions of the sample."""
    unbiased = gathered.scaler.var_ * gathered.photos / (gathered.photos - 1)
    mean, std = (torch.from_numpy(moment).float() for moment in (gathered.scaler.mean_, unbiased**0.5))
    sample = torch.cat([gathered.logits, gathered.compound_logits], dim=1)
    sample = standardize_categories(standardize_images(sample, gathered.logits), mean, std)
    categories = len(members)
    weights = fit_fusion_weights(sample[:, :categories], sample[:, categories:], members)
    return ScoreStatistics(mean[:categories], std[:categories], mean[categories:], std[categories:], weights)


def match_thresholds(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    threshold: NDArray[np.floating],
    scale: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds and scales for changed scores, so that each category keeps its share of photos above the threshold.

    Args:
        before: (N, K) scores that `threshold` (K,) and `scale` (K,) belong to.
        after: (N, K) scores of the same photos.
        threshold: where the old score is 0.5.
        scale: slope of the old score.
    """
    share = (before <= threshold).mean(axis=0)
    # Beyond the last photo, the distance in standard deviations is kept.
    spread = np.maximum(after.std(axis=0), 1e-6) / np.maximum(before.std(axis=0), 1e-6)
    matched = np.array([np.quantile(after[:, k], share[k]) for k in range(after.shape[1])])
    beyond = after.max(axis=0) + (threshold - before.max(axis=0)) * spread
    below = after.min(axis=0) + (threshold - before.min(axis=0)) * spread
    matched = np.where(share == 1, beyond, np.where(share == 0, below, matched))
    return matched, scale / spread
