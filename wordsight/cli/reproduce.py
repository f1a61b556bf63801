"""`wordsight reproduce`: the paper's table, from category names to figures beside published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from wordsight.modeling.evaluation.options import parse_methods
from wordsight.reproduction.settings import DATASETS, SEEDS, ReproductionSettings
from wordsight.utils.progress import load_libraries

from .options import check_out_folder


def reproduce(
    dataset: Annotated[str, typer.Argument(help=f"One of {', '.join(DATASETS)}.")],
    data: Annotated[Path, typer.Option(help="The photos and labels, as `wordsight evaluate --format` reads them.")],
    out: Annotated[Path, typer.Option(help="Folder for sentences, models, figures and the table.")],
    encoder: Annotated[
        str, typer.Option(help="Hub id or path of a CLIP-like encoder, 'imagenet-lite2' or 'imagenet'.")
    ] = "openai/clip-vit-base-patch16",
    revision: Annotated[str | None, typer.Option(help="The encoder's revision on the Hub.")] = None,
    llm: Annotated[
        str | None, typer.Option(help="Instruct LLM, as for `wordsight describe`: a Hub id, a path, or one from PyPI.")
    ] = None,
    base_url: Annotated[
        list[str] | None, typer.Option(help="Address of a running OpenAI-compatible server; can be used several times.")
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Sentences that `wordsight describe` wrote already; no LLM is needed then.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(help="Usable sentences to write; by default 50 per category, at least 2000.", min=2)
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of training, comma-separated.")] = ",".join(map(str, SEEDS)),
    epochs: Annotated[int | None, typer.Option(help="Passes over the sentences.", min=1)] = None,
    methods: Annotated[str, typer.Option(help="What to measure, comma-separated, as in `wordsight evaluate`.")] = "all",
) -> None:
    """Describe, train and evaluate a public dataset, and write the table beside published figures.

    It says first which steps there are and how long each takes on a GPU, by an estimate. An interrupted run goes on
    where it stopped: run the same command again. More seeds can be added.

    Example: wordsight reproduce voc2007 --data VOCdevkit --llm Qwen/Qwen3-8B --out voc

    In OUT are table.md and table.json, figures.json (all that was measured), texts/ and a model for each seed.
    """
    check_out_folder(out)
    found: Any = dataset
    settings = ReproductionSettings(
        dataset=found,
        data=data,
        out=out,
        encoder=encoder,
        revision=revision,
        llm=llm,
        base_url=tuple(base_url or ()),
        texts=texts,
        sentences=sentences,
        seeds=_numbers(seeds),
        epochs=epochs,
        methods=tuple(parse_methods(methods, Path.cwd())),  # there will be sentences
    )
    settings.check()
    load_libraries()
    from wordsight.reproduction.run import reproduce as run
    from wordsight.reproduction.table import as_markdown

    typer.echo(as_markdown(run(settings, typer.echo)))
    typer.echo(f"The table is in {out / 'table.md'} and {out / 'table.json'}")


def _numbers(given: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in given.split(",") if number.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{given!r} is no list of numbers, such as 0,1,2.") from error
