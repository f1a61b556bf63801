"""Methods that are fitted to the measured photos, without their labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..modeling_inference import PHOTO_CLASSIFIER_WEIGHT
from ..photo_classifier import FEWEST_CONFIDENT, fit_photo_classifier
from ..scoring import mix_classifier
from ..standardization import standardize_scores
from .methods import Method
from .photo_scores import PhotoScores


def fit_to_photos(methods: Sequence[Method], photos: PhotoScores) -> dict[str, NDArray[np.float32]]:
    """Scores (N, K) with a classifier of the photos mixed in, as `wordsight calibrate --method gda` does.

    Args:
        methods: all that are measured; those that are not fitted to photos are passed over.
        photos: their scores, and the photos' features.
    """
    fitted = {}
    for method in methods:
        if method.fitted_for is None:
            continue
        config = method.fitted_for.config
        scores, features = (torch.from_numpy(array) for array in (photos.scores[method.name], photos.features))
        found = standardize_scores(
            config.score_standardization,
            scores,
            torch.from_numpy(photos.compounds[method.name]),
            config.compound_members(),
            method.fitted_for.score_statistics,
        ).numpy() >= np.array(config.score_threshold)
        weight, bias, of_category = fit_photo_classifier(features, scores, found.sum(axis=0))
        if not of_category.any():
            warnings.warn(
                f"No category is found on {FEWEST_CONFIDENT} photos: {method.name!r} is the model as it is.",
                stacklevel=2,
            )
        mixed = mix_classifier(scores, features, weight, bias, PHOTO_CLASSIFIER_WEIGHT * of_category)
        fitted[method.name] = mixed.numpy()
    return fitted
