"""A model and the baselines on labeled photos: one pass through the image encoder, then every figure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import InvalidInputError
from wordsight.utils.progress import progress_bar

from ..metrics import average_precisions, bootstrap_interval, f1_scores, mean_average_precision, recall_at_labels, top_k
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..photo_batches import PhotoReader
from ..score_statistics import fit_statistics
from ..standardization import SCORE_STANDARDIZATIONS, standardize_scores
from ..tiling import Tiling, check_tiling
from .annotation_files import some
from .comparison import compare_to_zero_shot
from .datasets import SIZES, EvaluationDataset
from .methods import Method
from .photo_fits import fit_to_photos
from .photo_scores import score_methods
from .results import Evaluation, Result

TOP = 3


def evaluate_methods(
    model: WordsightForMultiLabelImageClassification,
    methods: list[Method],
    dataset: EvaluationDataset,
    read_photos: PhotoReader,
    *,
    options: tuple[str, ...] = SCORE_STANDARDIZATIONS,
    min_positives: int = 1,
    batch_size: int = 32,
    num_workers: int | None = None,
    strict: bool = False,
    resamples: int = 200,
    tiles: Tiling | None = None,
) -> Evaluation:
    """Scores photos by all methods from one pass through each image encoder, on any number of processes.

    Of the photos, no more than their scores is kept in memory.

    Args:
        model: the model, with its image encoder.
        methods: what to measure.
        dataset: labeled photos.
        read_photos: reads them, such as `wordsight.pipelines.image_loader.photo_batches`.
        options: score standardizations to measure each method with.
        min_positives: categories with fewer positives are not counted in the mean.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.
        strict: whether a photo that can't be read is an error.
        resamples: of the bootstrap.
        tiles: which parts of photos are scored beside the whole; by default as the model's config says.

    Raises:
        InvalidInputError: no category has a positive, or `strict`.
    """
    tiles = check_tiling(tiles or model.config.tiles)
    found = score_methods(model, methods, dataset, read_photos, batch_size, num_workers, tiles)
    dataset = _drop_unread(dataset, found.read, strict)
    found = found.select(found.read)
    raw = found.scores | fit_to_photos(methods, found)
    names, positives = model.config.category_names, (dataset.labels == 1).sum(axis=0)
    if not (positives >= max(min_positives, 1)).any():
        raise InvalidInputError(f"No category has {max(min_positives, 1)} positives: there is nothing to measure.")
    measuring = _Measuring(model, dataset, options, min_positives, resamples)
    results, scores = [], {}
    with progress_bar("Measuring", len(methods), "method") as bar:
        for method in methods:
            for option, changed in measuring.standardized(
                method, torch.from_numpy(raw[method.name]), torch.from_numpy(found.compounds[method.name])
            ):
                scores[method.name, option] = changed.numpy()
                results.append(measuring.result(method, option, changed.numpy()))
            bar.update()
    models = [method.name for method in methods if method.model is not None and method.graph is None]
    report = {
        "benchmark": dataset.name,
        "photos": len(dataset.labels),
        "notes": dataset.notes,
        "tiles": tiles,
        "min_positives": min_positives,
        "categories_left_out": [
            name for name, count in zip(names, positives, strict=True) if count < max(min_positives, 1)
        ],
        "positives": {name: int(count) for name, count in zip(names, positives, strict=True)},
        "positives_by_size": {size: int((dataset.sizes == index).sum()) for index, size in enumerate(SIZES, start=1)},
        "results": [asdict(result) for result in results],
        "comparison": compare_to_zero_shot(models, results, scores, dataset.labels, min_positives),
    }
    return Evaluation(dataset, names, results, scores, report)


def _drop_unread(dataset: EvaluationDataset, read: NDArray[np.bool_], strict: bool) -> EvaluationDataset:
    """A dataset without the photos that could not be read; says so."""
    if read.all():
        return dataset
    names = [photo.name for photo, fine in zip(dataset.photos, read, strict=True) if not fine]
    note = f"{len(names)} of {len(read)} photos can't be read: {some(names)}."
    if strict:
        raise InvalidInputError(f"{note} Fix or remove them, or omit --strict to go on without them.")
    if not read.any():
        raise InvalidInputError(note)
    warnings.warn(f"{note} They are not counted.", stacklevel=3)
    photos = [photo for photo, fine in zip(dataset.photos, read, strict=True) if fine]
    labels, sizes = dataset.labels[read], dataset.sizes[read]
    return replace(dataset, photos=photos, labels=labels, sizes=sizes, notes=[*dataset.notes, note])


@dataclass(frozen=True)
class _Measuring:
    """What all rows of the table are measured with."""

    model: WordsightForMultiLabelImageClassification
    dataset: EvaluationDataset
    options: tuple[str, ...]
    min_positives: int
    resamples: int

    def standardized(self, method: Method, raw: Tensor, compounds: Tensor) -> Iterator[tuple[str, Tensor]]:
        """A method's scores (N, K), compounds' (N, P) beside, under each standardization that is possible here."""
        config = self.model.config
        members = config.compound_members()
        several = len(config.category_names) > 1 and len(raw) > 1
        usable = [o for o in self.options if o == "none" or (several and (o != "sparc" or any(members)))]
        statistics = fit_statistics(raw, compounds, members) if set(usable) - {"none"} else None
        own = "none" if method.model is None else method.model.config.score_standardization
        for option in usable:
            if option == own == "images":
                continue  # it takes no statistics of these photos: the checkpoint's, below
            yield option, standardize_scores(option, raw, compounds, members, statistics)  # type: ignore[arg-type]
        if method.model is not None and own != "none":
            yield "checkpoint", standardize_scores(own, raw, compounds, members, method.model.score_statistics)

    def result(self, method: Method, option: str, scores: NDArray[np.float32]) -> Result:
        """One row of the table."""
        labels, sizes = self.dataset.labels, self.dataset.sizes
        best, ap = top_k(scores, TOP), average_precisions(scores, labels)
        thresholds = self._thresholds(method, option)
        return Result(
            method=method.name,
            score_standardization=option,
            map=mean_average_precision(scores, labels, self.min_positives),
            interval=bootstrap_interval(scores, labels, self.min_positives, self.resamples),
            ap={
                name: float(value)
                for name, value in zip(self.model.config.category_names, ap, strict=True)
                if not np.isnan(value)
            },
            top=asdict(f1_scores(best, labels)),
            thresholds=None if thresholds is None else asdict(f1_scores(scores >= thresholds, labels)),
            recall_at_labels=recall_at_labels(self._as_labeled(method, thresholds, scores), labels),
            recall_by_size={
                size: float(best[sizes == index].mean())
                for index, size in enumerate(SIZES, start=1)
                if (sizes == index).any()
            },
        )

    def _as_labeled(
        self, method: Method, thresholds: NDArray[np.floating] | None, scores: NDArray[np.float32]
    ) -> NDArray[np.floating]:
        """Scores (N, K) in the order of the pipeline's, which are calibrated, where the method has a calibration."""
        if thresholds is None or method.model is None:
            return scores
        return np.array(method.model.config.score_scale) * (scores - thresholds)

    def _thresholds(self, method: Method, option: str) -> NDArray[np.floating] | None:
        if option == "checkpoint" and method.model is not None:
            return np.array(method.model.config.score_threshold)
        return method.thresholds.numpy() if method.thresholds is not None and option == "none" else None
