"""Runs a reproduction step by step; what is finished is not done again."""

from __future__ import annotations

import json
import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from wordsight.description_gen import load_texts, read_categories
from wordsight.modeling.encoders import load_image_encoder, load_text_encoder
from wordsight.modeling.evaluation.datasets import load_labeled_photos
from wordsight.modeling.evaluation.options import METHODS, STANDARDIZATIONS
from wordsight.modeling.evaluation.results import keep_beside
from wordsight.modeling.evaluation.run import evaluate_methods
from wordsight.modeling.evaluation.several_models import load_factories, make_methods
from wordsight.modeling.training.settings import arguments_of
from wordsight.modeling.training.train import train_prompts
from wordsight.pipelines.image_loader import photo_batches
from wordsight.utils.errors import InvalidInputError, shortened, writing
from wordsight.utils.files import read_json

from .estimates import ASSUMED, Sizes, describing, evaluating, in_words, training
from .settings import Progress, ReproductionSettings
from .table import as_json, as_markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from wordsight.modeling.encoders import TextEncoder
    from wordsight.modeling.evaluation.datasets import EvaluationDataset

FIGURES = "figures.json"  # all that was measured
AGAIN = "run the same command again"


def reproduce(settings: ReproductionSettings, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Describes the dataset's categories, trains with each seed, evaluates all methods, and writes the table.

    Writes `texts/`, `seed-N/`, `figures.json`, `table.md` and `table.json` in the folder. Photos and encoder are looked
    at first, before a language model writes for hours.

    Args:
        settings: what to reproduce.
        say: prints what is done.

    Returns:
        What `table.json` holds.

    Raises:
        InvalidInputError: something given can't be used, or the folder is of a reproduction with other settings.
    """
    settings.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidInputError("reproduce runs in one process. For several GPUs, run describe, train and evaluate.")
    progress = Progress(settings)
    _check_texts(settings)
    photos = load_labeled_photos(settings.data, settings.dataset, read_categories(settings.dataset))
    text_encoder = load_text_encoder(settings.encoder, revision=settings.revision)
    steps = _steps(settings, photos, text_encoder)
    _say_plan(settings, photos, text_encoder, progress, say)
    for name, run in steps.items():
        if _is_done(name, settings, progress):
            continue
        say(f"{name} ...")
        run()
        progress.finish(name)
    content = as_json(settings, read_json(settings.out / FIGURES), _labels(settings))
    with writing(settings.out, AGAIN):
        (settings.out / "table.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (settings.out / "table.md").write_text(as_markdown(content), encoding="utf-8")
    return content


def _check_texts(settings: ReproductionSettings) -> None:
    """Raises InvalidInputError if sentences that are there are about other categories than the dataset's."""
    if settings.texts is None:
        return
    theirs = [category.name for category in load_texts(settings.texts)[1].categories]
    names = [category.name for category in read_categories(settings.dataset)]
    if theirs != names:
        raise InvalidInputError(
            f"The sentences in {settings.texts} are about {shortened(theirs)}, and {settings.dataset} has "
            f"{shortened(names)}. Write them with `wordsight describe --categories {settings.dataset}`."
        )


def _labels(settings: ReproductionSettings) -> list[str]:
    return [settings.model_folder(seed).name for seed in settings.seeds]


def _steps(
    settings: ReproductionSettings, photos: EvaluationDataset, text_encoder: TextEncoder
) -> dict[str, Callable[[], None]]:
    """Step -> what does it, in their order."""
    steps: dict[str, Callable[[], None]] = {}
    if settings.texts is None:
        steps["describe"] = partial(_describe, settings)
    for seed in settings.seeds:
        steps[f"train, seed {seed}"] = partial(_train, settings, seed, text_encoder)
    methods = "all methods" if len(settings.methods) == len(METHODS) else ", ".join(settings.methods)
    which = f"seed{'s' if len(settings.seeds) > 1 else ''} {', '.join(map(str, settings.seeds))}"
    steps[f"evaluate, {which}, {methods}"] = partial(_evaluate, settings, photos)
    return steps


def _is_done(step: str, settings: ReproductionSettings, progress: Progress) -> bool:
    """Whether a step is finished; `figures.json` may be of other seeds and methods since."""
    figures = read_json(settings.out / FIGURES)
    of_these = (figures.get("seeds"), figures.get("methods")) == (list(settings.seeds), list(settings.methods))
    return step in progress.finished and (of_these or not step.startswith("evaluate"))


def _describe(settings: ReproductionSettings) -> None:
    from wordsight.description_gen import generate_texts  # whoever has sentences needs no client of LLMs

    generate_texts(
        read_categories(settings.dataset),
        settings.texts_folder,
        llm=settings.llm,
        base_url=settings.base_url,
        sentences=settings.sentences,
    )


def _train(settings: ReproductionSettings, seed: int, text_encoder: TextEncoder) -> None:
    folder = settings.model_folder(seed)
    args = arguments_of({"seed": seed, "epochs": settings.epochs}, folder)
    train_prompts(
        settings.texts_folder,
        folder,
        settings.encoder,
        revision=settings.revision,
        args=args,
        resume=True,
        text_encoder=text_encoder,
    )


def _evaluate(settings: ReproductionSettings, photos: EvaluationDataset) -> None:
    folders = {label: str(settings.out / label) for label in _labels(settings)}
    factories = load_factories(folders, None, settings.texts_folder)
    first = next(iter(factories.values())).model
    methods = make_methods(factories, settings.methods, leave_out=len(settings.methods) == len(METHODS))
    evaluation = evaluate_methods(first, methods, photos, photo_batches, options=STANDARDIZATIONS)
    with writing(settings.out, AGAIN):
        content = {"seeds": settings.seeds, "methods": settings.methods} | evaluation.report
        (settings.out / FIGURES).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for label in folders:
        method = "learned" if len(folders) == 1 else f"learned ({label})"
        keep_beside(settings.out / label, evaluation, method)


def _say_plan(
    settings: ReproductionSettings,
    photos: EvaluationDataset,
    text_encoder: TextEncoder,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    """Says before it starts which steps there are, and how long each takes on a GPU."""
    sizes = _sizes(settings, photos, text_encoder)
    say(ASSUMED)
    evaluation = evaluating(sizes, settings.methods)
    seconds_of = {"describe": describing(sizes), "train": training(sizes), "evaluate": evaluation}
    for name in _steps(settings, photos, text_encoder):
        seconds = seconds_of[name.split(",")[0]]
        say(f"  {name}: {'done' if _is_done(name, settings, progress) else in_words(seconds)}")


def _sizes(settings: ReproductionSettings, photos: EvaluationDataset, text_encoder: TextEncoder) -> Sizes:
    import torch

    image_encoder = load_image_encoder(settings.encoder, revision=settings.revision)
    prepared = image_encoder.image_processor(torch.zeros(3, 32, 32, dtype=torch.uint8), return_tensors="pt")
    rows, columns = image_encoder(prepared["pixel_values"]).grid
    categories = photos.labels.shape[1]
    if settings.texts is not None:
        sentences = len(load_texts(settings.texts)[0])
    else:
        from wordsight.description_gen.generate import default_sentences  # with a client of LLMs

        sentences = settings.sentences or default_sentences(categories)
    args = arguments_of({"epochs": settings.epochs}, settings.out).for_encoder(text_encoder)
    assert args.num_train_epochs is not None and args.global_batch_size is not None
    vocabulary = text_encoder.embedding.weight.numel()
    return Sizes(
        categories=categories,
        sentences=sentences,
        photos=len(photos.labels),
        text_parameters=sum(p.numel() for p in text_encoder.parameters()) - vocabulary,
        image_parameters=sum(p.numel() for p in image_encoder.parameters()),
        positions=rows * columns,
        epochs=math.ceil(args.num_train_epochs),
        batch_size=args.global_batch_size,
    )
