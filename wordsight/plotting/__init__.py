"""Pictures of what a model sees, how it was trained, how good it is, and how its categories go together.

Each function takes plain data and gives a `matplotlib.figure.Figure` (`overlay`: an image); none needs a display:

    >>> from wordsight.plotting import plot_heatmaps
    >>> photo = Image.open("photo.jpg")  # doctest: +SKIP
    >>> labels = labeler(photo, top_k=3, output_heatmaps=True)  # doctest: +SKIP
    >>> plot_heatmaps(photo, labels).savefig("where.png")  # doctest: +SKIP

All of them raise `MissingDependencyError` where matplotlib is not installed: `pip install 'wordsight[plot]'`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from wordsight.pipelines.image_io import decode_photo
from wordsight.utils.errors import InvalidInputError

from .figures import fitted, make_figure
from .overlay import overlay

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

__all__ = [
    "overlay",
    "plot_average_precision",
    "plot_cooccurrence_graph",
    "plot_group_dendrogram",
    "plot_groups",
    "plot_heatmaps",
    "plot_labels",
    "plot_training_curves",
]

Labels = Sequence[Mapping[str, Any]]  # of a photo, as the pipeline gives them

SHOWN_SIDE = 480  # pixels; photos in figures are no larger
PHOTOS_IN_A_ROW = 3
MOST_BARS = 120  # categories of which average precisions are drawn
SHOWN_EDGES = 4  # a category, the strongest
GRAPH_WIDTH = 9  # inches


def plot_labels(
    photo: Image.Image | Sequence[Image.Image],
    labels: Labels | Sequence[Labels],
    titles: Sequence[str] | None = None,
    top_k: int = 5,
) -> Figure:
    """Photos, and under each its best labels as bars of their scores; green from 0.5 on, the calibrated threshold.

    Args:
        photo: a photo or several.
        labels: what the pipeline gives for them: a list of labels, or a list of such lists.
        titles: one a photo.
        top_k: at most so many labels a photo.

    Raises:
        InvalidInputError: photos, labels and titles are not equally many.
    """
    photos, found, names = _paired(photo, labels, titles)
    columns = min(len(photos), PHOTOS_IN_A_ROW)
    rows = -(-len(photos) // columns)
    figure = make_figure(4 * columns, 4.5 * rows)
    grid = figure.subplots(2 * rows, columns, height_ratios=(3, 1.3) * rows, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for index, (image, entries, title) in enumerate(zip(photos, found, names, strict=True)):
        row, column = 2 * (index // columns), index % columns
        _show(grid[row, column], image, title)
        _draw_scores(grid[row + 1, column], entries[:top_k])
    return figure


def plot_heatmaps(
    photo: Image.Image | Sequence[Image.Image],
    labels: Labels | Sequence[Labels],
    titles: Sequence[str] | None = None,
) -> Figure:
    """A row a photo: the photo, then where each of its labels is, with the score, which says whether it is there.

    Args:
        photo: a photo or several.
        labels: what the pipeline gives for them with `output_heatmaps=True`.
        titles: one a photo.

    Raises:
        InvalidInputError: photos, labels and titles are not equally many, or labels have no heat map.
    """
    photos, found, names = _paired(photo, labels, titles)
    photos = [_shown(image) for image in photos]
    if any("heatmap" not in entry for entries in found for entry in entries):
        raise InvalidInputError("These labels have no heat maps. Call the pipeline with output_heatmaps=True.")
    columns = 1 + max(map(len, found))
    heights = [min(max(image.height / image.width, 0.4), 1.5) for image in photos]
    figure = make_figure(2.4 * columns, sum(2.2 * height + 0.5 for height in heights))
    grid = figure.subplots(len(photos), columns, height_ratios=heights, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for row, image, entries, title in zip(grid, photos, found, names, strict=True):
        _show(row[0], image, title)
        for axes, entry in zip(row[1:], entries, strict=False):
            _show(axes, overlay(image, entry["heatmap"]), f"{entry['label']} {entry['score']:.2f}")
    return figure


def plot_training_curves(log: Mapping[str, Any] | str | Path) -> Figure:
    """Loss and mAP on held-out sentences, by epoch.

    Args:
        log: a model's `training_log.json`: what it holds, its path, or the model's folder.

    Raises:
        InvalidInputError: it can't be read, or tells of no epoch.
    """
    history = _read(log, "training_log.json").get("history")
    if not history:
        raise InvalidInputError("This training log tells of no epoch. Give the training_log.json beside a model.")
    figure = make_figure(7, 3.2)
    losses, precisions = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in history]
    for axes, field, factor, title in (
        (losses, "loss", 1, "ranking loss of a sentence"),
        (precisions, "validation_map", 100, "mAP on held-out sentences, %"),
    ):
        axes.plot(epochs, [factor * record[field] for record in history], marker="o", markersize=3)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_average_precision(report: Mapping[str, Any] | str | Path) -> Figure:
    """Average precision by category, as groups of bars; the first method's best categories on top.

    Of more than 120 categories, the first method's best 60 and its worst 60.

    Args:
        report: the report of `wordsight evaluate --json`, or a model's `evaluation.json`: what it holds, its path, or
            the model's folder. Or plain figures: name of a method -> category -> average precision, between 0 and 1.

    Raises:
        InvalidInputError: it can't be read, or holds no figures.
    """
    series = _precisions(_read(report, "evaluation.json"))
    if not any(series.values()):
        raise InvalidInputError("This report holds no average precision. Give what `wordsight evaluate --json` wrote.")
    first = next(iter(series.values()))
    names = sorted({name for values in series.values() for name in values}, key=lambda name: first.get(name, 0.0))
    left_out = len(names) - MOST_BARS
    if left_out > 0:
        names = names[: MOST_BARS // 2] + names[-MOST_BARS // 2 :]
    height = 0.8 / len(series)
    figure = make_figure(9, 1.5 + 0.3 * len(series) + (0.12 + 0.12 * len(series)) * len(names))
    axes = figure.subplots()
    for number, (label, values) in enumerate(series.items()):
        positions = [place + 0.4 - (number + 0.5) * height for place in range(len(names))]
        axes.barh(positions, [100 * values.get(name, 0.0) for name in names], height, label=label)
    axes.set_yticks(range(len(names)), [fitted(name, 30, 1) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("average precision, %")
    if left_out > 0:
        axes.axhline(MOST_BARS // 2 - 0.5, color="gray", linestyle=":")
        axes.set_title(f"the best and the worst; {left_out} between them are left out", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(series), 2))
    return figure


def plot_group_dendrogram(names: Sequence[str], embeddings: ArrayLike, num_groups: int) -> Figure:
    """Which categories look alike: their hierarchical clustering, cut into attribute groups.

    Args:
        names: K category names.
        embeddings: (K, D), of what they look like (`wordsight.modeling.grouping.looks`).
        num_groups: into how many groups to cut, from 1 to K.

    Raises:
        InvalidInputError: names and embeddings are not equally many, or there are not so many groups.
    """
    figure = make_figure(7, max(3.0, 0.18 * len(names)))
    _draw_dendrogram(figure.subplots(), names, np.asarray(embeddings), num_groups)
    return figure


def plot_cooccurrence_graph(graph: nx.Graph, communities: Sequence[Sequence[str]] = ()) -> Figure:
    """Which categories are seen together: a graph, strong company near and by broad lines, communities by color.

    Args:
        graph: of categories, with edges weighted by company (`wordsight.modeling.grouping.cooccurrence_graph`).
        communities: groups of its categories (`wordsight.modeling.grouping.cooccurrence_groups`).
    """
    figure = make_figure(GRAPH_WIDTH, max(6.0, 0.12 * len(graph)))
    _draw_graph(figure.subplots(), graph, communities)
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
    _draw_graph(right, graph, communities)
    return figure


def _paired(
    photo: Image.Image | Sequence[Image.Image], labels: Labels | Sequence[Labels], titles: Sequence[str] | None
) -> tuple[list[Image.Image], list[Any], list[str]]:
    """Photos, their labels and their titles, equally many."""
    photos, found = ([photo], [labels]) if isinstance(photo, Image.Image) else (list(photo), list(labels))
    names = [""] * len(photos) if titles is None else list(titles)
    if not photos or len({len(photos), len(found), len(names)}) > 1:
        raise InvalidInputError(
            f"Got {len(photos)} photos, {len(found)} lists of labels and {len(names)} titles. Give one of each a photo."
        )
    return photos, found, names


def _read(source: Mapping[str, Any] | str | Path, name: str) -> Mapping[str, Any]:
    """What a JSON file holds, which may be read already, or be of that name in a folder."""
    if isinstance(source, Mapping):
        return source
    path = Path(source) / name if Path(source).is_dir() else Path(source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} can't be read ({error}). Give a {name}, or the folder with it.") from error
    if not isinstance(content, dict):
        raise InvalidInputError(f"{path} holds no JSON object. Give a {name}, or the folder with it.")
    return content


def _precisions(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Average precisions by method, or by set of photos where only the model itself was measured."""
    for field, name in (("results", "method"), ("evaluations", "benchmark")):
        if isinstance(rows := report.get(field), list):
            options = [row.get("score_standardization", "none") for row in rows]
            shown = [f"{option}, " if len(set(options)) > 1 else "" for option in options]
            return {
                f"{row[name]} ({option}mAP {100 * row['map']:.1f})": row["ap"]
                for row, option in zip(rows, shown, strict=True)
            }
    if not all(isinstance(values, Mapping) for values in report.values()):
        return {}
    return dict(report)


def _shown(photo: Image.Image) -> Image.Image:
    """A photo, no larger than it is drawn."""
    small = decode_photo(photo).copy()
    small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
    return small


def _show(axes: Axes, photo: Image.Image, title: str) -> None:
    axes.imshow(_shown(photo))
    axes.set_title(fitted(title, 24), fontsize=9)


def _draw_scores(axes: Axes, entries: Labels) -> None:
    best = entries[::-1]
    scores = [entry["score"] for entry in best]
    colors = ["tab:green" if score >= 0.5 else "tab:gray" for score in scores]
    axes.axis("on")
    bars = axes.barh(range(len(best)), scores, color=colors)
    axes.set_yticks(range(len(best)), [fitted(entry["label"], 20, 1) for entry in best])
    axes.bar_label(bars, labels=[f"{score:.2f}" for score in scores], padding=3)
    axes.set_xlim(0, 1.15)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_xticks([])


def _draw_dendrogram(axes: Axes, names: Sequence[str], embeddings: Any, num_groups: int) -> None:
    from scipy.cluster.hierarchy import dendrogram, linkage

    if len(names) != len(embeddings) or not 1 <= num_groups <= len(names):
        raise InvalidInputError(
            f"Got {len(names)} names, {len(embeddings)} embeddings and {num_groups} groups. Give an embedding a name, "
            "and no more groups than names."
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


def _draw_graph(axes: Axes, graph: nx.Graph, communities: Sequence[Sequence[str]]) -> None:
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
