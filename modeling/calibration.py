"""From logits to scores in [0, 1]: each category's scale and threshold, fitted to sentences or photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordsight.utils.errors import needs

with needs("train"):
    from sklearn.linear_model import LogisticRegression

MIN_EXAMPLES = 5  # of each kind, for a category to get a scale of its own


def fit_calibration(
    logits: NDArray[np.float32], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fits score = sigmoid(scale * (logit - threshold)) per category by logistic regression (Platt scaling, 1999).

    Positives and negatives weigh the same, so that 0.5 is the point where a sentence that mentions the category and
    one that does not are equally likely: photos have other base rates than sentences. Categories with few examples
    take the fit over all categories together.

    Args:
        logits: (M, K), of held-out sentences.
        labels: (M, K), multi-hot.

    Returns:
        scale (K,), positive, and threshold (K,).
    """
    shared = _fit(logits.reshape(-1), labels.reshape(-1)) or (1.0, float(logits.mean()) if logits.size else 0.0)
    fits = [_fit(logits[:, k], labels[:, k]) or shared for k in range(logits.shape[1])]
    scale, threshold = (np.array(column, dtype=np.float64) for column in zip(*fits, strict=True))
    return scale, threshold


def fit_on_photos(
    logits: NDArray[np.float32],
    labels: NDArray[np.integer],
    scale: NDArray[np.float64],
    threshold: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Fits scale and threshold of each category on labeled photos, whose base rates are those of photos to come.

    Args:
        logits: (M, K), of photos.
        labels: (M, K), 1 present, 0 absent, -1 does not count.
        scale: (K,), kept for a category with fewer than 5 photos of either kind, or whose scores don't rise with it.
        threshold: (K,), the same.

    Returns:
        scale (K,), threshold (K,), and whether each category was fitted (K,).
    """
    scale, threshold, fitted = scale.copy(), threshold.copy(), np.zeros(len(scale), dtype=bool)
    for k in range(logits.shape[1]):
        known = labels[:, k] >= 0
        given = logits[known, k].astype(np.float64)
        # The fit's penalty is for columns that spread by 1; scores that spread by tenths would hardly count.
        center, spread = (float(given.mean()), float(given.std())) if given.size else (0.0, 0.0)
        if spread and (fit := _fit((given - center) / spread, labels[known, k], balanced=False)):
            scale[k], threshold[k] = fit[0] / spread, center + spread * fit[1]
            fitted[k] = True
    return scale, threshold, fitted


def _fit(
    logits: NDArray[np.floating], labels: NDArray[np.integer], balanced: bool = True
) -> tuple[float, float] | None:
    present = int(labels.sum())
    if min(present, len(labels) - present) < MIN_EXAMPLES:
        return None
    model = LogisticRegression(class_weight="balanced" if balanced else None).fit(logits.reshape(-1, 1), labels)
    scale = float(model.coef_[0, 0])
    return (scale, -float(model.intercept_[0]) / scale) if scale > 0 else None
