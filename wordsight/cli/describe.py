"""`wordsight describe`: a language model writes sentences about the categories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import check_out_folder


def describe(
    categories: Annotated[
        Path,
        typer.Option(
            help="File with one category per line, followed by its synonyms, or one of voc2007, voc2012, coco, nuswide."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the sentences.")],
    llm: Annotated[
        str | None,
        typer.Option(
            help="Instruct LLM, served with vLLM: smollm2-135m, qwen2.5-0.5b (the default) or qwen2.5-1.5b, which come "
            "from PyPI, or a Hub id or path."
        ),
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            help="Address of a running OpenAI-compatible server; its key in WORDSIGHT_API_KEY. Can be used several "
            "times: servers of the same model share the requests."
        ),
    ] = None,
    tensor_parallel_size: Annotated[
        int, typer.Option(help="Devices over which wordsight's own server splits the LLM.", min=1)
    ] = 1,
    data_parallel_size: Annotated[
        int, typer.Option(help="Copies of the LLM in wordsight's own server, which share the requests.", min=1)
    ] = 1,
    engine: Annotated[
        Literal["server", "offline"],
        typer.Option(help="How vLLM runs the LLM: as a server, or offline, in this process and without a port."),
    ] = "server",
    sentences: Annotated[
        int | None, typer.Option(help="Usable sentences to write; by default 50 per category, at least 2000.", min=2)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of questions and sampling.")] = 0,
    language: Annotated[
        str | None,
        typer.Option(help="Language of the names and sentences: en, de, zh, ...; by default found from the names."),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests in progress at once on each server.", min=1)] = 128,
    known_synonyms: Annotated[
        bool, typer.Option(help="Add the usual synonyms to common categories that have none (person: man, girl, ...).")
    ] = True,
    attribute_kinds: Annotated[
        str | None,
        typer.Option(
            help="Kinds of attribute to ask for, such as 'color, parts', or 'find' to let the LLM choose them; by "
            "default a list that suits most photos."
        ),
    ] = None,
    unlikely_share: Annotated[
        float, typer.Option(help="Share of categories in a group that are drawn evenly.", min=0, max=1)
    ] = 0.1,
    drop_share: Annotated[
        float,
        typer.Option(
            help="Share of sentences to drop: those the LLM finds least likely given its task.", min=0, max=0.9
        ),
    ] = 0.1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove earlier sentences in OUT and start again.")
    ] = False,
) -> None:
    """Ask an LLM to write photo captions about the categories.

    If it is interrupted, run the same command again: it continues where it stopped. `wordsight show` prints the table
    at the end again.

    Example: wordsight describe --categories pets.txt --out my-texts --sentences 2000

    where pets.txt holds lines like: cat, kitten, tabby

    A colon and a space begin what an ambiguous name means: crane, cranes: the bird
    """
    check_out_folder(out)
    from wordsight.description_gen import generate_texts, read_categories, texts_summary

    chosen = [kind.strip() for kind in (attribute_kinds or "").split(",") if kind.strip()]
    kinds: list[str] | Literal["find"] | None = "find" if chosen == ["find"] else chosen or None
    texts = generate_texts(
        read_categories(categories, known_synonyms),
        out,
        llm=llm,
        base_url=base_url,
        tensor_parallel_size=tensor_parallel_size,
        data_parallel_size=data_parallel_size,
        engine=engine,
        sentences=sentences,
        seed=seed,
        language=language,
        concurrency=concurrency,
        attribute_kinds=kinds,
        unlikely_share=unlikely_share,
        drop_share=drop_share,
        overwrite=overwrite,
    )
    from .texts_table import print_summary

    print_summary(texts_summary(texts), str(out))
    typer.echo(f"{sum(texts.num_rows.values())} sentences in {out}")
