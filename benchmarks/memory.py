"""Labeling photos with a memory of sentences, against the same model without."""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from transformers import pipeline

from benchmarks.encoders import random_clip
from benchmarks.labeling_photos import model_folder, photos
from benchmarks.measure import interleaved, ratios, spread
from wordsight.modeling.configuration_wordsight import TASK
from wordsight.modeling.training.labeled_features import MEMORY_ROWS

BATCH = 32


def run(repeats: int = 5) -> dict[str, Any]:
    """Seconds to label a batch of photos that are in memory already, with CLIP's ViT-B/32."""
    folder = model_folder(str(random_clip()))
    plain, pulled = (pipeline(TASK, model=folder) for _ in range(2))
    drawn = torch.randn(MEMORY_ROWS, pulled.model.config.projection_dim, generator=torch.Generator().manual_seed(0))
    pulled.model.set_memory(F.normalize(drawn, dim=-1))
    pulled.model.config.memory_weight = 0.3
    pictures = photos(BATCH)
    seconds = interleaved(
        {
            "plain": lambda: plain(pictures, batch_size=BATCH),
            "with memory": lambda: pulled(pictures, batch_size=BATCH),
        },
        repeats,
    )
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "photos a second": {name: BATCH / spread(values)["median"] for name, values in seconds.items()},
        "with memory / plain": ratios(seconds["with memory"], seconds["plain"]),
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(run()))
