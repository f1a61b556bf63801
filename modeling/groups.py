"""`wordsight groups`: which categories share prompt tokens, as text, as a picture, and as a file to edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wordsight.errors import writing
from wordsight.pictures import make_figure

if TYPE_CHECKING:
    import networkx as nx
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from .hierarchy import Groups

SHOWN_EDGES = 4  # a category, the strongest


def groups(
    texts: Annotated[Path, typer.Argument(help="Folder that `wordsight describe` wrote.")],
    encoder: Annotated[
        str, typer.Option(help="Encoder that the prompts are for: Hub id, path or 'offline'.")
    ] = "offline",
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

    The file can be edited (each category in exactly one group of each kind) and given to `train --groups`.

    Example: wordsight groups my-texts, then: wordsight train my-texts --groups my-texts/groups.json --out my-model
    """
    from .data import load_training_texts
    from .encoders import load_text_encoder
    from .hierarchy import attribute_groups, cooccurrence_graph, cooccurrence_groups, looks, write_groups

    # Just as `train` sees them, so that the groups are those that it would find.
    data = load_training_texts(texts, validation_share=0.1, templates=True, seed=seed)
    embeddings = looks(data.knowledge, load_text_encoder(encoder))
    attribute = attribute_groups(data.names, embeddings, num_attribute_groups)
    graph = cooccurrence_graph(data.names, data.knowledge.co_occurrence, data.train_labels)
    cooccurrence = cooccurrence_groups(graph, seed)
    _print_groups("Look alike", attribute)
    _print_groups("Seen together", cooccurrence)
    out = out or texts / "groups.json"
    picture = picture or out.with_suffix(".png")
    with writing(out, "run the same command again"):
        write_groups(attribute, cooccurrence, out)
        draw_groups(data.names, embeddings, attribute, graph, cooccurrence, picture)
    typer.echo(f"Groups in {out} (edit them, then: train --groups {out}), picture in {picture}")


def _print_groups(title: str, found: Groups) -> None:
    typer.echo(f"{title}: {len(found)} groups")
    for number, group in enumerate(found, start=1):
        typer.echo(f"  {number}. {', '.join(group)}")


def draw_groups(
    names: list[str],
    embeddings: NDArray[np.float32],
    attribute: Groups,
    graph: nx.Graph,
    cooccurrence: Groups,
    path: Path,
) -> None:
    """One picture: the dendrogram of looks, and the graph of company with its communities coloured.

    Args:
        names: K category names.
        embeddings: (K, D), of what they look like.
        attribute: the groups of looks.
        graph: weighted by company.
        cooccurrence: its communities.
        path: the picture's file.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = make_figure(16, max(6.0, 0.18 * len(names)))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    _draw_dendrogram(left, names, embeddings, len(attribute))
    _draw_graph(right, graph, cooccurrence)
    figure.savefig(path, dpi=100)


def _draw_dendrogram(axes: Axes, names: list[str], embeddings: NDArray[np.float32], num_groups: int) -> None:
    from scipy.cluster.hierarchy import dendrogram, linkage

    axes.set_title(f"Look alike: {num_groups} groups")
    if len(names) < 2:
        axes.text(0.5, 0.5, names[0], ha="center")
        return
    tree = linkage(embeddings, "average", metric="cosine")
    # Between the merge that leaves this number of groups and the one after it.
    merges = [0.0, *tree[:, 2], tree[-1, 2] * 1.1]
    cut = (merges[len(names) - num_groups] + merges[len(names) - num_groups + 1]) / 2
    dendrogram(tree, labels=names, orientation="left", color_threshold=cut, above_threshold_color="gray", ax=axes)
    axes.axvline(cut, color="gray", linestyle=":")
    axes.set_xlabel("cosine distance of attribute answers")


def _draw_graph(axes: Axes, graph: nx.Graph, communities: Groups) -> None:
    import networkx as nx

    number = {name: index for index, group in enumerate(communities) for name in group}
    colours = [f"C{number[name] % 10}" for name in graph]
    # All edges take part in the layout; more than a few a category would hide it.
    edges = sorted(graph.edges, key=lambda edge: -graph.edges[edge]["weight"])[: SHOWN_EDGES * len(graph)]
    weights = [graph.edges[edge]["weight"] for edge in edges]
    strongest = max(weights, default=1.0)
    positions = nx.spring_layout(graph, weight="weight", seed=0, k=3 / max(len(graph), 1) ** 0.5)
    nx.draw_networkx_edges(
        graph, positions, edges, ax=axes, width=[3 * weight / strongest for weight in weights], edge_color="lightgray"
    )
    nx.draw_networkx_nodes(graph, positions, ax=axes, node_color=colours, node_size=120)
    nx.draw_networkx_labels(graph, positions, ax=axes, font_size=8, verticalalignment="bottom")
    axes.set_title(f"Seen together: {len(communities)} communities")
    axes.axis("off")
