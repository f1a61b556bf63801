"""Memory and speed of `evaluate` by the number of photos; decoding and encoder are doubles, all else is real."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.clip import CLIPImageProcessorPil

from benchmarks.corpus import model_config
from benchmarks.measure import in_new_process, peak_memory
from wordsight.modeling.encoders.base import ImageEmbeddings, ImageEncoder
from wordsight.modeling.evaluation.datasets import EvaluationDataset, LabeledPhoto
from wordsight.modeling.evaluation.methods import Method
from wordsight.modeling.evaluation.run import Evaluation, evaluate_methods
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.standardization import SCORE_STANDARDIZATIONS
from wordsight.pipelines.image_loader import photo_batches

SIZES = (1_000, 5_000, 10_000, 40_000)
CATEGORIES, DIM, PATCHES, SIDE = 80, 64, 9, 8
WARM_UP = 200  # photos that are measured first: imports and constant costs are not what is asked


class _NoTower(PreTrainedModel):
    """A model of one weight, for what asks for its dtype and device."""

    config_class = PreTrainedConfig

    def __init__(self) -> None:
        super().__init__(PreTrainedConfig())
        self.weight = torch.nn.Parameter(torch.zeros(1))


class RandomFeatures(ImageEncoder):
    """In an encoder's place: random unit features, for no work."""

    def __init__(self) -> None:
        side = {"height": SIDE, "width": SIDE}
        processor = CLIPImageProcessorPil(size=side, crop_size=side, do_resize=False, do_center_crop=False)
        super().__init__(_NoTower(), processor)
        self.generator = torch.Generator().manual_seed(0)

    def encode(self, pixel_values: Tensor) -> ImageEmbeddings:
        """Features of so many photos, whatever they show."""
        drawn = torch.randn(len(pixel_values), 1 + PATCHES, DIM, generator=self.generator)
        features = F.normalize(drawn, dim=-1)
        return ImageEmbeddings(features[:, 0], features[:, 1:], (3, PATCHES // 3))


def _photo() -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE))


def make_benchmark(photos: int) -> EvaluationDataset:
    """So many photos with 3 of 80 labels on average."""
    labels = (np.random.default_rng(0).random((photos, CATEGORIES)) < 3 / CATEGORIES).astype(np.int8)
    nothing: frozenset[str] = frozenset()
    listed = [LabeledPhoto(f"{number}.jpg", _photo, nothing) for number in range(photos)]
    return EvaluationDataset("random", listed, labels, np.zeros_like(labels), [])


def make_model() -> WordsightForMultiLabelImageClassification:
    """A model of 80 categories with random embeddings, and compounds of neighbors."""
    config = model_config(CATEGORIES, DIM, DIM, (4, 4, 4, 4))
    names = config.category_names
    config.compounds = [list(pair) for pair in pairwise(names)]
    model = WordsightForMultiLabelImageClassification(config, RandomFeatures())
    for parameter in (model.global_embeddings, model.local_embeddings, model.compound_embeddings):
        parameter.data = F.normalize(torch.randn_like(parameter), dim=-1)
    return model.eval()


def matrices(evaluation: Evaluation, photos: int, compounds: int) -> int:
    """Bytes of the scores that an evaluation is about."""
    held = {id(scores): scores.nbytes for scores in evaluation.scores.values()}
    return sum(held.values()) + photos * compounds * 4


def measure(photos: int, options: tuple[str, ...]) -> dict[str, float]:
    """One evaluation: megabytes over what the process had before, and photos a second.

    Args:
        photos: how many.
        options: score standardizations.
    """
    torch.manual_seed(0)
    model = make_model()
    methods = [Method("learned", model.global_embeddings.data, model.local_embeddings.data)]
    evaluate_methods(model, methods, make_benchmark(WARM_UP), photo_batches, options=options)
    benchmark = make_benchmark(photos)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of imports, is forgotten
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    evaluation = evaluate_methods(model, methods, benchmark, photo_batches, options=options)
    seconds = time.perf_counter() - start
    extra = peak_memory() - before
    of_matrices = matrices(evaluation, photos, len(model.config.compounds or ()))
    return {
        "extra_mb": extra / 1e6,
        "matrices_mb": of_matrices / 1e6,
        "rest_mb": (extra - of_matrices) / 1e6,
        "photos_per_second": photos / seconds,
    }


def run(sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Each size in a process of its own, without score standardizations and with all; what grows, in bytes a photo."""
    found: dict[str, Any] = {}
    for name in ("none", "all"):
        measured = {size: in_new_process("benchmarks.evaluating", str(size), name) for size in sizes}
        rest = [1e6 * figures["rest_mb"] for figures in measured.values()]
        bytes_a_photo = float(np.polyfit(sizes, rest, 1)[0]) if len(sizes) > 1 else float("nan")
        found[name] = {"photos": measured, "rest_bytes_per_photo": bytes_a_photo}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=int, nargs="?", help="one size only, in this process")
    parser.add_argument("options", choices=["none", "all"], nargs="?", default="none")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if arguments.photos:
        print(
            json.dumps(measure(arguments.photos, SCORE_STANDARDIZATIONS if arguments.options == "all" else ("none",)))
        )
    else:
        print(json.dumps(run()))
