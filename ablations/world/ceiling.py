"""How much there is to learn: category embeddings in closed form, learned prompts and a supervised classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wordsight import load_image_encoder, load_texts
from wordsight.modeling.category_embeddings import zero_shot_embeddings
from wordsight.modeling.text_features import pooled_features

from .data import Photos
from .study import SEEDS, VALIDATION_PHOTOS, VALIDATION_SEED, Bench, over_seeds, table

RIDGES = (0.1, 1.0, 10.0)  # times the mean eigenvalue of the features' covariance
BATCH = 100


def ceiling(bench: Bench, settings: dict[str, Any]) -> str:
    """The global branch with embeddings from names, from sentences in closed form, from prompts, and from labels.

    Args:
        bench: the photos to measure on.
        settings: of the learned prompts.
    """
    photos, labels = photo_features(bench.encoder, bench.photos), bench.photos.dataset.labels
    texts, _ = load_texts(bench.texts)
    sentences = pooled_features(texts["text"], bench.text_encoder)
    mentions = torch.tensor(texts["labels"], dtype=torch.float64)
    means = F.normalize((mentions.float().T @ sentences) / mentions.float().sum(dim=0)[:, None], dim=-1)
    seen = Bench.make(bench.world, bench.encoder, bench.out.parents[1], photos=VALIDATION_PHOTOS, seed=VALIDATION_SEED)
    labeled = photo_features(bench.encoder, seen.photos), torch.from_numpy(seen.photos.dataset.labels)
    learned = [F.normalize(bench.learn(seed, **settings).global_embeddings.detach(), dim=-1) for seed in SEEDS]
    rows: dict[str, Sequence[Tensor]] = {
        "names in one template": [zero_shot_embeddings(bench.world.categories, bench.text_encoder)],
        "mean of the sentences that mention it": [means],
        "the same less the mean of all sentences": [means - sentences.mean(dim=0)],
        **{f"ridge on sentences, {penalty:g}": [ridge(sentences, mentions, penalty)] for penalty in RIDGES},
        "learned prompts": learned,
        f"ridge on {len(labeled[0])} labeled photos, 1": [ridge(*labeled, 1.0)],
    }
    lines = []
    for name, embeddings in rows.items():
        runs = [photos @ embedding.T for embedding in embeddings]
        standardized = [(run - run.mean(dim=1, keepdim=True)) / run.std(dim=1, keepdim=True) for run in runs]
        lines.append([name, *(over_seeds([run.numpy() for run in some], labels) for some in (runs, standardized))])
    return table(("global branch", "mAP", "standardized"), lines)


def photo_features(encoder: Path, photos: Photos) -> Tensor:
    """Embeddings (N, D) of whole photos."""
    images = load_image_encoder(str(encoder), whole_photo=True)
    scenes = photos.scenes
    parts = [[scene.pixels for scene in scenes[start : start + BATCH]] for start in range(0, len(scenes), BATCH)]
    return torch.cat(
        [images(images.image_processor(part, return_tensors="pt")["pixel_values"]).pooled for part in parts]
    )


def ridge(features: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Weights (K, D) of ridge regression from features (N, D) to labels (N, K), both centered."""
    inputs, targets = (part.double() - part.double().mean(dim=0) for part in (features, labels))
    covariance = inputs.T @ inputs / len(inputs)
    covariance += penalty * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
    return torch.linalg.solve(covariance, inputs.T @ targets / len(inputs)).T.float()
