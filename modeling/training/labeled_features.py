"""Sentences as what is made of their features alone takes them: class concepts, a classifier, a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import needs

from .batches import Sentences
from .data import read_sentences, with_templates
from .features import cached_features

if TYPE_CHECKING:
    from wordsight.description_gen.categories import Category

    from ..encoders import TextEncoder

with needs("train"):
    from sklearn.cluster import MiniBatchKMeans

# Rows of a memory: in a checkpoint they are 1 MB at D = 512, and each photo's patches are compared with all of them.
MEMORY_ROWS = 512


@dataclass(frozen=True)
class LabeledFeatures:
    """Features of N sentences with their labels.

    Attributes:
        features: (N, D), unit vectors.
        labels: (N, K), multi-hot.
    """

    features: Tensor
    labels: NDArray[np.int8]

    @classmethod
    def read(
        cls, texts: Any, categories: Sequence[Category], text_encoder: TextEncoder, templates: bool = False
    ) -> LabeledFeatures:
        """Sentences with their features; encoded now, or read from the cache where an earlier run encoded them.

        Args:
            texts: anything that `normalize_texts` takes, such as a folder.
            categories: the K categories.
            text_encoder: the text encoder, on its device.
            templates: whether to add "a photo of a {}." for each name and synonym.

        Raises:
            InvalidInputError: they can't be read, or mention none of the categories.
        """
        sentences = read_sentences(texts, categories)
        if templates:
            sentences = with_templates(sentences, categories)
        sentences.features = cached_features(sentences.texts, text_encoder)
        return cls.of(sentences)

    @classmethod
    def of(cls, sentences: Sentences) -> LabeledFeatures:
        """Those of sentences that are encoded."""
        features = sentences.features
        assert features is not None
        return cls(torch.from_numpy(np.asarray(features.pooled[features.rows])), sentences.labels)

    def memory(self, rows: int = MEMORY_ROWS, seed: int = 0) -> Tensor:
        """What photos' features are told in: the sentences' features, or centers of their clusters where they are more.

        Args:
            rows: the most there may be.
            seed: of the clustering (k-means in batches).

        Returns:
            (M, D), unit vectors.
        """
        if len(self.features) <= rows:
            return self.features
        clusters = MiniBatchKMeans(rows, random_state=seed, n_init=1).fit(self.features.double().numpy())
        return F.normalize(torch.from_numpy(clusters.cluster_centers_).to(self.features), dim=-1)
