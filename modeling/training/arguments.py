"""Settings of a training run, checked at construction; light, so that `--help` need not import torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError

# What works depends on how the encoder's text and image sides relate, so defaults go by family; the figures behind
# them are in modeling/encoders/imagenet/README.md (offline) and TaI-DPT, section 4.1 (CLIP).
ENCODER_DEFAULTS: dict[str, dict[str, Any]] = {
    "imagenet": {
        "learning_rate": 3e-3,
        "epochs": 10,
        "batch_size": 256,
        "noise": 8.0,
        "prior_weight": 1.0,
        "mean_shift": True,
    },
    "clip": {
        "learning_rate": 2e-3,
        "epochs": 20,
        "batch_size": 512,
        "noise": 0.3,
        "prior_weight": 0.0,
        "mean_shift": False,
    },
}


@dataclass(frozen=True)
class TrainingConfig:
    """How prompts are learned from sentences (METHOD.md, section 4).

    Attributes:
        learning_rate: AdamW's, after warm-up.
        epochs: passes over the sentences.
        batch_size: sentences of one optimizer step, over all processes and accumulation steps together, so that the
            result does not depend on how many processes share the work.
        gradient_accumulation_steps: pieces that a step's sentences are cut into, to save memory.
        prompt_chunk_size: prompts that go through the text encoder at once. More categories are cut into chunks and go
            through it a second time for the gradient (gradient checkpointing), so that memory does not grow with them.
            0 for all at once.
        noise: norm of the Gaussian noise added to the unit text features, relative to their length; it closes part of
            the gap between texts and photos (METHOD.md, section 4). 0 for none.
        prior_weight: weight of the name's zero-shot embedding in the finished category embedding (`CategoryEmbedder`).
        mean_shift: whether the mean over categories is taken out of the finished category embeddings.
        warmup_ratio: share of the steps in which the learning rate grows.
        weight_decay: AdamW's.
        validation_share: share of the sentences held out for validation and calibration.
        template: words that the shared tokens start as; empty for random ones.
        template_sentences: whether to mix in "a photo of a {}." for each category name and synonym.
        mixed_precision: "no", "fp16" or "bf16", as in accelerate.
        seed: source of all randomness.
    """

    learning_rate: float = 3e-3
    epochs: int = 10
    batch_size: int = 256
    gradient_accumulation_steps: int = 1
    prompt_chunk_size: int = 256
    noise: float = 8.0
    prior_weight: float = 1.0
    mean_shift: bool = True
    warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    validation_share: float = 0.1
    template: str = "a photo of a"
    template_sentences: bool = True
    mixed_precision: str = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InvalidInputError: one is out of its range; names it.
        """
        limits = {
            "learning_rate": self.learning_rate > 0,
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 1,
            "gradient_accumulation_steps": 1 <= self.gradient_accumulation_steps <= self.batch_size,
            "prompt_chunk_size": self.prompt_chunk_size >= 0,
            "noise": self.noise >= 0,
            "prior_weight": self.prior_weight >= 0,
            "warmup_ratio": 0 <= self.warmup_ratio < 1,
            "weight_decay": self.weight_decay >= 0,
            "validation_share": 0 < self.validation_share < 1,
            "mixed_precision": self.mixed_precision in {"no", "fp16", "bf16"},
        }
        for name, fine in limits.items():
            if not fine:
                raise InvalidInputError(f"{name} can't be {getattr(self, name)!r}; see `wordsight train --help`.")

    @classmethod
    def for_encoder(cls, encoder: str, **given: Any) -> TrainingConfig:
        """The defaults for an encoder, with what the user gave (values that are not None) on top."""
        defaults = ENCODER_DEFAULTS["imagenet" if _is_imagenet(encoder) else "clip"]
        return cls(**defaults | {name: value for name, value in given.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """All settings, as JSON can hold them."""
        return asdict(self)


def _is_imagenet(encoder: str) -> bool:
    """Whether an encoder is the offline one, by its name or as `wordsight encoder build` wrote it."""
    path = Path(encoder) / "config.json"
    if encoder == "imagenet" or not path.is_file():
        return encoder == "imagenet"
    return json.loads(path.read_text(encoding="utf-8")).get("model_type") == "wordsight-offline"
