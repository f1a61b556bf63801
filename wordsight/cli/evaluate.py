"""`wordsight evaluate`: a model and the baselines on labeled photos."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wordsight.modeling.evaluation.options import (
    DEFAULT_METHODS,
    FORMATS,
    METHODS,
    check_backend,
    model_labels,
    own_names,
    parse_layout,
    parse_methods,
    parse_standardizations,
)
from wordsight.modeling.tiling import check_tiling
from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.progress import load_libraries

from .console import plain_console
from .options import TILES_HELP, WORKERS_HELP, check_exists, check_out_file, check_out_folder

if TYPE_CHECKING:
    from wordsight.modeling.evaluation.results import Evaluation

AGAIN = "run the same command again"


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Folder or Hub id of a wordsight model; several are compared as runs with other seeds.",
            metavar="MODEL...",
        ),
    ],
    data: Annotated[Path, typer.Option(help="The photos and labels, in the dataset's own layout.")],
    data_format: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "jsonl",
    photos: Annotated[Path | None, typer.Option(help="Folder of the photos, if they are not beside --data.")] = None,
    methods: Annotated[
        str,
        typer.Option(
            help=f"Comma-separated, or all: {', '.join(METHODS)}.", show_default="learned and all zero-shot rows"
        ),
    ] = DEFAULT_METHODS,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Score standardizations to measure each method with: none, images, categories, sparc; or all.",
            show_default="none and the model's own",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Part of the dataset, by its own name.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Sentences, for the methods that need them.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for pictures: AP by category, best and worst photos.")
    ] = None,
    mosaic: Annotated[
        list[str] | None,
        typer.Option(help="Measure on mosaics of the photos as well: 2x2, or 4x1 (wide); can be repeated."),
    ] = None,
    min_positives: Annotated[int, typer.Option(help="Fewest positives for a category to count.", min=1)] = 1,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=0)] = None,
    tiles: Annotated[str | None, typer.Option(help=TILES_HELP)] = None,
    backend: Annotated[
        str, typer.Option(help="onnx or onnx-int8: what `wordsight export` wrote, as a row beside the model's.")
    ] = "torch",
    strict: Annotated[bool, typer.Option("--strict", help="Missing photos and unknown labels are errors.")] = False,
    revision: Annotated[str | None, typer.Option(help="The models' revision on the Hub.")] = None,
) -> None:
    """Measure a model and the baselines on labeled photos.

    mAP is all-point average precision, averaged over categories. "CF1@3" and "OF1@3" are at the three best labels of
    each photo, "CF1" and "OF1" at the calibrated thresholds.

    With --mosaic 2x2, crowded photos are made of four, with the labels of all; 4x1 and 1x4 are strips. "recall@n" is at
    the n best labels of a photo that has n; recall and precision are at the calibrated thresholds.

    Example: wordsight evaluate my-model --data VOCdevkit --format voc2007 --methods all --texts my-texts

    The last line says whether learning was worth it: the model's mAP less that of the best of the zero-shot rows that
    --methods names, with a 95% interval over 1,000 resamples of the photos. Zero-shot with 80 templates takes longest;
    --methods learned leaves it, and the line, out.

    With the models of several seeds, it is the mean over them, and the interval is over photos and seeds.

    Example: wordsight evaluate seed-0 seed-1 seed-2 --data photos

    With --backend onnx-int8, what 8 bits cost is a difference of two rows:

    Example: wordsight evaluate my-model --data photos --methods learned --backend onnx-int8

    On several GPUs: accelerate launch -m wordsight evaluate my-model --data ...
    On several CPU processes: torchrun --nproc_per_node 2 -m wordsight evaluate my-model --data ...
    """
    tiling = None if tiles is None else check_tiling(tiles)
    for layout in mosaic or ():
        parse_layout(layout)
    chosen = parse_methods(methods, texts)
    check_backend(backend)
    parse_standardizations(scores)
    if data_format not in FORMATS:
        raise InvalidInputError(f"The format {data_format!r} is not known. Pass one of {', '.join(FORMATS)}.")
    if data_format != "datasets" and not data.exists():
        raise InvalidInputError(f"--data: there is no {data}.")
    if photos is not None:
        check_exists(photos, "folder")
    labels = model_labels(models)
    if json_file is not None:
        check_out_file(json_file, "--json")
    if plots is not None:
        check_out_folder(plots, "--plots")
    load_libraries()
    from accelerate import PartialState

    from wordsight.modeling.evaluation.datasets import load_labeled_photos
    from wordsight.modeling.evaluation.mosaics import make_mosaics
    from wordsight.modeling.evaluation.results import keep_beside
    from wordsight.modeling.evaluation.run import evaluate_methods
    from wordsight.modeling.evaluation.several_models import exported_methods, load_factories, make_methods
    from wordsight.modeling.loading import make_accelerator
    from wordsight.pipelines.image_loader import open_photo, photo_batches

    accelerator = make_accelerator()
    factories = load_factories(dict(zip(labels, models, strict=True)), revision, texts)
    first = factories[labels[0]].model
    options = parse_standardizations(scores, first.config.score_standardization)
    dataset = load_labeled_photos(
        data, data_format, first.config.categories, split=split, strict=strict, photos_folder=photos
    )
    measure = partial(
        evaluate_methods,
        first,
        make_methods(factories, chosen, leave_out=methods == "all") + exported_methods(factories, models, backend),
        read_photos=photo_batches,
        options=options,
        min_positives=min_positives,
        batch_size=batch_size,
        num_workers=num_workers,
        strict=strict,
        tiles=tiling,
    )
    evaluation = measure(dataset)
    mosaics = {layout: measure(make_mosaics(evaluation.dataset, layout, open_photo)) for layout in mosaic or ()}
    if accelerator.is_main_process:
        print_table(evaluation)
        if mosaics:
            print_mosaics({"photos": evaluation} | mosaics)
        _write(evaluation, mosaics, models, json_file, plots)
        for factory, method in zip(factories.values(), own_names("learned", labels), strict=True):
            if factory.folder is not None:
                keep_beside(factory.folder, evaluation, method)
        if comparison := evaluation.report["comparison"]:
            typer.echo(comparison["summary"])
    PartialState().destroy_process_group()


def _write(
    evaluation: Evaluation,
    mosaics: dict[str, Evaluation],
    models: list[str],
    json_file: Path | None,
    plots: Path | None,
) -> None:
    """Writes the figures and draws the pictures that were asked for."""
    if json_file is not None:
        with writing(json_file, AGAIN):
            json_file.parent.mkdir(parents=True, exist_ok=True)
            said = {"model": models[0]} if len(models) == 1 else {"models": models}
            report = said | evaluation.report
            if mosaics:
                report["mosaics"] = {layout: of_mosaics.report for layout, of_mosaics in mosaics.items()}
            json_file.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if plots is not None:
        from wordsight.plotting.evaluation import draw_evaluation

        with writing(plots, AGAIN):
            typer.echo(f"Pictures: {', '.join(map(str, draw_evaluation(evaluation, plots)))}")


def print_table(evaluation: Evaluation) -> None:
    """All results as one table."""
    from rich.table import Column, Table

    console = plain_console()
    report = evaluation.report
    table = Table(Column("method", no_wrap=True), "scores", "mAP", "95%", "CF1@3", "OF1@3", "CF1", "OF1")
    for result in evaluation.results:
        low, high = result.interval
        at = result.thresholds
        table.add_row(
            result.method,
            result.score_standardization,
            f"{100 * result.map:.1f}",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"{100 * result.top['cf1']:.1f}",
            f"{100 * result.top['of1']:.1f}",
            f"{100 * at['cf1']:.1f}" if at else "",
            f"{100 * at['of1']:.1f}" if at else "",
        )
    counted = len(evaluation.categories) - len(report["categories_left_out"])
    table.title = (
        f"{report['benchmark']}: {report['photos']} photos, {counted} of {len(evaluation.categories)} categories"
    )
    console.print(table)
    if left_out := report["categories_left_out"]:
        console.print(
            f"Not counted in the mean, with fewer than {report['min_positives']} positives: {', '.join(left_out)}."
        )
    for result in evaluation.results:
        if result.recall_by_size and result.score_standardization == "none":
            sizes = ", ".join(
                f"{size} {100 * share:.1f} (of {report['positives_by_size'][size]})"
                for size, share in result.recall_by_size.items()
            )
            console.print(f"{result.method}: recall at 3 by size of the largest object: {sizes}")


def print_mosaics(evaluations: dict[str, Evaluation]) -> None:
    """Photos as they are and mosaics of them, side by side."""
    from rich.table import Table

    console = plain_console()
    table = Table("photos", "method", "scores", "mAP", "recall@n", "recall", "precision")
    table.title = f"Mosaics; tiles: {next(iter(evaluations.values())).report['tiles']}"
    for name, evaluation in evaluations.items():
        for result in evaluation.results:
            at = result.thresholds
            table.add_row(
                name,
                result.method,
                result.score_standardization,
                f"{100 * result.map:.1f}",
                f"{100 * result.recall_at_labels:.1f}",
                f"{100 * at['or_']:.1f}" if at else "",
                f"{100 * at['op']:.1f}" if at else "",
            )
    console.print(table)
