"""The questions of the study, each answered by one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wordsight import load_texts
from wordsight.modeling.evaluation.options import ZERO_SHOT

from .ceiling import ceiling
from .scenes import SIZES
from .study import (
    SEEDS,
    STANDARDIZED,
    TEST_PHOTOS,
    TEST_SEED,
    VALIDATION_PHOTOS,
    VALIDATION_SEED,
    Bench,
    best_zero_shot,
    difference,
    mean_ap,
    over_seeds,
    runs_of,
    shown,
    table,
)
from .truth import World

LLM, LLM_SENTENCES = "qwen2.5-0.5b", 2000
LEVELS = {"hierarchical": None, "flat": (16, 0, 0, 0), "category": (0, 0, 0, 16)}  # None: the default, 4 of each
KINDS = ("planted", "unplanted")
TOKENS = ("num_shared_tokens", "num_attribute_tokens", "num_cooccurrence_tokens", "num_category_tokens")
NOISES = (0.0, 0.3, 1.0, 3.0)
ZERO_SHOT_PAIR = ("zero-shot" + STANDARDIZED, "zero-shot-local" + STANDARDIZED)
VIEWS: dict[str, dict[str, Any]] = {
    "centre crop": {"whole_photo": False},
    "whole photo": {"whole_photo": True},
    "whole photo, 144 pixels": {"whole_photo": True, "image_size": 144},
}
GRID: dict[str, dict[str, Any]] = {
    "default": {},
    "the ranking loss alone": {"concept_weight": 0.0},
    "class concepts, weight 10": {"concept_weight": 10.0},
    "noise 0": {"noise": 0.0},
    "noise 1": {"noise": 1.0},
    "learning rate 1e-2": {"learning_rate": 1e-2},
    "names' embeddings, weight 1": {"prior_weight": 1.0},
    "names' embeddings, weight 1, learning rate 1e-2": {"prior_weight": 1.0, "learning_rate": 1e-2},
    "margin 0.3": {"margin": 0.3},
}


def test_bench(encoder: Path, out: Path, kind: str = "planted") -> Bench:
    """The photos on which results are reported."""
    return Bench.make(World(kind), encoder, out, photos=TEST_PHOTOS, seed=TEST_SEED)  # type: ignore[arg-type]


def against_zero_shot(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """Learned prompts beside all zero-shot rows, in both worlds; differences are to the best of those."""
    rows = []
    for kind in KINDS:
        bench = test_bench(encoder, out, kind)
        labels = bench.photos.dataset.labels
        models = [(f"learned {seed}", bench.learn(seed, **settings)) for seed in SEEDS]
        scores = bench.score(models, [*ZERO_SHOT, "names"])
        best = best_zero_shot(scores, labels)
        for name in (*ZERO_SHOT, "names"):
            maps = [f"{mean_ap(scores[row], labels):.1f}" for row in (name, name + STANDARDIZED)]
            rows.append([kind, name, *maps, "best" if name == best.partition(",")[0] else ""])
        for branch in (", global", ""):
            runs = [runs_of("learned", scores, branch + which) for which in ("", STANDARDIZED)]
            against = " / ".join(shown(difference(some, [scores[best]], labels)) for some in runs)
            rows.append([kind, f"learned{branch}", *(over_seeds(some, labels) for some in runs), against])
    return table(("world", "method", "mAP", "standardized", "to the best zero-shot row: as it is / standardized"), rows)


def levels(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """Hierarchical prompts, with the planted groups and with those found, beside flat and category-only ones."""
    rows = []
    for kind in KINDS:
        bench = test_bench(encoder, out, kind)
        labels, variants = bench.photos.dataset.labels, []
        for name, tokens in LEVELS.items():
            chosen = settings | (dict(zip(TOKENS, tokens, strict=True)) if tokens else {})
            for told in (True, False) if name == "hierarchical" else (False,):
                label = name + (", groups told" if told else ", groups found" if name == "hierarchical" else "")
                variants += [(f"{label} {seed}", bench.learn(seed, groups=told, **chosen)) for seed in SEEDS]
        scores = bench.score(variants, ())
        first = runs_of("hierarchical, groups told", scores)
        for label in dict.fromkeys(name.rpartition(" ")[0] for name, _ in variants):
            runs = runs_of(label, scores)
            less = "" if runs[0] is first[0] else shown(difference(first, runs, labels))
            rows.append([kind, label, over_seeds(runs, labels), less])
    return table(("world", "prompts", "mAP", "hierarchical, groups told, less this"), rows)


def sizes(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """The local branch for things of different sizes: mAP where only these count as present."""
    bench = test_bench(encoder, out)
    scores = bench.score([(f"learned {seed}", bench.learn(seed, **settings)) for seed in SEEDS])
    rows = []
    for size in SIZES:
        labels = bench.photos.labels_of(size=size)
        in_global, both = (runs_of("learned", scores, branch + STANDARDIZED) for branch in (", global", ""))
        zero = [f"{mean_ap(scores[name], labels):.1f}" for name in ZERO_SHOT_PAIR]
        more = shown(difference(both, in_global, labels))
        rows.append([size, *zero, over_seeds(in_global, labels), over_seeds(both, labels), more])
    head = ("things", "zero-shot, global", "zero-shot, both", "learned, global", "learned, both", "both less global")
    return table(head, rows)


def edges(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """A centre crop against the whole photo, for things that the crop keeps and those that it loses."""
    bench = test_bench(encoder, out)
    models = [(f"learned {seed}", bench.learn(seed, **settings)) for seed in SEEDS]
    seen = {name: bench.score(models, **photo) for name, photo in VIEWS.items()}
    cropped = runs_of("learned", seen["centre crop"])
    rows = []
    for part, at_edge in (("all", None), ("in the middle", False), ("at the edges", True)):
        labels = bench.photos.labels_of(at_edge=at_edge)
        for view, scores in seen.items():
            runs, zero_shot = runs_of("learned", scores), mean_ap(scores[ZERO_SHOT_PAIR[1]], labels)
            gained = "" if view == "centre crop" else shown(difference(runs, cropped, labels))
            rows.append([part, view, f"{zero_shot:.1f}", over_seeds(runs, labels), gained])
    return table(("things", "photo", "zero-shot, both", "learned, both", "learned, to the crop"), rows)


def noise(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """Noise on the sentences' features in training."""
    bench = test_bench(encoder, out)
    models = [
        (f"noise {level:g} {seed}", bench.learn(seed, **settings | {"noise": level}))
        for level in NOISES
        for seed in SEEDS
    ]
    scores, labels = bench.score(models), bench.photos.dataset.labels
    best = best_zero_shot(scores, labels)
    rows = []
    for level in NOISES:
        runs = runs_of(f"noise {level:g}", scores)
        rows.append([f"{level:g}", over_seeds(runs, labels), shown(difference(runs, [scores[best]], labels))])
    return table(("noise", "mAP", "to the best zero-shot row"), rows)


def modality_gap(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """How far apart photos and captions of the same scenes are in the common space (arXiv 2203.02053, section 2)."""
    from wordsight import load_image_encoder
    from wordsight.modeling.text_features import pooled_features

    from .captions import caption

    bench = test_bench(encoder, out)
    images = load_image_encoder(str(encoder))
    rng = np.random.default_rng(3)
    scenes = bench.photos.scenes
    texts = pooled_features([caption(scene, rng) for scene in scenes], bench.text_encoder)
    parts = [[scene.pixels for scene in scenes[start : start + 100]] for start in range(0, len(scenes), 100)]
    pixels = [images.image_processor(part, return_tensors="pt")["pixel_values"] for part in parts]
    photos = torch.cat([images(part).pooled for part in pixels])
    gap = (photos.mean(dim=0) - texts.mean(dim=0)).norm().item()
    matching = (photos * texts).sum(dim=1).mean().item()
    others = (photos @ texts.T).mean().item()
    rows = [
        ["distance of the means", f"{gap:.2f}"],
        ["cosine of a photo and its caption", f"{matching:.2f}"],
        ["cosine of a photo and any caption", f"{others:.2f}"],
        ["cosine of two photos", f"{(photos @ photos.T).mean().item():.2f}"],
        ["cosine of two captions", f"{(texts @ texts.T).mean().item():.2f}"],
    ]
    return table(("photos and captions", "value"), rows)


def grid(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """Settings of training on validation photos; the best is then measured on the test photos."""
    bench = Bench.make(World(), encoder, out, photos=VALIDATION_PHOTOS, seed=VALIDATION_SEED)
    models = [
        (f"{name} {seed}", bench.learn(seed, **settings | chosen)) for name, chosen in GRID.items() for seed in SEEDS
    ]
    scores, labels = bench.score(models), bench.photos.dataset.labels
    best = best_zero_shot(scores, labels)
    rows = [[f"best zero-shot row ({best})", "", f"{mean_ap(scores[best], labels):.1f}", ""]]
    for name in GRID:
        plain, standardized = runs_of(name, scores, ""), runs_of(name, scores)
        against = shown(difference(standardized, [scores[best]], labels))
        rows.append([name, over_seeds(plain, labels), over_seeds(standardized, labels), against])
    return table(("setting", "mAP", "standardized", "standardized, to the best zero-shot row"), rows)


def ceilings(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """Category embeddings in closed form, beside learned prompts and a supervised classifier; global branch."""
    return ceiling(test_bench(encoder, out), settings)


def descriptions(encoder: Path, out: Path, settings: dict[str, Any]) -> str:
    """A language model's sentences, which know the names alone, beside those of templates that know the world."""
    known = test_bench(encoder, out)
    written = Bench.make(
        known.world, encoder, out, photos=TEST_PHOTOS, seed=TEST_SEED, sentences=LLM_SENTENCES, llm=LLM
    )
    by = {"templates": known, LLM: written}
    models = [(f"{name} {seed}", bench.learn(seed, **settings)) for name, bench in by.items() for seed in SEEDS]
    scores, labels = known.score(models), known.photos.dataset.labels
    best = best_zero_shot(scores, labels)
    rows = [[best, "", f"{mean_ap(scores[best], labels):.1f}", ""]]
    for name, bench in by.items():
        unknown = f"{100 * _unknown_words(bench):.0f}%"
        for branch in (", global", ""):
            runs = runs_of(name, scores, branch)
            against = shown(difference(runs, [scores[best]], labels))
            rows.append([f"learned from sentences of {name}{branch}", unknown, over_seeds(runs, labels), against])
    return table(("prompts", "words that the CLIP does not know", "mAP", "to the best zero-shot row"), rows)


def _unknown_words(bench: Bench) -> float:
    """The share of words in the sentences that are not in the tokenizer's vocabulary."""
    tokenizer = bench.text_encoder.tokenizer
    tokens = [token for ids in tokenizer(list(load_texts(bench.texts)[0]["text"]))["input_ids"] for token in ids]
    return float(np.mean([token == tokenizer.unk_token_id for token in tokens]))


QUESTIONS: dict[str, Callable[[Path, Path, dict[str, Any]], str]] = {
    "gap": modality_gap,
    "grid": grid,
    "zero-shot": against_zero_shot,
    "ceilings": ceilings,
    "levels": levels,
    "sizes": sizes,
    "edges": edges,
    "noise": noise,
    "descriptions": descriptions,
}
