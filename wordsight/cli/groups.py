"""`wordsight groups`: which categories share prompt tokens, as text, as a picture, and as a file to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.utils.errors import writing
from wordsight.utils.progress import load_libraries

from .options import check_exists, check_out_file

if TYPE_CHECKING:
    from wordsight.modeling.grouping import Groups


def groups(
    texts: Annotated[Path, typer.Argument(help="Folder that `wordsight describe` wrote.")],
    encoder: Annotated[
        str, typer.Option(help="Encoder that the prompts are for: Hub id, path, 'imagenet-lite2' or 'imagenet'.")
    ] = DEFAULT_ENCODER,
    out: Annotated[Path | None, typer.Option(help="File for the groups; by default groups.json in TEXTS.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for the picture; by default groups.png beside OUT.")
    ] = None,
    num_attribute_groups: Annotated[
        int | None, typer.Option(help="How many groups that look alike; by default by silhouette.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the community search.")] = 0,
) -> None:
    """Show which categories look alike and which are seen together, as `wordsight train` would group them.

    The file can be edited (each category in exactly one group of each kind) and passed to `train --groups`.

    Example: wordsight groups my-texts, then: wordsight train my-texts --groups my-texts/groups.json --out my-model
    """
    check_exists(texts, "folder")
    out = out or texts / "groups.json"
    picture = picture or out.with_suffix(".png")
    check_out_file(out, "--out")
    check_out_file(picture, "--picture")
    load_libraries()
    from wordsight.description_gen.dataset import knowledge_of, multi_hot, normalize_texts
    from wordsight.modeling.encoders import load_text_encoder
    from wordsight.modeling.grouping import (
        attribute_embeddings,
        attribute_groups,
        cooccurrence_graph,
        cooccurrence_groups,
        write_groups,
    )
    from wordsight.plotting import plot_groups

    # Just as `train` sees them, so that the groups are those that it would find.
    dataset, categories = normalize_texts(texts)
    names, knowledge = [category.name for category in categories], knowledge_of(dataset)
    embeddings = attribute_embeddings(categories, knowledge, load_text_encoder(encoder))
    attribute = attribute_groups(names, embeddings, num_attribute_groups)
    answers = knowledge.co_occurrence if knowledge else {}
    graph = cooccurrence_graph(names, answers, multi_hot(dataset, categories))
    cooccurrence = cooccurrence_groups(graph, seed)
    _print_groups("Look alike", attribute)
    _print_groups("Seen together", cooccurrence)
    with writing(out, "run the same command again"):
        write_groups(attribute, cooccurrence, out)
        plot_groups(names, embeddings, len(attribute), graph, cooccurrence).savefig(picture, dpi=100)
    typer.echo(f"Groups in {out} (edit them, then: train --groups {out}), picture in {picture}")


def _print_groups(title: str, found: Groups) -> None:
    typer.echo(f"{title}: {len(found)} group{'s' if len(found) != 1 else ''}")
    for number, group in enumerate(found, start=1):
        typer.echo(f"  {number}. {', '.join(group)}")
