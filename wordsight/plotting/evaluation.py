"""Pictures of an evaluation: average precision by category, and the best and worst photos of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wordsight.modeling.evaluation.options import ZERO_SHOT
from wordsight.modeling.evaluation.results import Evaluation, Result
from wordsight.pipelines.image_loader import open_photo

from .figures import fitted, make_figure
from .reports import plot_average_precision

PHOTOS_PER_SIDE = 3
CATEGORIES_PER_PAGE = 10


def draw_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Writes `ap.png` and `photos-1.png`, ... into a folder; gives their paths.

    Where a model is compared with zero-shot rows, the bars show the strongest one alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bars = folder / "ap.png"
    results, comparison = evaluation.report["results"], evaluation.report["comparison"]
    if comparison:
        weaker = ZERO_SHOT.keys() - {comparison["baseline"]}
        results = [result for result in results if result["method"] not in weaker]
    plain = [result for result in results if result["score_standardization"] == "none"]
    plot_average_precision({"results": plain or results}).savefig(bars, dpi=80)
    # The model itself, if it was measured.
    learned = (result for result in evaluation.results if result.method.partition(" (")[0] == "learned")
    shown = next(learned, evaluation.results[0])
    return [bars, *_draw_photos(evaluation, shown, folder)]


def _draw_photos(evaluation: Evaluation, result: Result, folder: Path) -> list[Path]:
    """A row a category: the photos it is surest of (green: right), then its positives that it ranks lowest."""
    scores = evaluation.scores[result.method, result.score_standardization]
    labels = evaluation.dataset.labels
    categories = [k for k, name in enumerate(evaluation.categories) if name in result.ap]
    paths = []
    for page, start in enumerate(range(0, len(categories), CATEGORIES_PER_PAGE), start=1):
        rows = categories[start : start + CATEGORIES_PER_PAGE]
        figure = make_figure(12, 2 * len(rows) + 0.6)
        figure.suptitle(f"{result.method}: surest photos (green: right), then positives that it ranks lowest")
        grid = figure.subplots(len(rows), 2 * PHOTOS_PER_SIDE, squeeze=False)
        for axes, k in zip(grid, rows, strict=True):
            order = np.argsort(-scores[:, k], kind="stable")
            order = order[labels[order, k] >= 0]
            rank = {int(row): position for position, row in enumerate(order, start=1)}
            missed = [int(row) for row in order if labels[row, k] == 1][::-1][:PHOTOS_PER_SIDE]
            shown = [int(row) for row in order[:PHOTOS_PER_SIDE]] + missed
            name = evaluation.categories[k]
            axes[0].set_ylabel(f"{fitted(name)}\nAP {100 * result.ap[name]:.0f}", fontsize=9)
            for place, box in enumerate(axes):
                box.set_xticks([])
                box.set_yticks([])
                if place < len(shown):
                    _draw_photo(box, evaluation, shown[place], bool(labels[shown[place], k] == 1), rank)
                else:
                    box.set_frame_on(False)
        path = folder / f"photos-{page}.png"
        figure.savefig(path, dpi=80)
        paths.append(path)
    return paths


def _draw_photo(box: Any, evaluation: Evaluation, row: int, right: bool, rank: dict[int, int]) -> None:
    photo = open_photo(evaluation.dataset.photos[row].source)
    photo.thumbnail((240, 240))
    box.imshow(photo)
    box.set_title(f"rank {rank[row]}", fontsize=8)
    for spine in box.spines.values():
        spine.set_color("tab:green" if right else "tab:red")
        spine.set_linewidth(3)
