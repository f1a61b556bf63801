"""A small CLIP, trained on the world from random weights, and kept in wordsight's cache."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.clip import CLIPImageProcessorPil

from wordsight.modeling.evaluation.methods import clip_templates
from wordsight.utils.cache import building, cache_dir, fingerprint

from .captions import caption, describe
from .scenes import HEIGHT, WIDTH, draw_scene
from .truth import NAMES, SYNONYMS, World

SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")
MEAN, STD = 0.48, 0.27
LONGEST = 48  # tokens of a text
VERSION = 1  # counts up when the same settings would give other weights


@dataclass(frozen=True)
class CLIPSettings:
    """How large a CLIP is, and how long it is trained.

    Attributes:
        patch_size: in pixels, of photos of 96 x 96.
        width: of both towers.
        vision_layers: of the image tower.
        text_layers: of the text tower.
        projection_dim: D, of the space that texts and photos share.
        scenes: how many different ones are drawn, half in the planted and half in the unplanted world.
        steps: of training; 0 leaves the weights random.
        batch_size: pairs of a step.
        learning_rate: at its highest.
        seed: of scenes, captions, weights and order.
    """

    patch_size: int = 16
    width: int = 128
    vision_layers: int = 4
    text_layers: int = 2
    projection_dim: int = 128
    scenes: int = 40_000
    steps: int = 2_000
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    seed: int = 0


LARGE = CLIPSettings()
SMALL = CLIPSettings(
    width=96,
    vision_layers=3,
    projection_dim=64,
    scenes=2_000,
    steps=120,
    batch_size=128,
    learning_rate=2e-3,
)


def trained_clip(settings: CLIPSettings, folder: Path | None = None) -> Path:
    """The folder of a CLIP with these settings, which is trained unless it is there.

    Args:
        settings: of the CLIP.
        folder: in which it is kept; by default wordsight's cache.
    """
    name = fingerprint(json.dumps([VERSION, asdict(settings)]).encode())
    target = (folder or cache_dir() / "world-clip") / name
    if not (target / "config.json").is_file():
        with building(target) as out:
            train_clip(settings, out)
    return target


def train_clip(settings: CLIPSettings, out: Path) -> None:
    """Trains a CLIP on captions of scenes with CLIP's own loss, and saves it as transformers does.

    Args:
        settings: of the CLIP.
        out: its folder; `training.json` beside it has the loss.
    """
    torch.manual_seed(settings.seed)
    pixels, captions = draw_pairs(settings)
    tokenizer = make_tokenizer([text for texts in captions for text in texts])
    model = make_model(settings, tokenizer)
    ids = tokenizer([text for texts in captions for text in texts], truncation=True, max_length=LONGEST)["input_ids"]
    per_scene = len(captions[0])
    log: list[dict[str, float]] = []
    optimizer, schedule = _optimizer(model, settings)
    begin = perf_counter()
    rng = np.random.default_rng([settings.seed, 3])
    for step, rows in enumerate(_batches(settings, rng)):
        texts = [ids[row * per_scene + int(rng.integers(per_scene))] for row in rows]
        batch = tokenizer.pad({"input_ids": texts}, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch, pixel_values=_crop(pixels[rows], rng), return_loss=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if step % 25 == 0:
            log.append({"step": step, "loss": loss.item(), "seconds": perf_counter() - begin})
            print(log[-1], flush=True)
    save_clip(model.eval(), tokenizer, out)
    (out / "training.json").write_text(json.dumps({"settings": asdict(settings), "log": log}), encoding="utf-8")


def draw_pairs(settings: CLIPSettings, captions: int = 4) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Scenes (N, 96, 144, 3), half in either world, and some captions of each."""
    rng = np.random.default_rng([settings.seed, 1])
    pixels = np.empty((settings.scenes, HEIGHT, WIDTH, 3), dtype=np.uint8)
    texts = []
    for row in range(settings.scenes):
        scene = draw_scene(World("unplanted" if row % 2 else "planted"), rng)
        pixels[row] = scene.pixels
        texts.append([caption(scene, rng) for _ in range(captions)])
    return pixels, texts


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the words in captions, CLIP's templates and descriptions; the others are one unknown word."""
    splitter, lower = Whitespace(), Lowercase()
    names = [*NAMES, *(name for names in SYNONYMS.values() for name in names)]
    more = [describe(World(kind), number)[0] for kind in ("planted", "unplanted") for number in range(500)]
    all_texts = [*names, *(name + "s" for name in names), *clip_templates(), *more, *texts]
    words = {word for text in all_texts for word, _ in splitter.pre_tokenize_str(lower.normalize_str(text))}
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *sorted(words)])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = lower, splitter
    ends = [(token, vocabulary[token]) for token in ("<start>", "<end>")]
    tokenizer.post_processor = TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=LONGEST,
    )


def make_model(settings: CLIPSettings, tokenizer: PreTrainedTokenizerBase) -> CLIPModel:
    """A CLIP with random weights."""
    tower = {
        "hidden_act": "relu",
        "hidden_size": settings.width,
        "intermediate_size": 4 * settings.width,
        "num_attention_heads": settings.width // 32,
    }
    text = tower | {
        "vocab_size": len(tokenizer),
        "num_hidden_layers": settings.text_layers,
        "max_position_embeddings": LONGEST,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = tower | {
        "num_hidden_layers": settings.vision_layers,
        "image_size": HEIGHT,
        "patch_size": settings.patch_size,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=settings.projection_dim)
    return CLIPModel._from_config(config, attn_implementation="eager")  # fused attention is slow to train on a CPU


def save_clip(model: CLIPModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Saves a CLIP with its tokenizer and image processor, which takes the square in the middle, as OpenAI's does."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    CLIPImageProcessorPil(
        size={"shortest_edge": HEIGHT},
        crop_size={"height": HEIGHT, "width": HEIGHT},
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    ).save_pretrained(out)


def untrained(settings: CLIPSettings) -> CLIPSettings:
    """The same without any training: the control. A few scenes have all the words there are."""
    return replace(settings, steps=0, scenes=min(settings.scenes, 2_000))


def _batches(settings: CLIPSettings, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of scenes, step by step; each epoch in another order."""
    order = np.empty(0, dtype=np.int64)
    for _ in range(settings.steps):
        if len(order) < settings.batch_size:
            order = rng.permutation(settings.scenes)
        yield np.sort(order[: settings.batch_size])
        order = order[settings.batch_size :]


def _crop(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """A square out of each scene, as the encoder sees it: what captions say may be outside of it, as in CLIP's data."""
    starts = rng.integers(WIDTH - HEIGHT + 1, size=len(pixels))
    squares = np.stack([scene[:, start : start + HEIGHT] for scene, start in zip(pixels, starts, strict=True)])
    return (torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def _optimizer(
    model: CLIPModel, settings: CLIPSettings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW as CLIP has it, with a warm-up and a cosine."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6)
    steps = max(settings.steps, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps, pct_start=0.06)
    return optimizer, schedule
