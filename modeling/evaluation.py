"""Mean average precision over categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score


def mean_average_precision(scores: NDArray[np.floating], labels: NDArray[np.integer], min_positives: int = 1) -> float:
    """Average precision of each category, averaged over those with enough positives; nan if there is none.

    Args:
        scores: (N, K), any monotone score.
        labels: (N, K), multi-hot.
        min_positives: categories with fewer positives are left out of the mean.
    """
    columns = [k for k in range(labels.shape[1]) if labels[:, k].sum() >= min_positives]
    return float(np.mean([average_precision_score(labels[:, k], scores[:, k]) for k in columns] or [np.nan]))
