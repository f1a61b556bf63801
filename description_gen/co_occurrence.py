"""How often categories are in the same photo, from a language model's answers or from what it finds likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
CoOccurrence = Literal["answers", "likelihood", "both"]
LIKELY = 2.0  # standard deviations above its mean from which a pair weighs 1


def answered_weights(names: Sequence[str], rounds: Mapping[str, Sequence[Sequence[str]]]) -> Weights:
    """Weights (K, K) from choices: the mean over rounds of 1 for what is named first, less for what comes later.

    Args:
        names: the K categories.
        rounds: name -> for each time it was asked, what the model named, best first.
    """
    number = {name: index for index, name in enumerate(names)}
    weights = np.zeros((len(names), len(names)))
    for name, answers in rounds.items():
        for answer in answers:
            chosen = [other for other in answer if other in number and other != name]
            for rank, other in enumerate(chosen):
                weights[number[name], number[other]] += (1 - rank / (2 * len(chosen))) / len(answers)
    return weights


def likelihood_weights(pairs: Weights) -> Weights:
    """Weights (K, K) from how likely the language model goes on with category j after category i.

    The log-probabilities, standardized in each row: 0 at its mean and below, 1 from two standard deviations on. How
    likely j is anyway is not taken out: what is on many photos is on many photos with i, too.

    Args:
        pairs: (K, K) log-probabilities of the texts; the diagonal does not count.
    """
    size = len(pairs)
    weights = np.zeros((size, size))
    for i in range(size):
        others = np.arange(size) != i
        row = pairs[i, others]
        weights[i, others] = ((row - row.mean()) / (LIKELY * (row.std() or 1.0))).clip(0, 1)
    return weights


def ranked(names: Sequence[str], weights: Weights) -> dict[str, dict[str, float]]:
    """Name -> other name -> weight, the largest first; those of weight 0 are left out."""
    return {
        name: {names[j]: round(float(row[j]), 4) for j in np.argsort(-row, kind="stable") if row[j] > 0}
        for name, row in zip(names, weights, strict=True)
    }
