"""Photos through the image encoder, for the scores of all methods, on any number of processes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.progress import progress_bar

from ..encoders.base import ImageEncoder
from ..loading import make_accelerator
from ..memory import Pieces
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..photo_batches import PhotoReader
from ..scoring import combine_views, mix_branches
from ..tiling import Tiling
from .datasets import EvaluationDataset
from .methods import Method


class PhotoScores(NamedTuple):
    """What is known of N photos.

    Attributes:
        scores: raw logits (N, K) of each method.
        compounds: raw logits (N, P) of the compounds, by the image encoder of each method.
        features: (N, D) of the whole photos, or (N, 0) where no method needs them.
        read: (N,), which photos could be read.
    """

    scores: dict[str, NDArray[np.float32]]
    compounds: dict[str, NDArray[np.float32]]
    features: NDArray[np.float32]
    read: NDArray[np.bool_]

    def select(self, rows: NDArray[np.bool_]) -> PhotoScores:
        """Those of some photos."""
        if rows.all():
            return self
        scores = {name: of_method[rows] for name, of_method in self.scores.items()}
        once = {id(compounds): compounds[rows] for compounds in self.compounds.values()}  # methods share them
        compounds = {name: once[id(of_method)] for name, of_method in self.compounds.items()}
        return PhotoScores(scores, compounds, self.features[rows], self.read[rows])


def score_methods(
    model: WordsightForMultiLabelImageClassification,
    methods: list[Method],
    dataset: EvaluationDataset,
    read_photos: PhotoReader,
    batch_size: int,
    num_workers: int | None,
    tiles: Tiling,
) -> PhotoScores:
    """Scores photos by all methods, in one pass for each image encoder that they have; see `PhotoScores`.

    Batches, not photos, are dealt to processes: a batch is computed the same wherever it is, and the processes' rows
    are summed with the zeros of the others, so that the result is the same to the last bit on any number of processes.
    Of the photos, no more than these matrices is kept; their features only where a method is fitted to them.

    Args:
        model: the model, with its image encoder; moved to the process's device.
        methods: what to score by.
        dataset: N photos.
        read_photos: reads them, in batches.
        batch_size: photos at a time.
        num_workers: processes that read ahead; see `default_num_workers`.
        tiles: which parts of photos are scored beside the whole.
    """
    own = model.image_encoder
    assert own is not None
    groups: dict[int, tuple[ImageEncoder, list[Method]]] = {}
    for method in methods:
        encoder = method.encoder or own
        groups.setdefault(id(method.graph or encoder), (encoder, []))[1].append(method)
    passes = [
        _one_pass(model, encoder, group, dataset, read_photos, batch_size, num_workers, tiles)
        for encoder, group in groups.values()
    ]
    return PhotoScores(
        {name: scores for one in passes for name, scores in one.scores.items()},
        {name: compounds for one in passes for name, compounds in one.compounds.items()},
        max((one.features for one in passes), key=lambda features: features.shape[1]),
        np.logical_and.reduce([one.read for one in passes]),
    )


def _one_pass(
    model: WordsightForMultiLabelImageClassification,
    encoder: ImageEncoder,
    methods: list[Method],
    dataset: EvaluationDataset,
    read_photos: PhotoReader,
    batch_size: int,
    num_workers: int | None,
    tiles: Tiling,
) -> PhotoScores:
    """The methods that have this image encoder, or the same graph in its place; see `score_methods`."""
    accelerator = make_accelerator()
    for moved in (model, *(method.model for method in methods if method.model is not None)):
        moved.to(accelerator.device)
    count = len(dataset.photos)
    kept = model.config.projection_dim if any(method.fitted_for is not None for method in methods) else 0
    widths = [len(model.config.category_names)] * len(methods) + [len(model.config.compounds or ()), kept]
    matrices = [torch.zeros(count, width) for width in widths]
    read = torch.zeros(count, dtype=torch.int32)

    def encode(pixels: Tensor) -> list[Tensor]:
        if (graph := methods[0].graph) is not None:
            in_global, in_local, of_compounds = graph.view_logits(pixels)
            mixed = mix_branches(in_global, in_local, graph.config.local_weight)
            return [mixed, of_compounds, mixed[:, :0], mixed]
        image = encoder(pixels.to(accelerator.device, non_blocking=True))
        pooled, patches = image.pooled.to(model.dtype), image.patches.to(model.dtype)
        scores = [method.to(pooled).logits(pooled, patches, model) for method in methods]
        in_global, in_local, of_compounds = model.branch_logits(pooled, patches)
        mixed = mix_branches(in_global, in_local, model.config.local_weight)
        return [matrix.float().cpu() for matrix in (*scores, of_compounds, pooled, mixed)]

    pieces = Pieces()
    batches = read_photos(
        [photo.source for photo in dataset.photos],
        encoder.image_processor,
        batch_size,
        num_workers=num_workers,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
        name_of=lambda row: dataset.photos[row].name,
        tiles=tiles,
    )
    with progress_bar("Scoring photos", count, "photo", accelerator.is_main_process) as bar, torch.no_grad():
        for batch in batches:
            pixels = batch.pixel_values
            parts = pieces(lambda rows, pixels=pixels: encode(pixels[rows]), len(pixels))  # type: ignore[misc]
            if parts:
                *scores, of_compounds, pooled, mixed = (torch.cat(of_pieces) for of_pieces in zip(*parts, strict=True))
                views = (batch.num_views, batch.whole_weights)
                for matrix, of_method in zip(matrices, scores, strict=False):
                    matrix[batch.rows] = combine_views(of_method, *views)
                matrices[-2][batch.rows] = combine_views(of_compounds, *views, reference=mixed)
                if kept:
                    matrices[-1][batch.rows] = pooled[np.cumsum([0, *batch.num_views[:-1]])]
            read[batch.rows] = 1
            bar.update(min(batch_size * accelerator.num_processes, count - bar.n))
    if accelerator.num_processes > 1:
        # One at a time: accelerate copies what it sums.
        for number, matrix in enumerate(matrices):
            matrices[number] = accelerator.reduce(matrix.to(accelerator.device), "sum").cpu()
        read = accelerator.reduce(read.to(accelerator.device), "sum").cpu()
    *of_methods, compounds, features = (matrix.numpy() for matrix in matrices)
    by_name = dict(zip((method.name for method in methods), of_methods, strict=True))
    return PhotoScores(by_name, dict.fromkeys(by_name, compounds), features, read.numpy() > 0)
