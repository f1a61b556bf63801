"""`wordsight evaluate`: a model and its peers on labeled photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from wordsight.modeling.evaluation.options import FORMATS, METHODS, parse_methods
from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.progress import load_libraries

from .options import WORKERS_HELP


def evaluate(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a wordsight model.")],
    data: Annotated[Path, typer.Option(help="The photos and labels, in the benchmark's own layout.")],
    data_format: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "jsonl",
    methods: Annotated[str, typer.Option(help=f"Comma-separated, or all: {', '.join(METHODS)}.")] = "learned,zero-shot",
    scores: Annotated[
        str,
        typer.Option(
            help="Score standardizations to measure each method with: none, images, categories, sparc; or all."
        ),
    ] = "none",
    split: Annotated[str | None, typer.Option(help="Part of the benchmark, by its own name.")] = None,
    texts: Annotated[Path | None, typer.Option(help="Sentences for the peers that learn: flat, category.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for pictures: AP by category, best and worst photos.")
    ] = None,
    min_positives: Annotated[int, typer.Option(help="Least positives for a category to count.", min=1)] = 1,
    batch_size: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    num_workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=0)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Absent photos and unknown labels are errors.")] = False,
    revision: Annotated[str | None, typer.Option(help="The model's revision on the Hub.")] = None,
) -> None:
    """Measure a model, and the methods it competes with, on labeled photos.

    mAP is all-point average precision, averaged over categories. "CF1@3" and "OF1@3" are at the three best labels a
    photo, "CF1" and "OF1" at the calibrated thresholds.

    Example: wordsight evaluate my-model --data VOCdevkit --format voc2007 --methods all --texts my-texts

    On several GPUs: accelerate launch -m wordsight evaluate my-model --data ...
    On several CPU processes: torchrun --nproc_per_node 2 -m wordsight evaluate my-model --data ...
    """
    load_libraries()
    from accelerate import PartialState

    from wordsight.modeling.encoders import load_text_encoder
    from wordsight.modeling.evaluation.datasets import load_benchmark
    from wordsight.modeling.evaluation.methods import MethodFactory
    from wordsight.modeling.evaluation.results import keep_beside
    from wordsight.modeling.evaluation.run import evaluate_methods, print_table
    from wordsight.modeling.loading import load_model, make_accelerator
    from wordsight.modeling.standardization import SCORE_STANDARDIZATIONS
    from wordsight.modeling.training.train import warn_if_fewer_processes

    chosen = parse_methods(methods)
    options = SCORE_STANDARDIZATIONS if scores == "all" else tuple(scores.split(","))
    if unknown := [option for option in options if option not in SCORE_STANDARDIZATIONS]:
        raise InvalidInputError(
            f"No score standardization {unknown[0]!r}. There are {', '.join(SCORE_STANDARDIZATIONS)}; or all."
        )
    accelerator = make_accelerator()
    warn_if_fewer_processes(accelerator.num_processes)
    loaded = load_model(model, revision)
    config = loaded.config
    benchmark = load_benchmark(data, data_format, config.categories, split=split, strict=strict)
    folder = Path(model) if Path(model).is_dir() else None
    factory = MethodFactory(
        loaded,
        load_text_encoder(config.encoder, revision=config.encoder_revision),
        folder=folder,
        texts=texts,
        peers=(folder or Path("wordsight-peers")) / "peers",
    )
    made = [factory.make(name) for name in chosen]
    evaluation = evaluate_methods(
        loaded,
        made,
        benchmark,
        options=options,
        min_positives=min_positives,
        batch_size=batch_size,
        num_workers=num_workers,
        strict=strict,
    )
    if accelerator.is_main_process:
        print_table(evaluation)
        if json_file is not None:
            with writing(json_file, "run the same command again"):
                json_file.parent.mkdir(parents=True, exist_ok=True)
                json_file.write_text(json.dumps({"model": model} | evaluation.report, indent=2), encoding="utf-8")
        if folder is not None:
            keep_beside(folder, evaluation)
        if plots is not None:
            from wordsight.modeling.evaluation.plots import draw_evaluation

            with writing(plots, "run the same command again"):
                typer.echo(f"Pictures: {', '.join(map(str, draw_evaluation(evaluation, plots)))}")
    PartialState().destroy_process_group()
