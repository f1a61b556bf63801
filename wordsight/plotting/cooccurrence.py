"""Which categories are seen together, by sentences and by what a language model said, as a heat map and a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .figures import fitted, make_figure
from .groups import GRAPH_WIDTH, draw_graph

if TYPE_CHECKING:
    import networkx as nx
    from datasets import Dataset
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW, LEAST_SIDE = 0.17, 3.5  # inches: of a category, and of the heat map without its names
NAMES = 1.8  # inches at most, at the heat map's left and top


def seen_together(dataset: Dataset) -> tuple[nx.Graph, list[list[str]]]:
    """The graph of a dataset's categories, weighted by how often two are seen together, and its communities.

    Args:
        dataset: labeled sentences that know their categories.

    Raises:
        InvalidInputError: the dataset doesn't say what its labels stand for.
        MissingDependencyError: a package of the extra `[train]` is not installed.
    """
    from wordsight.description_gen.dataset import knowledge_of, multi_hot, normalize_texts
    from wordsight.modeling.grouping import cooccurrence_graph, cooccurrence_groups

    texts, categories = normalize_texts(dataset)
    knowledge, names = knowledge_of(texts), [category.name for category in categories]
    graph = cooccurrence_graph(names, knowledge.co_occurrence if knowledge else {}, multi_hot(texts, categories))
    return graph, cooccurrence_groups(graph) if graph.number_of_edges() else [names]


def plot_cooccurrence_matrix(graph: nx.Graph, communities: Sequence[Sequence[str]] = ()) -> Figure:
    """Which categories are seen together: a heat map, in which communities are next to each other and framed.

    Args:
        graph: of categories, with edges weighted by co-occurrence (`wordsight.modeling.grouping.cooccurrence_graph`).
        communities: groups of its categories (`wordsight.modeling.grouping.cooccurrence_groups`).
    """
    side = _side(graph)
    figure = make_figure(side + NAMES + 0.8, side + NAMES + 0.3)
    _draw_matrix(figure.subplots(), graph, communities)
    return figure


def plot_texts(dataset: Dataset) -> Figure:
    """`plot_cooccurrence_matrix` and `plot_cooccurrence_graph` of sentences, side by side.

    Args:
        dataset: from `generate_texts` or `load_texts`, or any labeled sentences that know their categories.

    Raises:
        InvalidInputError: the dataset doesn't say what its labels stand for.
        MissingDependencyError: a package of the extra `[plot]` or `[train]` is not installed.
    """
    graph, communities = seen_together(dataset)
    side = _side(graph) + NAMES
    figure = make_figure(side + 0.8 + GRAPH_WIDTH, max(side + 0.3, 6.0))
    left, right = figure.subplots(1, 2, width_ratios=(side + 0.8, GRAPH_WIDTH))
    _draw_matrix(left, graph, communities)
    draw_graph(right, graph, communities)
    return figure


def _side(graph: nx.Graph) -> float:
    return max(ROW * len(graph), LEAST_SIDE)


def _draw_matrix(axes: Axes, graph: nx.Graph, communities: Sequence[Sequence[str]]) -> None:
    import networkx as nx
    from matplotlib.patches import Rectangle

    grouped = [name for group in communities for name in group]
    order = [*grouped, *(name for name in graph if name not in set(grouped))]
    weights = nx.to_numpy_array(graph, nodelist=order)
    np.fill_diagonal(weights, np.nan)
    picture = axes.imshow(weights, cmap="YlGnBu", aspect="auto", vmin=0, vmax=np.nanmax(weights, initial=0) or 1)
    names = [fitted(name, 24, 1) for name in order]
    axes.set_yticks(range(len(order)), names, fontsize=8)
    axes.set_xticks(range(len(order)), names, fontsize=8, rotation=90)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    start = 0
    for group in communities:
        frame = Rectangle((start - 0.5, start - 0.5), len(group), len(group), fill=False, edgecolor="tab:red")
        axes.add_patch(frame)
        start += len(group)
    assert axes.figure is not None
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("seen together: the model's answer + in sentences", fontsize=8)
    bar.ax.tick_params(labelsize=8)
