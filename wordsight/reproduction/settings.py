"""What is reproduced, and what is finished of it; light, so that `--help` need not import torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from wordsight.modeling.evaluation.options import METHODS
from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.files import read_json

Dataset = Literal["coco", "voc2007", "nuswide"]
DATASETS: tuple[Dataset, ...] = get_args(Dataset)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class ReproductionSettings:
    """One reproduction.

    Attributes:
        dataset: which photos and categories.
        data: the folder with the photos, as `wordsight evaluate --format` reads it.
        out: folder for sentences, models, figures and the table.
        encoder: Hub id, path, "imagenet-lite2" or "imagenet".
        revision: the encoder's revision on the Hub.
        llm: the language model (see `generate_texts`).
        base_url: servers that run one already.
        texts: sentences that are there already, in place of those of a language model.
        sentences: how many to write; by default as `generate_texts` does.
        seeds: of training.
        epochs: passes over the sentences; by default what suits the encoder.
        methods: what to measure (see `METHODS`).
    """

    dataset: Dataset
    data: Path
    out: Path
    encoder: str
    revision: str | None = None
    llm: str | None = None
    base_url: tuple[str, ...] = ()
    texts: Path | None = None
    sentences: int | None = None
    seeds: tuple[int, ...] = SEEDS
    epochs: int | None = None
    methods: tuple[str, ...] = tuple(METHODS)

    def check(self) -> None:
        """Raises InvalidInputError if something given can't be used."""
        if self.dataset not in DATASETS:
            raise InvalidInputError(f"{self.dataset!r} can't be reproduced. Pass one of {', '.join(DATASETS)}.")
        if not self.data.exists():
            raise InvalidInputError(f"--data: there is no {self.data}.")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InvalidInputError(f"--seeds needs different numbers, got {list(self.seeds)}.")
        if self.texts is not None and (self.llm or self.base_url or self.sentences):
            raise InvalidInputError("--texts are sentences that are there: omit --llm, --base-url and --sentences.")
        if self.texts is not None and not self.texts.is_dir():
            raise InvalidInputError(f"--texts: there is no folder {self.texts}.")

    @property
    def texts_folder(self) -> Path:
        """Where the sentences are or will be."""
        return self.texts if self.texts is not None else self.out / "texts"

    def model_folder(self, seed: int) -> Path:
        """Where a seed's model is or will be."""
        return self.out / f"seed-{seed}"

    def fixed(self) -> dict[str, Any]:
        """What all that is in a folder must have in common; seeds can be added, photos moved."""
        return {
            "dataset": self.dataset,
            "encoder": self.encoder,
            "revision": self.revision,
            "llm": self.llm,
            "base_url": list(self.base_url),
            "texts": None if self.texts is None else str(self.texts.resolve()),
            "sentences": self.sentences,
            "epochs": self.epochs,
        }


class Progress:
    """Which steps are finished, in `reproduction.json` of the folder.

    Args:
        settings: what is reproduced.

    Raises:
        InvalidInputError: the folder is of a reproduction with other settings.
    """

    def __init__(self, settings: ReproductionSettings) -> None:
        self.path = settings.out / "reproduction.json"
        self.fixed = settings.fixed()
        known = read_json(self.path)
        self.finished: list[str] = known.get("finished", [])
        other = [name for name, value in self.fixed.items() if known and known["settings"].get(name) != value]
        if other:
            raise InvalidInputError(
                f"{settings.out} is of a reproduction with another {', '.join(other)}. Pass another --out, or the same "
                "settings to go on."
            )

    def finish(self, step: str) -> None:
        """Keeps that a step is done."""
        self.finished.append(step)
        with writing(self.path, "run the same command again"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = {"settings": self.fixed, "finished": self.finished}
            self.path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
