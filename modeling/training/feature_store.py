"""Sentence features on disk, mapped into memory, and how much of it they may take.

A store is a folder for one encoder, with three files that only grow:

    index.bin    a record for each sentence: hash of its text, where its tokens begin, how many they are
    pooled.bin   (N, D) float32
    tokens.bin   (T, D) float16

The index is written last, so it says what is whole; what a killed run left behind it is written over.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wordsight.utils.errors import InvalidInputError

FORMAT = 2
DESCRIPTION = "store.json"
RECORD = np.dtype([("hash", "V16"), ("start", "<i8"), ("count", "<i8")])
LIMIT = "WORDSIGHT_FEATURES_GB"  # environment variable: what all stores together may take
DEFAULT_LIMIT = 20.0


@dataclass(frozen=True)
class SentenceFeatures:
    """Embeddings of N sentences, kept on the CPU: mapped from files, or in memory.

    Attributes:
        pooled: (n, D) float32, unit vectors, of n >= N sentences.
        tokens: (t, D) float16, unit vectors of the real tokens.
        rows: (N,) each sentence's row in `pooled`.
        starts: (N,) where its tokens begin in `tokens`.
        counts: (N,) how many they are.
    """

    pooled: NDArray[np.float32]
    tokens: NDArray[np.float16]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """D, the width of the features."""
        return self.pooled.shape[-1]

    def select(self, sentences: Sequence[int] | NDArray[np.int64]) -> SentenceFeatures:
        """Those of some sentences, in that order."""
        kept = np.asarray(sentences, dtype=np.int64)
        return SentenceFeatures(self.pooled, self.tokens, self.rows[kept], self.starts[kept], self.counts[kept])

    def batch(self, sentences: Sequence[int] | NDArray[np.int64]) -> dict[str, Tensor]:
        """Some sentences as the model takes them: `text_embeds` (B, D), `token_embeds` (T, D) and `token_counts` (B,).

        Tokens stay in half precision, for the way to an accelerator.
        """
        numbers = np.asarray(sentences, dtype=np.int64)
        starts, counts = self.starts[numbers], self.counts[numbers]
        before = np.cumsum(counts) - counts
        positions = np.arange(counts.sum()) + np.repeat(starts - before, counts)
        return {
            "text_embeds": torch.from_numpy(np.asarray(self.pooled[self.rows[numbers]])),
            "token_embeds": torch.from_numpy(np.asarray(self.tokens[positions])),
            "token_counts": torch.from_numpy(counts),
        }


class FeatureStore:
    """The features of one encoder's sentences, in a folder.

    Args:
        folder: the store's folder; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index, self.pooled, self.tokens = (folder / f"{name}.bin" for name in ("index", "pooled", "tokens"))

    def dim(self) -> int | None:
        """D, or None where there is no store that can be read."""
        try:
            return int(json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))["dim"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def records(self) -> NDArray[np.void]:
        """The whole sentences' records; none where files are missing or too short for what the index says."""
        nothing = np.empty(0, dtype=RECORD)
        dim = self.dim()
        try:
            if dim is None:
                return nothing
            found = np.fromfile(self.index, dtype=RECORD)
            tokens = int(found["start"][-1] + found["count"][-1]) if len(found) else 0
            sizes = self.pooled.stat().st_size, self.tokens.stat().st_size
        except OSError:
            return nothing
        return found if sizes[0] >= len(found) * dim * 4 and sizes[1] >= tokens * dim * 2 else nothing

    def rows(self, texts: Iterable[str]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """The records, and each text's row in them; -1 for those that are not there."""
        records = self.records()
        row_of = {entry.tobytes(): row for row, entry in enumerate(records["hash"])}
        return records, np.array([row_of.get(_hash(text), -1) for text in texts], dtype=np.int64)

    def missing(self, texts: Sequence[str]) -> tuple[NDArray[np.void], list[str]]:
        """The records, and those of the texts that they do not tell of, each once."""
        records, rows = self.rows(texts)
        return records, list(dict.fromkeys(text for text, row in zip(texts, rows, strict=True) if row < 0))

    def read(self, texts: Sequence[str]) -> SentenceFeatures | None:
        """Features of texts, or None where not all are there."""
        records, rows = self.rows(texts)
        dim = self.dim()
        if dim is None or not len(records) or (rows < 0).any():
            return None
        with suppress(OSError):  # others' folders may be read, too
            os.utime(self.folder / DESCRIPTION)  # when it was used last, see `prune`
        tokens = int(records["start"][-1] + records["count"][-1])
        return SentenceFeatures(
            np.memmap(self.pooled, dtype=np.float32, mode="r", shape=(len(records), dim)),
            np.memmap(self.tokens, dtype=np.float16, mode="r", shape=(tokens, dim)),
            rows,
            records["start"][rows].astype(np.int64),
            records["count"][rows].astype(np.int64),
        )

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in (self.index, self.pooled, self.tokens) if path.is_file())

    def create(self, dim: int, encoder: str) -> None:
        """Makes an empty store in place of whatever is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path in (self.pooled, self.tokens, self.index):
            path.touch()
        about = {"format": FORMAT, "dim": dim, "encoder": encoder}
        (self.folder / DESCRIPTION).write_text(json.dumps(about, indent=1), encoding="utf-8")

    def append(self, texts: Sequence[str], counts: Sequence[int], before: NDArray[np.void]) -> None:
        """Adds records of texts whose features are written; in whole, behind those that were there before."""
        new = np.empty(len(texts), dtype=RECORD)
        new["hash"] = np.frombuffer(b"".join(map(_hash, texts)), dtype="V16")
        new["count"] = counts
        end = int(before["start"][-1] + before["count"][-1]) if len(before) else 0
        new["start"] = end + np.cumsum(new["count"]) - new["count"]
        with self.index.open("r+b") as file:
            file.seek(len(before) * RECORD.itemsize)
            file.write(new.tobytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def size_limit() -> float:
    """Bytes that all stores together may take: `WORDSIGHT_FEATURES_GB`, or 20 GB.

    Raises:
        InvalidInputError: the variable is no number.
    """
    given = os.environ.get(LIMIT)
    try:
        return float(given or DEFAULT_LIMIT) * 1e9
    except ValueError as error:
        raise InvalidInputError(f"{LIMIT} can't be {given!r}: set it to a number of gigabytes, such as 20.") from error


def prune(root: Path, keep: Path) -> None:
    """Removes the stores that were not used for longest, until the others are within the limit; and old versions' ones.

    Runs that have them mapped keep what they have.

    Args:
        root: folder of the stores.
        keep: the store that stays in any case.
    """
    for path in root.glob("*/features.json"):  # format 1
        shutil.rmtree(path.parent, ignore_errors=True)
    stores = [FeatureStore(path.parent) for path in root.glob(f"*/{DESCRIPTION}") if path.parent != keep]
    oldest = sorted(stores, key=lambda store: (store.folder / DESCRIPTION).stat().st_mtime)
    total = FeatureStore(keep).size() + sum(store.size() for store in oldest)
    for store in oldest:
        if total <= size_limit():
            break
        total -= store.size()
        shutil.rmtree(store.folder, ignore_errors=True)
