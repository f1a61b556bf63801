"""A training step against TaI-DPT's way of doing it, and how its cost grows with categories and sentences."""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from benchmarks.corpus import model_config, training_texts
from benchmarks.encoders import random_clip
from benchmarks.measure import Seconds, in_new_process, interleaved, peak_memory, ratios, scratch_folder, slope, spread
from wordsight.modeling.encoders import TextEncoder, load_text_encoder
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.prompt_layout import PromptLayout
from wordsight.modeling.prompts import HierarchicalPrompts, soft_token_keys
from wordsight.modeling.scoring import global_logits, local_logits, ranking_loss
from wordsight.modeling.training.settings import arguments_of
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
        self.config, self.sentences = trainer.model.config, trainer.train_dataset
        self.encoder = trainer.model.load_text_encoder()
        self.pad_to = pad_to
        self.prompts = HierarchicalPrompts(self.config)
        self.prompts.load_state_dict(trainer.model.prompts.state_dict())
        keys = soft_token_keys(self.config)
        self.chunk = PromptLayout(self.config.categories, keys, self.encoder).whole
        self.optimizer = torch.optim.AdamW(
            self.prompts.parameters(), lr=trainer.args.learning_rate, weight_decay=trainer.args.weight_decay
        )

    def loss(self, rows: np.ndarray[Any, Any]) -> torch.Tensor:
        """Mean ranking loss of some sentences, with gradient."""
        config, encoder = self.config, self.encoder
        inputs = encoder.tokenizer(
            [self.sentences.texts[row] for row in rows],
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
        labels = torch.from_numpy(self.sentences.labels[rows])
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


class StepClock(TrainerCallback):
    """Seconds of each step of Trainer's own loop, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_train_begin(self, *arguments: Any, **more: Any) -> None:
        """The first step has more to do: it is not counted."""
        self.seconds, self._last = [], None

    def on_step_end(self, *arguments: Any, **more: Any) -> None:
        """Ends a step."""
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def make_trainer(
    encoder: str, categories: int, sentences: int, tokens: tuple[int, int, int, int] = TOKENS, **settings: Any
) -> PromptTrainer:
    """A trainer as `wordsight train` makes it, on texts of templates; it does nothing but steps."""
    text_encoder = load_text_encoder(encoder)
    config = model_config(categories, text_encoder.width, text_encoder.projection_dim, tokens)
    model = WordsightForMultiLabelImageClassification(config, text_encoder=text_encoder)
    model.initialize_prompts()
    texts = training_texts(categories, sentences + 2)
    nothing = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
    folder = scratch_folder()
    args = arguments_of(
        {"batch_size": BATCH, "template_sentences": False, **settings},
        folder,
        feature_cache=str(folder / "features"),
        **nothing,
    )
    return PromptTrainer(
        model=model,
        args=args,
        train_dataset=texts.select(range(sentences)),
        eval_dataset=texts.select(range(sentences, sentences + 2)),
        callbacks=[StepClock()],
    )


def stepper(trainer: PromptTrainer) -> Callable[[], Seconds]:
    """What runs Trainer's own loop for two steps; gives the seconds of the second, everything in it."""
    trainer.args.max_steps = 2
    clock = next(found for found in trainer.callback_handler.callbacks if isinstance(found, StepClock))

    def step() -> Seconds:
        Trainer.train(trainer)
        return Seconds(clock.seconds[-1])

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
            layout = trainer.model.embedder.layout
            layout.encode = torch.compile(layout.encode)
    start = time.perf_counter()
    seconds = interleaved({"step": step}, arguments.repeats)["step"]
    first = time.perf_counter() - start - sum(seconds)
    return {"seconds": spread(seconds), "first_seconds": first, "peak_bytes": peak_memory()}


def _sentences(arguments: argparse.Namespace) -> dict[str, Any]:
    """Building the features of so many sentences, opening them again, and a step with them."""
    trainer = make_trainer(arguments.encoder, arguments.categories, arguments.sentences)
    sentences = trainer.train_dataset
    start = time.perf_counter()
    trainer.encode(sentences)
    built = time.perf_counter()
    sentences.features = None
    trainer.encode(sentences)
    opened = time.perf_counter()
    step = stepper(trainer)
    seconds = interleaved({"step": step}, 1)["step"]
    size = sum(path.stat().st_size for path in Path(str(trainer.args.feature_cache)).rglob("*.bin"))
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
