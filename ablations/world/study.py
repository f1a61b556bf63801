"""What learned prompts bring in a world whose truth is known: every question a table, with seeds and intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import set_seed

from wordsight import (
    PromptTrainingArguments,
    WordsightForMultiLabelImageClassification,
    generate_texts,
    load_image_encoder,
    load_text_encoder,
    train_prompts,
)
from wordsight.modeling.encoders import TextEncoder
from wordsight.modeling.evaluation.methods import Method, MethodFactory
from wordsight.modeling.evaluation.options import ZERO_SHOT
from wordsight.modeling.evaluation.run import evaluate_methods
from wordsight.modeling.metrics import average_precisions, resampled_maps
from wordsight.pipelines.image_loader import photo_batches
from wordsight.utils.cache import fingerprint
from wordsight.utils.files import KNOWLEDGE

from .data import Photos, write_photos, write_texts
from .truth import World

SEEDS = (0, 1, 2)
SENTENCES = 3000
VALIDATION_PHOTOS, TEST_PHOTOS = 600, 1500
VALIDATION_SEED, TEST_SEED = 11, 12
Scores = NDArray[np.float32]
STANDARDIZED = ", standardized"


@dataclass
class Bench:
    """One encoder and one world, with the sentences and the photos of it.

    Attributes:
        world: the world.
        encoder: folder of the CLIP.
        out: folder for models.
        texts: folder of the sentences.
        photos: held-out photos.
        text_encoder: the encoder's text half, which all models share.
    """

    world: World
    encoder: Path
    out: Path
    texts: Path
    photos: Photos
    text_encoder: TextEncoder

    @classmethod
    def make(
        cls,
        world: World,
        encoder: Path,
        out: Path,
        *,
        photos: int,
        seed: int,
        sentences: int = SENTENCES,
        llm: str | None = None,
    ) -> Bench:
        """Writes sentences and photos, and loads the encoder.

        Args:
            world: what they are about.
            encoder: folder of the CLIP.
            out: folder for all of it.
            photos: how many.
            seed: of the photos.
            sentences: how many.
            llm: the language model that writes them, which knows the names alone; None for templates that know the
                world.
        """
        folder = out / world.kind
        if llm is None:
            texts = write_texts(world, sentences, folder / f"texts-{sentences}")
        elif not ((texts := folder / f"texts-{sentences}-{llm}") / KNOWLEDGE).is_file():
            generate_texts(world.categories, texts, llm=llm, sentences=sentences)
        held_out = write_photos(world, photos, folder / f"photos-{seed}", seed)
        return cls(world, encoder, folder / "models", texts, held_out, load_text_encoder(str(encoder)))

    def learn(self, seed: int = 0, groups: bool = False, **settings: Any) -> WordsightForMultiLabelImageClassification:
        """A model trained by `train_prompts`; one that is there is loaded.

        Args:
            seed: of the training.
            groups: whether it is told the planted groups.
            settings: of `PromptTrainingArguments`.
        """
        key = json.dumps([str(self.encoder), str(self.texts), seed, groups, settings])
        folder = self.out / fingerprint(key.encode())
        if (folder / "config.json").is_file():
            return WordsightForMultiLabelImageClassification.from_pretrained(folder)
        set_seed(seed)
        args = PromptTrainingArguments(
            output_dir=str(folder), seed=seed, report_to="none", disable_tqdm=True, **settings
        )
        return train_prompts(
            self.texts,
            folder,
            str(self.encoder),
            args=args,
            groups=self.world.groups() if groups else None,
            text_encoder=self.text_encoder,
        )

    def score(
        self,
        models: Sequence[tuple[str, WordsightForMultiLabelImageClassification]],
        baselines: Sequence[str] = tuple(ZERO_SHOT),
        **photo: Any,
    ) -> dict[str, Scores]:
        """Scores (N, K) of models and of baselines, from one pass.

        Each model has a row "NAME" and one of its global branch, "NAME, global"; each row another with scores
        standardized over a photo's categories, "..., standardized", as new models score by default.

        Args:
            models: name and model.
            baselines: of `METHODS`.
            photo: how photos are seen, if not as new models see them (see `load_image_encoder`).
        """
        first = models[0][1]
        methods: list[Method] = [MethodFactory(first, self.text_encoder).make(name) for name in baselines]
        for name, model in models:
            both = [F.normalize(e.detach(), dim=-1) for e in (model.global_embeddings, model.local_embeddings)]
            methods += [Method(name, *both), Method(f"{name}, global", both[0])]
        if photo:
            first.image_encoder = load_image_encoder(str(self.encoder), **photo)
        options = ("none", "images")
        found = evaluate_methods(first, methods, self.photos.dataset, photo_batches, options=options, resamples=1)
        suffixes = {"none": "", "images": STANDARDIZED}
        return {method + suffixes[option]: scores for (method, option), scores in found.scores.items()}


def best_zero_shot(scores: dict[str, Scores], labels: NDArray[np.int8]) -> str:
    """The zero-shot row with the highest mAP on these very photos, scores as they are or standardized."""
    rows = [name for name in scores if name.partition(",")[0] in ZERO_SHOT]
    return max(rows, key=lambda name: mean_ap(scores[name], labels))


def mean_ap(scores: Scores, labels: NDArray[np.int8]) -> float:
    """MAP in % over the categories that have positives."""
    present = (labels == 1).any(axis=0)
    return 100 * float(average_precisions(scores, labels)[present].mean())


def runs_of(name: str, scores: dict[str, Scores], which: str = STANDARDIZED) -> list[Scores]:
    """The scores of one variant's seeds: the rows "NAME SEED" and what comes after it, such as ", global"."""
    return [found for row, found in scores.items() if re.fullmatch(rf"{re.escape(name)} \d+{which}", row)]


def difference(
    runs: Sequence[Scores], others: Sequence[Scores], labels: NDArray[np.int8], resamples: int = 300
) -> tuple[float, float, float]:
    """By how many points the mean mAP of some runs is above that of others, and a 95% interval.

    A resample draws photos, for all runs the same, and runs on both sides (see `paired_difference`).

    Returns:
        The difference, and the interval's ends.
    """
    of_runs, of_others = np.mean([mean_ap(r, labels) for r in runs]), np.mean([mean_ap(o, labels) for o in others])
    resampled = 100 * np.stack(resampled_maps([*runs, *others], labels, 1, resamples, 0))
    rng = np.random.default_rng(1)
    first, second = (
        (rng.multinomial(len(side), np.full(len(side), 1 / len(side)), size=resamples) / len(side)).T
        for side in (runs, others)
    )
    drawn = (first * resampled[: len(runs)]).sum(axis=0) - (second * resampled[len(runs) :]).sum(axis=0)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(of_runs - of_others), float(low), float(high)


def shown(found: tuple[float, float, float]) -> str:
    """In points, with the interval: "+1.2 [+0.3, +2.1]"."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*found)


def over_seeds(runs: Sequence[Scores], labels: NDArray[np.int8]) -> str:
    """Mean and standard deviation of mAP over seeds."""
    maps = [mean_ap(run, labels) for run in runs]
    return f"{np.mean(maps):.1f} ± {np.std(maps, ddof=1):.1f}" if len(maps) > 1 else f"{maps[0]:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
