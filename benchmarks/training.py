"""A training step against TaI-DPT's way of doing it, and how its cost grows with categories and sentences."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from benchmarks.corpus import model_config, training_texts
from benchmarks.encoders import random_clip
from benchmarks.measure import in_new_process, interleaved, peak_memory, ratios, scratch_folder, slope, spread
from wordsight.modeling.encoders import TextEncoder, load_text_encoder
from wordsight.modeling.prompt_layout import PromptLayout
from wordsight.modeling.prompts import HierarchicalPrompts, soft_token_keys
from wordsight.modeling.scoring import global_logits, local_logits, ranking_loss
from wordsight.modeling.training.arguments import TrainingConfig
from wordsight.modeling.training.trainer import PromptTrainer

BATCH = 512
TOKENS = (4, 4, 4, 4)


class ReferenceLoop:
    """TaI-DPT's step (arXiv 2211.12739, section 3), as its authors' code does it, for the same model.

    The step's sentences and all whole prompts go through the text encoder, and logits are computed at all positions of
    the padded sentences.

    Args:
        trainer: whose configuration, sentences and prompts (a copy) to take.
        pad_to: "max_length" pads sentences as TaI-DPT does (CLIP: 77 tokens); "longest" is kinder to it.
    """

    def __init__(self, trainer: PromptTrainer, pad_to: str = "longest") -> None:
        self.config, self.texts, self.encoder = trainer.model_config, trainer.texts, trainer.text_encoder
        self.pad_to = pad_to
        self.prompts = HierarchicalPrompts(self.config)
        self.prompts.load_state_dict(trainer.prompts.state_dict())
        keys = soft_token_keys(self.config)
        self.chunk = PromptLayout(self.config.category_names, keys, self.encoder).whole
        self.optimizer = torch.optim.AdamW(
            self.prompts.parameters(), lr=trainer.config.learning_rate, weight_decay=trainer.config.weight_decay
        )

    def loss(self, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """Mean ranking loss of some sentences, with gradient."""
        config, encoder = self.config, self.encoder
        inputs = encoder.tokenizer(
            [self.texts.train_texts[row] for row in rows],
            padding=self.pad_to,
            truncation=True,
            max_length=encoder.max_length,
            return_tensors="pt",
        )
        with torch.no_grad():
            sentences = encoder(inputs["input_ids"], inputs["attention_mask"])
        in_global, in_local = (
            TextEncoder.encode_prompts(encoder, self.chunk, branch())
            for branch in (self.prompts.global_branch, self.prompts.local_branch)
        )
        labels = torch.from_numpy(self.texts.train_labels[rows])
        scores_global = global_logits(sentences.pooled, in_global, config.logit_scale)
        scores_local = local_logits(
            sentences.tokens, in_local, config.logit_scale, config.local_temperature_text, sentences.mask
        )
        return ranking_loss(scores_global, labels, config.margin) + ranking_loss(scores_local, labels, config.margin)

    def step(self, rows: np.ndarray[Any, Any]) -> float:
        """One optimizer step; the loss before it."""
        loss = self.loss(rows)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())


def make_trainer(
    encoder: str, categories: int, sentences: int, tokens: tuple[int, int, int, int] = TOKENS, **settings: Any
) -> PromptTrainer:
    """A trainer as `wordsight train` makes it, on texts of templates."""
    text_encoder = load_text_encoder(encoder)
    dim = text_encoder.pool_texts(torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.long)).shape[-1]
    config = TrainingConfig.for_encoder(encoder, **{"batch_size": BATCH, **settings})
    return PromptTrainer(
        model_config(categories, text_encoder.width, dim, tokens),
        config,
        training_texts(categories, sentences),
        text_encoder,
        Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=config.mixed_precision),
        scratch_folder(),
    )


def stepper(trainer: PromptTrainer) -> Callable[[], float]:
    """What does one step of the trainer's own with the first sentences."""
    features = trainer.load_features()
    rows = np.arange(min(trainer.config.batch_size, len(trainer.texts.train_texts)))
    trainer.network.train()

    def step() -> float:
        loss = trainer._backward(rows, len(rows), 0, features)
        trainer.optimizer.step()
        trainer.scheduler.step()
        trainer.optimizer.zero_grad()
        return float(loss) / len(rows)

    return step


def steps(repeats: int) -> dict[str, Any]:
    """Seconds a step, ours and the reference's, both encoders."""
    rows = np.arange(BATCH)
    found: dict[str, Any] = {}
    for name, encoder in {"clip": str(random_clip()), "imagenet": "imagenet"}.items():
        trainer = make_trainer(encoder, 80, BATCH)
        flat = make_trainer(encoder, 80, BATCH, tokens=(16, 0, 0, 0))
        kind = ReferenceLoop(trainer)
        cases = {
            "ours": stepper(trainer),
            "ours, 16 tokens shared by all": stepper(flat),
            "reference, padded to the longest": lambda kind=kind: kind.step(rows),
        }
        if name == "clip":
            published = ReferenceLoop(trainer, "max_length")
            cases["reference, padded to 77 as published"] = lambda published=published: published.step(rows)
        seconds = interleaved(cases, repeats)
        found[name] = {
            "seconds": {case: spread(values) for case, values in seconds.items()},
            "ratios": {
                case: ratios(values, seconds["ours"]) for case, values in seconds.items() if case.startswith("ref")
            },
        }
    return found


def variants(repeats: int) -> dict[str, Any]:
    """Seconds a step in single precision and in bf16, each in a process of its own."""
    return {
        f"{encoder}, {precision}": in_new_process(
            *("benchmarks.training", "one", encoder, "80", str(BATCH)),
            *("--precision", precision, "--repeats", str(repeats)),
        )
        for encoder in ("clip", "imagenet")
        for precision in ("no", "bf16")
    }


def growth() -> dict[str, Any]:
    """Cost of a step by categories, and of building and reading the feature cache by sentences."""
    by_categories = {
        count: in_new_process("benchmarks.training", "one", "clip", str(count), str(BATCH), "--repeats", "1")
        for count in (20, 80, 320, 1000)
    }
    by_sentences = {
        count: in_new_process("benchmarks.training", "sentences", "imagenet", "80", str(count))
        for count in (1_000, 10_000, 100_000)
    }
    return {
        "categories": by_categories,
        "sentences": by_sentences,
        "slopes": {
            "step seconds by categories": slope(
                [*by_categories], [found["seconds"]["median"] for found in by_categories.values()]
            ),
            "feature seconds by sentences": slope([*by_sentences], [s["build_seconds"] for s in by_sentences.values()]),
            "step seconds by sentences": slope([*by_sentences], [s["step_seconds"] for s in by_sentences.values()]),
        },
    }


def _one(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ours (or the reference) alone: seconds a step, and the most memory the process had."""
    name = str(random_clip()) if arguments.encoder == "clip" else "imagenet"
    trainer = make_trainer(name, arguments.categories, arguments.sentences, mixed_precision=arguments.precision)
    if arguments.reference:
        loop, rows = ReferenceLoop(trainer), np.arange(BATCH)
        step: Callable[[], float] = lambda: loop.step(rows)  # noqa: E731
    else:
        step = stepper(trainer)
        if arguments.compile:
            layout = trainer.network.embedder.layout
            layout.encode = torch.compile(layout.encode)
    start = time.perf_counter()
    seconds = interleaved({"step": step}, arguments.repeats)["step"]
    first = time.perf_counter() - start - sum(seconds)
    return {"seconds": spread(seconds), "first_seconds": first, "peak_bytes": peak_memory()}


def _sentences(arguments: argparse.Namespace) -> dict[str, Any]:
    """Building the features of so many sentences, opening them again, and a step with them."""
    trainer = make_trainer(arguments.encoder, arguments.categories, arguments.sentences)
    trainer.feature_cache = trainer.out
    start = time.perf_counter()
    trainer.load_features()
    built = time.perf_counter()
    trainer.load_features()
    opened = time.perf_counter()
    step = stepper(trainer)
    seconds = interleaved({"step": step}, 1)["step"]
    size = sum(path.stat().st_size for path in trainer.out.rglob("*.npy"))
    return {
        "build_seconds": built - start,
        "open_seconds": opened - built,
        "step_seconds": seconds[0],
        "bytes": size,
        "peak_bytes": peak_memory(),
    }


def run(repeats: int = 3) -> dict[str, Any]:
    """All of it."""
    memory = {
        name: in_new_process("benchmarks.training", "one", "clip", "80", str(BATCH), "--repeats", "1", *flags)
        for name, flags in {"ours": [], "reference": ["--reference"]}.items()
    }
    return {
        "steps": steps(repeats),
        "peak_bytes": {name: found["peak_bytes"] for name, found in memory.items()},
        "variants": variants(repeats),
        "growth": growth(),
    }


def main() -> None:
    """`python -m benchmarks.training [one|sentences ...]`."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="run", choices=["run", "steps", "one", "sentences"])
    parser.add_argument("encoder", nargs="?", default="clip")
    parser.add_argument("categories", nargs="?", type=int, default=80)
    parser.add_argument("sentences", nargs="?", type=int, default=BATCH)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="no")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--reference", action="store_true")
    arguments = parser.parse_args()
    found = {
        "run": lambda: run(arguments.repeats),
        "steps": lambda: steps(arguments.repeats),
        "one": lambda: _one(arguments),
        "sentences": lambda: _sentences(arguments),
    }[arguments.what]()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
