"""What a training run reads: sentences with labels and features, and each process's share of every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .noise import FeatureNoise

if TYPE_CHECKING:
    from .feature_store import SentenceFeatures


class EpochRows(NamedTuple):
    """Some sentences of an epoch."""

    epoch: int
    rows: NDArray[np.int64]


@dataclass
class Sentences(Dataset[dict[str, Tensor]]):
    """Labeled sentences, whose features stand in for those of photos.

    Attributes:
        texts: N sentences.
        labels: (N, K) multi-hot.
        features: of the N sentences, once they are encoded.
        noise: where noise is added to them in training.
    """

    texts: list[str]
    labels: NDArray[np.int8]
    features: SentenceFeatures | None = None
    noise: FeatureNoise | None = None
    _starts: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Sentences:
        """Some of the sentences, in that order."""
        return Sentences([self.texts[row] for row in rows], self.labels[np.asarray(rows, dtype=np.int64)])

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return self.__getitems__(EpochRows(0, np.array([row])))

    def __getitems__(self, wanted: EpochRows) -> dict[str, Tensor]:
        """A batch as `forward` takes it; `noise_starts` beside it where there is noise (torch's fetcher calls this)."""
        assert self.features is not None
        batch = self.features.batch(wanted.rows) | {"labels": torch.from_numpy(self.labels[wanted.rows])}
        if self.noise is not None:
            if wanted.epoch not in self._starts:
                self._starts = {wanted.epoch: self.noise.starts(wanted.epoch, len(self))}
            batch["noise_starts"] = torch.from_numpy(self._starts[wanted.epoch][wanted.rows])
        return batch


class GlobalBatches(Sampler[Any]):
    """The shares of one process in each step's sentences.

    The order follows from seed and epoch alone, and a step's sentences are dealt to its processes and accumulation
    steps, so that how many there are changes no result. Shares of the last, smaller batch may be of different sizes, or
    empty.

    Args:
        sentences: N.
        batch_size: sentences of a step, over all processes and accumulation steps.
        process: number of this process.
        processes: how many there are.
        accumulation: accumulation steps in a step.
        seed: seed of the order.

    Example:
        >>> from wordsight.modeling.training.batches import GlobalBatches
        >>> shares = [list(GlobalBatches(5, 4, process, 2, 1, seed=0)) for process in range(2)]
        >>> [[len(part.rows) for part in share] for share in shares]
        [[2, 1], [2, 0]]
    """

    def __init__(
        self, sentences: int, batch_size: int, process: int, processes: int, accumulation: int, seed: int
    ) -> None:
        self.sentences, self.batch_size, self.seed = sentences, batch_size, seed
        self.process, self.processes, self.accumulation = process, processes, accumulation
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.sentences // self.batch_size) * self.accumulation

    def __iter__(self) -> Iterator[EpochRows]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.sentences)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for piece in range(self.accumulation):
                share = piece * self.processes + self.process
                yield EpochRows(self.epoch, batch[share :: self.accumulation * self.processes])


class InOrder(Sampler[Any]):
    """All sentences in their order, in batches."""

    def __init__(self, sentences: int, batch_size: int) -> None:
        self.starts = range(0, sentences, batch_size)
        self.sentences, self.batch_size = sentences, batch_size

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[EpochRows]:
        for start in self.starts:
            yield EpochRows(0, np.arange(start, min(start + self.batch_size, self.sentences)))


class SentenceLoader(DataLoader[dict[str, Tensor]]):
    """A loader whose sampler makes whole batches; transformers' Trainer tells it the epoch.

    Args:
        sentences: what is read.
        batches: yields `EpochRows`.
        options: as for torch's `DataLoader`.
    """

    def __init__(self, sentences: Sentences, batches: Sampler[Any], **options: Any) -> None:
        super().__init__(sentences, batch_sampler=batches, collate_fn=_as_it_is, **options)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose order comes next."""
        if isinstance(self.batch_sampler, GlobalBatches):
            self.batch_sampler.set_epoch(epoch)


def _as_it_is(batch: Any) -> Any:
    return batch
