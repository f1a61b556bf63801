"""Learned prompts beside the strongest zero-shot row: the difference in mAP, how sure it is, and that in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..paired_bootstrap import RESAMPLES, PairedDifference, paired_difference
from .options import ZERO_SHOT
from .results import Result, own_row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def compare_to_zero_shot(
    models: Sequence[str],
    results: Sequence[Result],
    scores: Mapping[tuple[str, str], NDArray[np.floating]],
    labels: NDArray[np.integer],
    min_positives: int = 1,
    resamples: int = RESAMPLES,
) -> dict[str, Any] | None:
    """The models' rows against the zero-shot row with the highest mAP on these very photos.

    That row is chosen with the photos' labels, as no user of zero-shot could, and stays the same in all resamples. So
    the comparison is, if anything, unfair to the models.

    Args:
        models: the methods that are models; several are runs of one setting with other seeds.
        results: the rows of all methods.
        scores: (method, score standardization) -> (N, K).
        labels: (N, K): 1, 0, or -1 for photos that don't count.
        min_positives: categories with fewer positives are not counted.
        resamples: of the bootstrap (see `paired_difference`).

    Returns:
        What the report and the card hold, in words as "summary"; None unless a model and a zero-shot row are there.
    """
    mine = [row for method in models if (row := own_row(results, method))]
    zero_shot = [row for row in results if row.method in ZERO_SHOT]
    if not mine or not zero_shot:
        return None
    best = max(zero_shot, key=lambda row: row.map)
    found = paired_difference(
        [scores[row.method, row.score_standardization] for row in mine],
        scores[best.method, best.score_standardization],
        labels,
        min_positives,
        resamples,
    )
    measured = len({row.method for row in zero_shot})
    return {
        "baseline": best.method,
        "baseline_score_standardization": best.score_standardization,
        "baseline_map": best.map,
        "zero_shot_rows": measured,
        "difference": found.difference,
        "by_model": dict(zip([row.method for row in mine], found.by_run, strict=True)),
        "interval": list(found.interval),
        "win_rate": found.win_rate,
        "resamples": found.resamples,
        "summary": _in_words(found, best, measured),
    }


def _in_words(found: PairedDifference, best: Result, measured: int) -> str:
    """One sentence: "Learned prompts vs the strongest of 5 zero-shot rows (...): +1.2 mAP [-0.3, +2.6], ..."."""
    models, which = len(found.by_run), "the only zero-shot row measured"
    if measured > 1:
        which = f"the strongest of {measured} zero-shot rows"
    scored = "" if best.score_standardization == "none" else f', scores "{best.score_standardization}"'
    learned, resampled = "Learned prompts", "the photos"
    if models > 1:
        learned += f" (mean of {models} models: {', '.join(map(_points, found.by_run))})"
        resampled += " and of the models"
    low, high = found.interval
    return (
        f"{learned} vs {which} ({ZERO_SHOT[best.method]}{scored}): {_points(found.difference)} mAP "
        f"[{_points(low)}, {_points(high)}], better in {_percent(found.win_rate)} of {found.resamples:,} resamples of "
        f"{resampled}."
    )


def _points(difference: float) -> str:
    """A difference in percentage points, with its sign; "+0.0" for what rounds to nothing."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def _percent(share: float) -> str:
    """A share, where 0% and 100% are never and always."""
    return f"{round(100 * share) if share in (0, 1) else min(max(round(100 * share), 1), 99)}%"
