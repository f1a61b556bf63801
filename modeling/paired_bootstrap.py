"""How much better one way of scoring is than another on the same photos: a paired bootstrap over photos and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import INTERVAL, average_precisions, resampled_maps

RESAMPLES = 1000


@dataclass(frozen=True)
class PairedDifference:
    """By how much the mAP of some runs is above a baseline's, and how sure that is.

    Attributes:
        by_run: mAP of each run less the baseline's, on the photos as they are.
        interval: 95% percentile interval of the mean over runs.
        win_rate: share of the resamples in which the mean over runs is above the baseline.
        resamples: how many there were; those without any positive label are not counted.
    """

    by_run: tuple[float, ...]
    interval: tuple[float, float]
    win_rate: float
    resamples: int

    @property
    def difference(self) -> float:
        """Mean over the runs."""
        return float(np.mean(self.by_run))


def paired_difference(
    runs: Sequence[NDArray[np.floating]],
    baseline: NDArray[np.floating],
    labels: NDArray[np.integer],
    min_positives: int = 1,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """The mean difference in mAP between runs (models of several seeds) and a baseline.

    A resample draws N of the N photos with replacement, for all scorings the same, and a category that it has no
    positive of is left out of all. It also draws S of the S runs with replacement, independently of the photos: the
    pigeonhole bootstrap (Owen 2007, doi 10.1214/07-AOAS122), so that the interval holds for other photos and for other
    seeds. One run is always itself, and the interval is over photos alone.

    Args:
        runs: S times (N, K), any monotone score.
        baseline: (N, K), likewise.
        labels: (N, K): 1, 0, or -1 for photos that don't count.
        min_positives: categories with fewer positives, in the whole set, are left out of the mean.
        resamples: how often to draw.
        seed: of the drawing.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[1], [0], [0]])
        >>> better, worse = np.array([[3], [2], [1]]), np.array([[1], [2], [3]])
        >>> round(paired_difference([better], worse, labels).difference, 3)
        0.667
    """
    columns = (labels == 1).sum(axis=0) >= max(min_positives, 1)
    # Differences before means: equal scores differ by exactly 0, whatever is rounded.
    *of_runs, of_baseline = (average_precisions(scores, labels)[columns].mean() for scores in (*runs, baseline))
    *resampled, against = resampled_maps([*runs, baseline], labels, min_positives, resamples, seed)
    differences = np.stack(resampled) - against
    drawn = np.random.default_rng([seed, 1]).multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=resamples)
    means = (drawn.T / len(runs) * differences).sum(axis=0)
    means = means[~np.isnan(means)]
    low, high = np.percentile(means, INTERVAL)
    return PairedDifference(
        by_run=tuple(float(value - of_baseline) for value in of_runs),
        interval=(float(low), float(high)),
        win_rate=float((means > 0).mean()),
        resamples=len(means),
    )
