"""Draws the figures of docs/method.md: `python docs/figures/draw.py docs/images`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK, QUIET = "#263238", "#78909c"
FROZEN, LEARNED, DATA = "#cfd8dc", "#ffcc80", "#e0f2f1"
LEVELS = {"shared": "#ffcc80", "attribute": "#a5d6a7", "cooccurrence": "#90caf9", "category": "#f48fb1"}
PHOTO_CELLS = 7


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty drawing whose unit is a tenth of an inch."""
    figure = Figure(figsize=(width / 10, height / 10))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, width: float, height: float, text: str, color: str, size: float = 9) -> None:
    """A rounded box with text; x and y are its lower left corner."""
    style = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.8", facecolor=color, edgecolor=INK, linewidth=0.8
    )
    axes.add_patch(style)
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=size, color=INK, linespacing=1.35)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    """An arrow, with a word above its middle."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=INK, linewidth=0.9))
    if text:
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.8
        axes.text(*middle, text, ha="center", va="bottom", fontsize=8, color=QUIET)


def legend(axes: Axes, x: float, y: float, entries: dict[str, str]) -> None:
    """Colored squares and what they mean, in a row."""
    for text, color in entries.items():
        axes.add_patch(Rectangle((x, y), 1.6, 1.6, facecolor=color, edgecolor=INK, linewidth=0.6))
        axes.text(x + 2.4, y + 0.8, text, va="center", fontsize=8, color=INK)
        x += 5 + 0.85 * len(text)


def pipeline() -> Figure:
    """From names to labels: above what happens once, below what happens to each photo."""
    figure, axes = canvas(100, 40)
    axes.text(1, 37.4, "once, with no photo", fontsize=9, color=QUIET, style="italic")
    box(axes, 1, 24, 13, 10, "category\nnames", DATA)
    box(axes, 20, 24, 15, 10, "language model:\nattributes, scenes,\nco-occurrence", FROZEN)
    box(axes, 41, 24, 15, 10, "sentences,\nlabeled by what\nthey mention", DATA)
    box(axes, 62, 24, 15, 10, "text encoder", FROZEN)
    box(axes, 83, 24, 16, 10, "prompt tokens,\nby a ranking loss", LEARNED)
    for x in (14, 35, 56, 77):
        arrow(axes, (x, 29), (x + 6, 29))
    axes.plot([1, 99], [20.3, 20.3], color=QUIET, linestyle=":", linewidth=1)
    axes.text(1, 17.3, "for each photo", fontsize=9, color=QUIET, style="italic")
    box(axes, 1, 4, 13, 10, "photo", DATA)
    box(axes, 20, 4, 15, 10, "image encoder", FROZEN)
    box(axes, 41, 4, 20, 10, "cosines: whole photo\nand each patch", DATA)
    box(axes, 83, 4, 16, 10, "labels, scores,\nheat maps", DATA)
    box(axes, 67, 4, 10, 10, "score", DATA)
    for start, end in ((14, 20), (35, 41), (61, 67), (77, 83)):
        arrow(axes, (start, 9), (end, 9))
    arrow(axes, (91, 24), (58, 14))
    axes.text(77, 20.9, "category embeddings, computed once", fontsize=8, color=QUIET, ha="right")
    legend(axes, 1, 0.4, {"data": DATA, "frozen": FROZEN, "learned": LEARNED})
    return figure


def hierarchy() -> Figure:
    """Which tokens the prompts of four categories share."""
    figure, axes = canvas(100, 40)
    rows = [  # name, attribute group, co-occurrence group
        ("dog", "A", "I"),
        ("horse", "A", "II"),
        ("cart", "B", "II"),
        ("sofa", "B", "I"),
    ]
    columns = {"shared": 12, "attribute": 30, "cooccurrence": 48, "category": 66}
    titles = {
        "shared": "shared by all",
        "attribute": "of those that\nlook alike",
        "cooccurrence": "of those that are\nseen together",
        "category": "its own",
    }
    for level, x in columns.items():
        axes.text(x + 8, 35.5, titles[level], ha="center", va="center", fontsize=9, color=INK)
    axes.text(90, 35.5, "its name", ha="center", va="center", fontsize=9, color=INK)
    for number, (name, alike, together) in enumerate(rows):
        y = 26 - 7.5 * number
        marks = {"shared": "", "attribute": alike, "cooccurrence": together, "category": name[0]}
        axes.text(1, y + 2.2, "[SOS]", va="center", fontsize=9, color=INK, family="monospace")
        for level, x in columns.items():
            for token in range(4):
                shade = LEVELS[level]
                axes.add_patch(Rectangle((x + 4 * token, y), 3.4, 4.4, facecolor=shade, edgecolor=INK, linewidth=0.7))
                label = rf"$g_{token + 1}$" if level == "shared" else rf"${marks[level]}_{token + 1}$"
                axes.text(x + 4 * token + 1.7, y + 2.2, label, ha="center", va="center", fontsize=8, color=INK)
        axes.text(84, y + 2.2, f"{name} [EOS]", va="center", fontsize=9, color=INK, family="monospace")
    axes.text(
        12,
        0.2,
        "Equal tokens are one and the same parameter. The name's embeddings are frozen.",
        fontsize=8,
        color=QUIET,
    )
    return figure


def branches() -> Figure:
    """What the global and the local branch compare, in training and on photos."""
    figure, axes = canvas(100, 58)
    axes.text(24, 55.5, "training: a sentence", ha="center", fontsize=10, color=INK)
    axes.text(76, 55.5, "use: a photo", ha="center", fontsize=10, color=INK)
    axes.plot([50, 50], [1, 56], color=QUIET, linestyle=":", linewidth=1)
    words = ["a", "dog", "sleeps", "on", "a", "sofa"]
    for number, word in enumerate(words):
        box(axes, 3 + 7.2 * number, 45, 6.6, 4.4, word, DATA, 8)
    box(axes, 3, 36, 42.6, 5, "text encoder", FROZEN)
    _draw_photo(axes, 66, 41)
    box(axes, 55, 33, 42, 5, "image encoder", FROZEN)
    for left, start in ((3, 45.0), (55, 41.0)):
        arrow(axes, (left + 21, start), (left + 21, start - 4 if left == 3 else 38))
    for left, bottom, whole, parts in (
        (3, 36, "the sentence\n$g(x)$", "its tokens\n$t_1 \\ldots t_L$"),
        (55, 33, "the photo\n$g(x)$", "its patches\n$t_1 \\ldots t_P$"),
    ):
        for x, text in ((left, whole), (left + 23, parts)):
            arrow(axes, (x + 9.5, bottom), (x + 9.5, 28.5))
            box(axes, x, 21.5, 19, 7, text, DATA)
            arrow(axes, (x + 9.5, 21.5), (x + 9.5, 17.5))
        box(axes, left, 10.5, 19, 7, "cosine with the\nglobal prompts $G_i$", LEARNED)
        box(axes, left + 23, 10.5, 19, 7, "softmax mean of cosines\nwith the local prompts $L_i$", LEARNED, 8)
        arrow(axes, (left + 9.5, 10.5), (left + 19, 6.5))
        arrow(axes, (left + 32.5, 10.5), (left + 23, 6.5))
    box(axes, 14, 1.5, 20, 5, "a ranking loss on each", DATA)
    box(axes, 66, 1.5, 20, 5, "weighted mean", DATA)
    return figure


def _draw_photo(axes: Axes, x: float, y: float) -> None:
    """A stock photo with the grid of its patches."""
    from skimage import data

    size = 13
    picture = data.chelsea()[:, 75:375]
    axes.imshow(picture, extent=(x, x + 20, y, y + size), aspect="auto", zorder=2)
    axes.set(xlim=(0, 100), ylim=(0, 58))
    for line in range(PHOTO_CELLS + 1):
        axes.plot([x + 20 * line / PHOTO_CELLS] * 2, [y, y + size], color="white", linewidth=0.6, zorder=3)
        axes.plot([x, x + 20], [y + size * line / PHOTO_CELLS] * 2, color="white", linewidth=0.6, zorder=3)


FIGURES = {"method-pipeline": pipeline, "method-hierarchy": hierarchy, "method-branches": branches}


def main(folder: Path) -> None:
    """Writes all figures into a folder; the same on every run."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "wordsight", "mathtext.fontset": "stix"}):
        for name, draw in FIGURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
