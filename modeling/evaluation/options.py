"""What `wordsight evaluate` can be asked for; light, so that `--help` need not import torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from wordsight.utils.errors import InvalidInputError

from ..onnx.files import BACKENDS

Format = Literal[
    "jsonl",
    "voc2007",
    "voc2012",
    "coco",
    "nuswide",
    "datasets",
    "csv",
    "parquet",
    "label-studio",
    "cvat",
    "fiftyone",
]
FORMATS: tuple[Format, ...] = get_args(Format)
LAYOUT = re.compile(r"([1-9])x([1-9])")  # columns x rows of a mosaic
# As `wordsight.modeling.standardization`, which takes torch, has them.
STANDARDIZATIONS = ("none", "images", "categories", "sparc")
# As `wordsight.pipelines.calibrate` has them.
CALIBRATION_METHODS = ("statistics", "gda")

# Method -> what it is, for those that learn nothing.
ZERO_SHOT = {
    "zero-shot": "one template, global branch",
    "zero-shot-80": "80 templates, global branch",
    "zero-shot-local": "one template, both branches",
    "zero-shot-80-local": "80 templates, both branches",
    "zero-shot-80-synonyms": "80 templates, both branches, synonyms",
}
# Method -> what it is. "learned" is the model itself; flat and category learn from sentences, token counts beside.
METHODS = {
    "zero-shot": 'the name in "a photo of a {}.", global branch',
    "zero-shot-80": "CLIP's 80 templates averaged, global branch",
    "zero-shot-local": "zero-shot with the local branch (CLIP-DPT)",
    "zero-shot-80-local": "zero-shot-80 with the local branch",
    "zero-shot-80-synonyms": "zero-shot-80-local with synonyms: half the name, half the mean of all names",
    "names": "the model's embeddings without prompts: names, synonyms, mean shift; both branches",
    "concepts": "each category's mean sentence, photos told in sentences; both branches; needs --texts",
    "comc": "a classifier trained on sentences, photos pulled towards them, best patch (CoMC); needs --texts",
    "flat": "16 tokens shared by all categories (TaI-DPT), both branches; needs --texts",
    "category": "16 tokens of each category alone, both branches; needs --texts",
    "correlative-prompts": 'the model with "A photo of a {} often includes a {}, a {}." at weight 0.5 (DualPrompt)',
    "correlative-patches": "the model with patches by attention to what is alike (SCLIP)",
    "center-crop": "the model on the middle of photos, as CLIP prepares them",
    "large-photos": "the model on whole photos at 1.5 times the size",
    "combined": "large photos, correlative patches and correlative prompts",
    "prompts": "the model's prompts alone, without names' embeddings and mean shift; both branches",
    "learned-global": "the model, global branch alone",
    "gda": "the model with a classifier of the measured photos, fitted without their labels (GDA)",
    "learned": "the model",
}
# Those that are a model's own: several models have one of each.
OWN_METHODS = ("prompts", "learned-global", "gda", "learned")
DEFAULT_METHODS = ",".join(["learned", *ZERO_SHOT])
LEARNED_BASELINES = {"flat": (16, 0, 0, 0), "category": (0, 0, 0, 16)}
# Made of sentences' features alone: no prompt, and no settings of the model's training.
SENTENCE_BASELINES = ("concepts", "comc")
# Those that change the image half, or need to know what is seen together: not for every model. Of several models, the
# first has one.
PATCH_METHODS = ("correlative-patches", "combined")
LARGE_METHODS = ("large-photos", "combined")
CORRELATIVE_METHODS = ("correlative-prompts", "combined")
CHANGED_METHODS = ("correlative-prompts", "correlative-patches", "center-crop", "large-photos", "combined")


def parse_methods(given: str, texts: Path | None = None) -> list[str]:
    """Comma-separated names, or "all", in the order of `METHODS`.

    Args:
        given: the names.
        texts: folder of sentences, which some methods learn from.

    Raises:
        InvalidInputError: a name is not known, or a method has no sentences to learn from.
    """
    names = list(METHODS) if given == "all" else [name.strip() for name in given.split(",") if name.strip()]
    if unknown := [name for name in names if name not in METHODS] or ([] if names else [given]):
        raise InvalidInputError(f"No method {unknown[0]!r}. There are {', '.join(METHODS)}; or all of them: all.")
    if texts is None and (learning := [name for name in (*SENTENCE_BASELINES, *LEARNED_BASELINES) if name in names]):
        raise InvalidInputError(
            f"The method {learning[0]!r} needs sentences. Pass the folder that `wordsight describe` wrote: "
            "--texts DIR; or name other methods."
        )
    if texts is not None and not texts.exists():
        raise InvalidInputError(f"--texts: there is no {texts}.")
    return [name for name in METHODS if name in names]


def model_labels(models: Sequence[str]) -> list[str]:
    """What tells models apart in the table: the last part of each path or Hub id, all of it where that is not enough.

    Args:
        models: as a user gives them.

    Raises:
        InvalidInputError: one is given twice.
    """
    if twice := next((model for number, model in enumerate(models) if model in models[:number]), None):
        raise InvalidInputError(f"The model {twice} is given twice. Pass each model once.")
    names = [Path(model).name for model in models]
    return names if len(set(names)) == len(names) else list(models)


def own_names(method: str, labels: Sequence[str]) -> list[str]:
    """The rows' names of a method that each model has of its own: "learned" of one model, else "learned (seed-0)"."""
    return [method] if len(labels) == 1 else [f"{method} ({label})" for label in labels]


def parse_standardizations(given: str | None, own: str = "none") -> tuple[str, ...]:
    """Comma-separated score standardizations, or "all".

    Args:
        given: the names; None for "none" and the model's own, so that baselines have what the model has.
        own: the model's own.

    Raises:
        InvalidInputError: a name is not known.
    """
    if given is None:
        return tuple(dict.fromkeys(["none", own]))
    names = STANDARDIZATIONS if given == "all" else tuple(name.strip() for name in given.split(","))
    if unknown := [name for name in names if name not in STANDARDIZATIONS]:
        known = ", ".join(STANDARDIZATIONS)
        raise InvalidInputError(f"No score standardization {unknown[0]!r}. There are {known}; or all.")
    return names


def check_backend(backend: str) -> None:
    """Raises InvalidInputError if nothing computes scores that is called so."""
    if backend not in ("torch", *BACKENDS):
        raise InvalidInputError(f"--backend {backend} is not known. Pass one of torch, {', '.join(BACKENDS)}.")


def parse_layout(layout: str) -> tuple[int, int]:
    """Columns and rows of a layout such as "3x2".

    Raises:
        InvalidInputError: it is none.
    """
    found = LAYOUT.fullmatch(layout)
    if found is None or layout == "1x1":
        raise InvalidInputError(f"--mosaic {layout!r} is no layout. Pass columns x rows of 1 to 9, such as 2x2 or 4x1.")
    return int(found[1]), int(found[2])
