"""Labeling photos against transformers' zero-shot pipeline, and against the bare image encoder."""

from __future__ import annotations

import json
import time
import warnings
from functools import cache
from typing import Any

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from transformers import CLIPVisionModelWithProjection, pipeline

from benchmarks.corpus import category_names, model_config
from benchmarks.encoders import random_clip
from benchmarks.measure import in_new_process, interleaved, ratios, scratch_folder, slope, spread
from wordsight import WordsightForMultiLabelImageClassification, load_image_encoder, load_text_encoder
from wordsight.modeling.configuration_wordsight import TASK

CATEGORIES = 80
PEER = "zero-shot-image-classification"


@cache
def model_folder(encoder: str) -> str:
    """A wordsight model of 80 categories for an encoder; its prompts are zero, which takes no less time."""
    text = load_text_encoder(encoder)
    dim = text.pool_texts(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.long)).shape[-1]
    config = model_config(CATEGORIES, text.width, dim, (4, 4, 4, 4))
    config.encoder = encoder
    folder = str(scratch_folder())
    WordsightForMultiLabelImageClassification(config, load_image_encoder(encoder)).save_pretrained(folder)
    return folder


def photos(count: int) -> list[Image.Image]:
    """Photos of 640 x 427 pixels, from scikit-learn."""
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    return [pictures[number % len(pictures)] for number in range(count)]


def speed(batch: int, repeats: int) -> dict[str, Any]:
    """Seconds to label a batch of photos that are in memory already."""
    folder = str(random_clip())
    labeler = pipeline(TASK, model=model_folder(folder))
    peer = pipeline(PEER, model=folder)
    labels = category_names(CATEGORIES)
    bare, processor = CLIPVisionModelWithProjection.from_pretrained(folder).eval(), labeler.image_processor
    pictures = photos(batch)

    def forward() -> None:
        with torch.no_grad():
            bare(processor(images=pictures, return_tensors="pt").pixel_values)

    seconds = interleaved(
        {
            "ours": lambda: labeler(pictures, batch_size=batch),
            "zero-shot pipeline": lambda: peer(pictures, candidate_labels=labels, batch_size=batch),
            "bare forward and processing": forward,
        },
        repeats,
    )
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "zero-shot pipeline / ours": ratios(seconds["zero-shot pipeline"], seconds["ours"]),
        "ours / bare": ratios(seconds["ours"], seconds["bare forward and processing"]),
    }


def loading(repeats: int) -> dict[str, Any]:
    """Seconds from the start of Python to the first photo's labels, and memory, each in a process of its own."""
    folder = str(random_clip())
    arguments = {"ours": ("ours", model_folder(folder)), "zero-shot pipeline": ("peer", folder)}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments}
    for repeat in range(repeats + 1):  # the first warms the disk's cache
        for name, given in arguments.items():
            one = in_new_process("benchmarks.first_photo", *given)
            if repeat:
                found[name].append(one)
    seconds = {name: [one["seconds"] for one in runs] for name, runs in found.items()}
    return {
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "peak_bytes": {name: max(one["peak_bytes"] for one in runs) for name, runs in found.items()},
        "ours / zero-shot pipeline": ratios(seconds["ours"], seconds["zero-shot pipeline"]),
    }


def growth() -> dict[str, Any]:
    """Seconds to label 1 to 10,000 photos with the ImageNet encoder, 32 at a time."""
    labeler = pipeline(TASK, model=model_folder("imagenet"))
    labeler(photos(1))
    counts = (1, 10, 100, 1_000, 10_000)
    seconds = {}
    for count in counts:
        start = time.perf_counter()
        # A generator: what a user gives who has more photos than memory.
        for _ in labeler((photo for photo in photos(count)), batch_size=min(count, 32)):
            pass
        seconds[count] = time.perf_counter() - start
    return {"seconds": seconds, "slope": slope(counts, [*seconds.values()])}


def run(repeats: int = 5) -> dict[str, Any]:
    """All of it."""
    return {
        "batch 1": speed(1, 4 * repeats),
        "batch 32": speed(32, repeats),
        "loading": loading(repeats),
        "growth": growth(),
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(run()))
