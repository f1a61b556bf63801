"""`wordsight show`: what is in a dataset of sentences, and how good it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from wordsight.utils.errors import writing
from wordsight.utils.progress import load_libraries

from .options import check_out_file, check_texts


def show(
    texts: Annotated[str, typer.Argument(help="Sentences: a folder, a file, or a dataset's id on the Hub.")],
    sentences: Annotated[int, typer.Option(help="Random sentences to print.", min=0)] = 10,
    seed: Annotated[int, typer.Option(help="Seed of their choice.")] = 0,
    all_categories: Annotated[bool, typer.Option("--all", help="Print a line for each of many categories.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="File for a picture of which categories are seen together, and their groups.")
    ] = None,
) -> None:
    """Show what a language model wrote: a line a category, figures of quality, and random sentences.

    "names all asked" is the share of the sentences asked about a category that name all they were asked to, "seen with"
    what the model said and how often. Distinct-2 is the number of distinct pairs of words by that of words (Li et al.
    2016); compare equally many sentences.

    Example: wordsight show my-texts --sentences 5

    Example: wordsight show user/my-texts --plot seen-together.png --json
    """
    check_texts(texts)
    if plot is not None:
        check_out_file(plot, "--plot")
        load_libraries()
    from wordsight.description_gen.dataset import read_texts
    from wordsight.description_gen.summary import texts_summary

    _, dataset = read_texts(texts)
    summary = texts_summary(dataset)
    rows = np.random.default_rng(seed).choice(len(dataset), min(sentences, len(dataset)), replace=False)
    chosen = [dataset[int(row)]["text"] for row in rows]
    if as_json:
        typer.echo(json.dumps(summary.to_dict() | {"examples": chosen}, indent=2, ensure_ascii=False))
    else:
        from .texts_table import print_summary

        print_summary(summary, texts, all_categories)
        for sentence in chosen:
            typer.echo(f"- {sentence}")
    if plot is not None:
        from wordsight.plotting import plot_texts

        with writing(plot, "run the same command again"):
            plot_texts(dataset).savefig(plot, dpi=100)
        typer.echo(f"Picture in {plot}", err=True)
