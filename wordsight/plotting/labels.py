"""Photos with their labels, and with where each label is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from wordsight.pipelines.image_io import decode_photo
from wordsight.utils.errors import InvalidInputError

from .figures import fitted, make_figure
from .overlay import overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Labels = Sequence[Mapping[str, Any]]  # of a photo, as the pipeline gives them

SHOWN_SIDE = 480  # pixels; photos in figures are no larger
PHOTOS_IN_A_ROW = 3


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


def _paired(
    photo: Image.Image | Sequence[Image.Image], labels: Labels | Sequence[Labels], titles: Sequence[str] | None
) -> tuple[list[Image.Image], list[Any], list[str]]:
    """Photos, their labels and their titles, equally many."""
    photos, found = ([photo], [labels]) if isinstance(photo, Image.Image) else (list(photo), list(labels))
    names = [""] * len(photos) if titles is None else list(titles)
    if not photos or len({len(photos), len(found), len(names)}) > 1:
        raise InvalidInputError(
            f"Got {len(photos)} photos, {len(found)} lists of labels and {len(names)} titles. Pass one list "
            "of labels and one title per photo."
        )
    return photos, found, names


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
