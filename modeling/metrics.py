"""Multi-label metrics: average precision, precision and recall at thresholds and at top-k, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import needs

with needs("train"):
    from sklearn.metrics import average_precision_score

# Photos times resamples, and photos times categories, that are worked on at once: some 10 MB of temporary arrays.
RESAMPLE_CELLS, BLOCK_CELLS = 1_000_000, 250_000
INTERVAL = (2.5, 97.5)  # percentiles


def average_precisions(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Average precision (K,) of each category: all points, no interpolation; nan where a category has no positive.

    AP = sum over thresholds n of (R_n - R_{n-1}) P_n, as the multi-label papers have it; photos with equal scores come
    in at one threshold. A photo whose label is -1 does not count for that category.

    Args:
        scores: (N, K), any monotone score.
        labels: (N, K): 1, 0, or -1 for photos that don't count.
    """
    values = np.full(labels.shape[1], np.nan)
    for k in range(labels.shape[1]):
        counted = labels[:, k] >= 0
        if labels[counted, k].any():
            values[k] = average_precision_score(labels[counted, k], scores[counted, k])
    return values


def mean_average_precision(scores: NDArray[np.floating], labels: NDArray[np.integer], min_positives: int = 1) -> float:
    """Average precision of each category, averaged over those with enough positives; nan if there is none.

    Args:
        scores: (N, K), any monotone score.
        labels: (N, K): 1, 0, or -1 for photos that don't count.
        min_positives: categories with fewer positives are left out of the mean.
    """
    counted = (labels == 1).sum(axis=0) >= max(min_positives, 1)
    return float(average_precisions(scores, labels)[counted].mean()) if counted.any() else float("nan")


def bootstrap_interval(
    scores: NDArray[np.floating],
    labels: NDArray[np.integer],
    min_positives: int = 1,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of mAP under resampling of photos (Efron and Tibshirani 1993, chapter 13).

    The categories are those that count in the whole set; one that a resample has no positive of is left out of it.
    """
    (values,) = resampled_maps([scores], labels, min_positives, resamples, seed)
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, INTERVAL)
    return float(low), float(high)


def resampled_maps(
    rankings: Sequence[NDArray[np.floating]],
    labels: NDArray[np.integer],
    min_positives: int = 1,
    resamples: int = 200,
    seed: int = 0,
) -> NDArray[np.float64]:
    """MAP (M, R) of M scorings in R resamples of the photos, each the same photos for all; nan where none is positive.

    Args:
        rankings: M times (N, K), any monotone score.
        labels: (N, K): 1, 0, or -1 for photos that don't count.
        min_positives: categories with fewer positives, in the whole set, are left out of the mean.
        resamples: R, of N photos with replacement.
        seed: of the resampling.
    """
    columns = np.flatnonzero((labels == 1).sum(axis=0) >= max(min_positives, 1))
    rng, chances = np.random.default_rng(seed), np.full(len(labels), 1 / len(labels))
    maps = np.full((len(rankings), resamples), np.nan)
    if not len(columns):
        return maps
    # In blocks, so that memory does not grow with the resamples' number times that of the photos. Small blocks fit into
    # the processor's cache, which makes up for sorting anew in each.
    block = max(1, RESAMPLE_CELLS // len(labels))
    for start in range(0, resamples, block):
        part = slice(start, min(start + block, resamples))
        weights = np.empty((part.stop - start, len(labels)), dtype=np.uint16)
        for row in weights:
            row[:] = rng.multinomial(len(labels), chances)
        for number, scores in enumerate(rankings):
            values = np.stack([_resampled_average_precision(scores[:, k], labels[:, k], weights) for k in columns])
            found = ~np.isnan(values)
            sums = np.where(found, values, 0).sum(axis=0)
            maps[number, part] = np.divide(sums, found.sum(axis=0), out=maps[number, part], where=found.any(axis=0))
    return maps


def _resampled_average_precision(
    scores: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Average precision (R,) of one category in R resamples, given how often each has each photo: (R, N).

    Sorts once, and sums between positives only; scikit-learn would sort for each resample, which took longer than the
    image encoder.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[labels[order] >= 0]
    positive = labels[order] == 1
    # Thresholds end where the score changes: equal scores come in together. Only those with a positive raise recall.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    threshold = np.searchsorted(ends, np.flatnonzero(positive))  # of each positive
    raising, firsts = np.unique(threshold, return_index=True)
    last = ends[raising]
    found = _segment_sums(weights[:, order[: last[-1] + 1]], np.append(0, last[:-1] + 1)).cumsum(axis=1)
    gained = _segment_sums(weights[:, order[positive]], firsts)
    hits = gained.cumsum(axis=1)
    with np.errstate(invalid="ignore"):  # a resample without a positive: nan
        values: NDArray[np.float64] = (gained * (hits / np.maximum(found, 1))).sum(axis=1) / hits[:, -1]
    return values


def _segment_sums(weights: NDArray[np.integer], starts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Sums (R, S) of the columns from each start to the next."""
    return np.asarray(np.add.reduceat(weights, starts, axis=1, dtype=np.int64))


@dataclass(frozen=True)
class F1:
    """Precision, recall and F1 over categories (C: mean of each) and over all decisions (O), as in ML-GCN (1904.03582).

    Attributes:
        cf1: harmonic mean of the categories' mean precision and mean recall.
        of1: harmonic mean of precision and recall of all decisions together.
    """

    cp: float
    cr: float
    cf1: float
    op: float
    or_: float
    of1: float


def f1_scores(decisions: NDArray[np.bool_], labels: NDArray[np.integer]) -> F1:
    """CF1 and OF1 of yes-or-no decisions (N, K); categories without a positive are left out."""
    counted = labels >= 0
    columns = (labels == 1).any(axis=0)
    hits = ((labels == 1) & decisions).sum(axis=0)[columns]
    said = (decisions & counted).sum(axis=0)[columns]
    true = (labels == 1).sum(axis=0)[columns]
    cp, cr = float((hits / np.maximum(said, 1)).mean()), float((hits / np.maximum(true, 1)).mean())
    op, or_ = float(hits.sum() / max(said.sum(), 1)), float(hits.sum() / max(true.sum(), 1))
    return F1(cp, cr, _harmonic(cp, cr), op, or_, _harmonic(op, or_))


def top_k(scores: NDArray[np.floating], k: int) -> NDArray[np.bool_]:
    """The k best categories of each photo as decisions (N, K)."""
    decisions = np.zeros(scores.shape, dtype=bool)
    block = max(1, BLOCK_CELLS // max(scores.shape[1], 1))
    for start in range(0, len(scores), block):
        part = slice(start, start + block)
        best = np.argsort(-scores[part], axis=1, kind="stable")[:, :k]
        np.put_along_axis(decisions[part], best, True, axis=1)
    return decisions


def recall_at_labels(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Share of all labels that are among the n best of their photo, n being the number of its labels.

    Args:
        scores: (N, K), any monotone score.
        labels: (N, K): 1, 0, or -1 for categories that don't count for a photo.
    """
    present = labels == 1
    places = np.argsort(np.argsort(-np.where(labels < 0, -np.inf, scores), axis=1, kind="stable"), axis=1)
    found = present & (places < present.sum(axis=1, keepdims=True))
    return float(found.sum() / max(present.sum(), 1))


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
