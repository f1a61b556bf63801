"""How long each step takes on a GPU: arithmetic from sizes and assumed rates, no measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wordsight.modeling.evaluation.options import LEARNED_BASELINES

# Assumed of the GPU: what a large one sustains in float32, and what vLLM writes there with an LLM of about 8 billion
# parameters and 128 requests at once.
FLOPS = 10e12
LLM_TOKENS_A_SECOND = 2000
# Assumed of the sentences: tokens that are written for one that is kept, and for what is asked of a category first.
TOKENS_A_SENTENCE, TOKENS_A_CATEGORY = 60, 400
LLM_START = 120  # seconds
PHOTOS_DECODED_A_SECOND = 300  # by DataLoader workers on 8 cores
PROMPT_TOKENS = 22
TEMPLATES = 81  # CLIP's 80, and one
# Methods that take a pass over the photos of their own, and the patches they compute for one of the model's.
OWN_PASSES = {"correlative-patches": 1.0, "center-crop": 1.0, "large-photos": 2.25, "combined": 2.25}
ASSUMED = (
    f"Estimates for one GPU, by arithmetic and not measured: 2 operations a parameter and token, {FLOPS / 1e12:.0f} "
    f"TFLOP/s sustained in float32, an LLM of 8B parameters that writes {LLM_TOKENS_A_SECOND:,} tokens/s, "
    f"{PHOTOS_DECODED_A_SECOND} photos/s decoded. A CPU takes some hundred times as long."
)


@dataclass(frozen=True)
class Sizes:
    """What the steps' times follow from.

    Attributes:
        categories: K.
        sentences: to write, or that are there.
        photos: to score.
        text_parameters: of the text tower, without its vocabulary.
        image_parameters: of the image tower.
        positions: patches of a photo.
        epochs: of training.
        batch_size: sentences a step.
    """

    categories: int
    sentences: int
    photos: int
    text_parameters: int
    image_parameters: int
    positions: int
    epochs: int
    batch_size: int


def describing(sizes: Sizes) -> float:
    """Seconds in which an LLM describes all categories."""
    tokens = sizes.sentences * TOKENS_A_SENTENCE + sizes.categories * TOKENS_A_CATEGORY
    return LLM_START + tokens / LLM_TOKENS_A_SECOND


def training(sizes: Sizes) -> float:
    """Seconds of one training run: sentences once, prompts of both branches forth and back at each step."""
    steps = sizes.epochs * math.ceil(sizes.sentences / sizes.batch_size)
    prompts = 3 * 2 * sizes.categories * PROMPT_TOKENS * steps
    return 2 * sizes.text_parameters * (prompts + sizes.sentences * PROMPT_TOKENS) / FLOPS


def evaluating(sizes: Sizes, methods: Sequence[str]) -> float:
    """Seconds of the evaluation: the learned baselines, names in all templates, photos once or several times.

    Args:
        sizes: of what is evaluated.
        methods: what is measured (see `METHODS`).
    """
    learned = sum(method in LEARNED_BASELINES for method in methods) * training(sizes)
    templates = TEMPLATES if any("80" in method for method in methods) else 1
    names = 2 * sizes.text_parameters * 10 * sizes.categories * templates * PROMPT_TOKENS / FLOPS
    encoding = 2 * sizes.image_parameters * sizes.positions * sizes.photos / FLOPS
    passes = [1.0, *(OWN_PASSES[method] for method in methods if method in OWN_PASSES)]
    return learned + names + sum(max(sizes.photos / PHOTOS_DECODED_A_SECOND, of * encoding) for of in passes)


def in_words(seconds: float) -> str:
    """Seconds as "under a minute", "about 7 min" or "about 2.5 h"."""
    if seconds < 60:
        return "under a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
