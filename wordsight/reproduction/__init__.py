"""The paper's table in one command: describe, train, evaluate, and the figures beside published ones."""

from .settings import DATASETS, ReproductionSettings

__all__ = ["DATASETS", "ReproductionSettings"]
