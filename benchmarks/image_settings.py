"""What other patch embeddings and larger photos cost: a CLIP of ViT-B/16's sizes, beside its bare image half."""

from __future__ import annotations

import json
import warnings
from typing import Any

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.clip import CLIPImageProcessorPil

from benchmarks.labeling_photos import photos
from benchmarks.measure import interleaved, ratios, spread
from wordsight.modeling.encoders.clip import CLIPImageEncoder

PLAIN = "bare forward, middle at 224"
# Name -> how wordsight's encoder is set.
SETTINGS: dict[str, dict[str, Any]] = {
    "value path, middle at 224": {"patch_embeddings": "value"},
    "value path, whole photo at 224": {"patch_embeddings": "value", "whole_photo": True},
    "correlative, whole photo at 224": {"patch_embeddings": "correlative", "whole_photo": True},
    "value path, whole photo at 336": {"patch_embeddings": "value", "whole_photo": True, "image_size": 336},
    "correlative, whole photo at 336": {"patch_embeddings": "correlative", "whole_photo": True, "image_size": 336},
}


def run(batch: int = 2, repeats: int = 3) -> dict[str, Any]:
    """Seconds for a batch of photos in memory, processing included, and the ratios to the bare model's."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(patch_size=16, projection_dim=512)  # else as ViT-B/32, transformers' default
    bare, processor = CLIPVisionModelWithProjection(config).eval(), CLIPImageProcessorPil()
    encoder, pictures = CLIPImageEncoder(bare, processor), photos(batch)
    encoders = {name: encoder.with_settings(**settings) for name, settings in SETTINGS.items()}

    def forward() -> None:
        with torch.no_grad():
            bare(processor(images=pictures, return_tensors="pt").pixel_values)

    def encode(one: CLIPImageEncoder) -> None:
        one(one.image_processor(images=pictures, return_tensors="pt").pixel_values)

    cases = {PLAIN: forward} | {name: lambda one=one: encode(one) for name, one in encoders.items()}  # type: ignore[misc]
    seconds = interleaved(cases, repeats)
    return {
        "batch": batch,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "photos_a_second": {name: spread([batch / value for value in values]) for name, values in seconds.items()},
        "ratios": {name: ratios(seconds[name], seconds[PLAIN]) for name in SETTINGS},
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(run()))
