"""Which categories look alike, and which are seen together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wordsight.utils.errors import InvalidInputError

from .figures import fitted, make_figure

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

SHOWN_EDGES = 4  # a category, the strongest
GRAPH_WIDTH = 9  # inches


def plot_group_dendrogram(names: Sequence[str], embeddings: ArrayLike, num_groups: int) -> Figure:
    """Which categories look alike: their hierarchical clustering, cut into attribute groups.

    Args:
        names: K category names.
        embeddings: (K, D), of what they look like (`wordsight.modeling.grouping.attribute_embeddings`).
        num_groups: into how many groups to cut, from 1 to K.

    Raises:
        InvalidInputError: names and embeddings are not equally many, or there are not so many groups.
    """
    figure = make_figure(7, max(3.0, 0.18 * len(names)))
    _draw_dendrogram(figure.subplots(), names, np.asarray(embeddings), num_groups)
    return figure


def plot_cooccurrence_graph(graph: nx.Graph, communities: Sequence[Sequence[str]] = ()) -> Figure:
    """Which categories are seen together: a graph, strong pairs near and by broad lines, communities by color.

    Args:
        graph: of categories, with edges weighted by co-occurrence (`wordsight.modeling.grouping.cooccurrence_graph`).
        communities: groups of its categories (`wordsight.modeling.grouping.cooccurrence_groups`).
    """
    figure = make_figure(GRAPH_WIDTH, max(6.0, 0.12 * len(graph)))
    draw_graph(figure.subplots(), graph, communities)
    return figure


def plot_groups(
    names: Sequence[str],
    embeddings: ArrayLike,
    num_attribute_groups: int,
    graph: nx.Graph,
    communities: Sequence[Sequence[str]],
) -> Figure:
    """`plot_group_dendrogram` and `plot_cooccurrence_graph` side by side, as `wordsight groups` draws them."""
    figure = make_figure(7 + GRAPH_WIDTH, max(6.0, 0.18 * len(names)))
    left, right = figure.subplots(1, 2, width_ratios=(7, GRAPH_WIDTH))
    _draw_dendrogram(left, names, np.asarray(embeddings), num_attribute_groups)
    draw_graph(right, graph, communities)
    return figure


def _draw_dendrogram(axes: Axes, names: Sequence[str], embeddings: Any, num_groups: int) -> None:
    from scipy.cluster.hierarchy import dendrogram, linkage

    if len(names) != len(embeddings) or not 1 <= num_groups <= len(names):
        raise InvalidInputError(
            f"Got {len(names)} names, {len(embeddings)} embeddings and {num_groups} groups. Pass one embedding "
            "per name, and at most as many groups as names."
        )
    axes.set_title(f"Groups that look alike: {num_groups}")
    shown = [fitted(name, 30, 1) for name in names]
    if len(names) < 2:
        axes.text(0.5, 0.5, shown[0], ha="center")
        return
    tree = linkage(embeddings, "average", metric="cosine")
    # Between the merge that leaves this number of groups and the one after it.
    merges = [0.0, *tree[:, 2], tree[-1, 2] * 1.1]
    cut = (merges[len(names) - num_groups] + merges[len(names) - num_groups + 1]) / 2
    dendrogram(tree, labels=shown, orientation="left", color_threshold=cut, above_threshold_color="gray", ax=axes)
    axes.tick_params(axis="y", labelsize=9)
    axes.axvline(cut, color="gray", linestyle=":")
    axes.set_xlabel("cosine distance of attribute answers")
    axes.spines[["top", "left", "right"]].set_visible(False)


def draw_graph(axes: Axes, graph: nx.Graph, communities: Sequence[Sequence[str]]) -> None:
    """Draws what `plot_cooccurrence_graph` shows, into axes that are `GRAPH_WIDTH` wide."""
    import networkx as nx
    from matplotlib import colormaps

    number = {name: index for index, group in enumerate(communities) for name in group}
    palette = colormaps["tab10" if len(communities) <= 10 else "tab20"]
    colors = [palette(number.get(name, 0) % palette.N) for name in graph]
    # All edges take part in the layout; more than a few a category would hide it.
    edges = sorted(graph.edges, key=lambda edge: -graph.edges[edge]["weight"])[: SHOWN_EDGES * len(graph)]
    weights = [graph.edges[edge]["weight"] for edge in edges]
    strongest = max(weights, default=1.0)
    names = {name: fitted(name, 16) for name in graph}
    places = nx.spring_layout(graph, weight="weight", seed=0, k=3 / max(len(graph), 1) ** 0.5)
    # From here on in inches, as names are.
    size = np.array([GRAPH_WIDTH, axes.figure.get_figheight()]) - 1  # type: ignore[union-attr]
    apart = _apart(
        (np.array([places[name] for name in graph]) + 1) / 2 * size, [_inches(names[name]) for name in graph]
    )
    positions = dict(zip(graph, apart, strict=True))
    nx.draw_networkx_edges(
        graph, positions, edges, ax=axes, width=[3 * weight / strongest for weight in weights], edge_color="lightgray"
    )
    nx.draw_networkx_nodes(graph, positions, ax=axes, node_color=colors, node_size=60)
    for name, place in positions.items():
        axes.annotate(names[name], place, (0, 5), textcoords="offset points", ha="center", fontsize=8)
    axes.margins(0.08)
    axes.set_title(f"Communities seen together: {len(communities)}" if communities else "Seen together")
    axes.axis("off")


def _inches(text: str) -> tuple[float, float]:
    """Width and height of a name of 8 points above its node, at most."""
    # Characters of other scripts may be twice as wide.
    lines = [sum(1 if c.isascii() else 2 for c in line) for line in text.splitlines()]
    return 0.085 * max(lines), 0.13 * len(lines) + 0.14


def _apart(points: Any, sizes: Sequence[tuple[float, float]], rounds: int = 200) -> Any:
    """Points (K, 2), moved until boxes of these sizes around them meet no more, or so many times."""
    boxes = np.array(sizes)
    for _ in range(rounds):
        gaps = points[:, None] - points
        missing = (boxes[:, None] + boxes) / 2 - np.abs(gaps)
        meet = (missing > 0).all(axis=-1)
        np.fill_diagonal(meet, False)
        if not meet.any():
            break
        # Both move, along the axis in which less is missing.
        least = missing.argmin(axis=-1)[..., None] == np.arange(2)
        points = points + (np.sign(gaps) * missing * (least & meet[..., None])).sum(axis=1) / 2
    return points
