"""Sentence features: each sentence encoded once, by all processes, and read from the cache by later runs."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from filelock import FileLock
from numpy.typing import NDArray

from wordsight.utils.cache import cache_dir
from wordsight.utils.errors import write_error, writing
from wordsight.utils.progress import progress_bar

from ..encoders import TextEncoder
from ..text_features import TokenizedTexts, encode_sentences, tokenize
from .feature_store import FORMAT, RECORD, FeatureStore, SentenceFeatures, prune, size_limit

AGAIN = "run the same command again, or set WORDSIGHT_CACHE to a folder with room"


def features_dir() -> Path:
    """Where features are kept, a folder for each encoder; any of them may be deleted."""
    return cache_dir() / "features"


def encoder_fingerprint(encoder: TextEncoder) -> str:
    """A hash of all that decides what an encoder says of a text: weights, configuration and tokenizer.

    Not its name and revision, which a folder has none of, and which say nothing of files that were changed.
    """
    digest = hashlib.sha256(f"{FORMAT} {type(encoder).__name__}".encode())
    config = encoder.model.config.to_dict()
    for name in ("_name_or_path", "name_or_path", "transformers_version", "architectures"):
        config.pop(name, None)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(str((encoder.max_length, encoder.pad_to_max_length)).encode())
    digest.update(json.dumps(encoder.tokenizer.get_vocab(), sort_keys=True).encode())
    if (backend := getattr(encoder.tokenizer, "backend_tokenizer", None)) is not None:
        # How the last call cut and padded is kept there, too, and says nothing of the next.
        content = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
        digest.update(json.dumps(content, sort_keys=True).encode())
    for name, tensor in sorted(encoder.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:24]


def cached_features(texts: Sequence[str], encoder: TextEncoder, root: Path | None = None) -> SentenceFeatures:
    """Features of sentences: those known from the cache, the others encoded by all processes and added to it.

    Args:
        texts: N sentences, the same on all processes.
        encoder: the text encoder, on its device.
        root: folder of the cache; by default `features_dir()`. Machines that do not share it fill one each.

    Returns:
        The features, mapped from files: memory is taken for what a batch reads.

    Raises:
        WordsightError: the disk is full.
    """
    state, root = PartialState(), root or features_dir()
    key = [encoder_fingerprint(encoder) if state.is_main_process else ""]
    broadcast_object_list(key)
    store = FeatureStore(root / key[0])
    features = store.read(texts)
    if not all(gather_object([features is not None])):
        worker, workers = _workers(root, state)
        with ExitStack() as stack:
            if worker == 0:
                stack.enter_context(FileLock(root / f".{key[0]}.lock"))
            state.wait_for_everyone()
            _add(store, texts, encoder, worker, workers, state)
        if worker == 0:
            prune(root, keep=store.folder)
        features = store.read(texts)
    assert features is not None
    return features


def _add(
    store: FeatureStore, texts: Sequence[str], encoder: TextEncoder, worker: int, workers: int, state: PartialState
) -> None:
    """Encodes the sentences that a store lacks; the caller holds its lock.

    Batches are dealt to the processes that see the folder. Each writes to its sentences' places; the first of them
    adds the records when all are done.
    """
    if worker == 0:
        with writing(store.folder, AGAIN):
            _make_ready(store, texts, encoder)
    state.wait_for_everyone()
    records, missing = store.missing(texts)  # anew: another run may have added them while the lock was waited for
    tokenized = tokenize(missing, encoder)
    try:
        _write(store, records, tokenized, encoder, tokenized.batches[worker::workers], workers)
    except OSError as error:
        raise write_error(store.folder, error, AGAIN) from error
    state.wait_for_everyone()
    if worker == 0:
        with writing(store.folder, AGAIN):
            store.append(missing, [len(ids) for ids in tokenized.ids], records)
    state.wait_for_everyone()


def _make_ready(store: FeatureStore, texts: Sequence[str], encoder: TextEncoder) -> None:
    """Makes a store where there is none, or anew where it is damaged or gets too large with other runs' sentences."""
    records, missing = store.missing(texts)
    if not len(records):
        if store.index.is_file() and store.index.stat().st_size >= RECORD.itemsize:
            warnings.warn(f"The features in {store.folder} are damaged; they are built anew.", stacklevel=2)
        store.create(encoder.projection_dim, encoder.model.name_or_path)
    elif len(records) > len(texts) - len(missing):
        # Some four characters make a token.
        dim = store.dim() or 0
        added = len(missing) * (dim * 4 + RECORD.itemsize) + sum(map(len, missing)) // 4 * dim * 2
        if store.size() + added > size_limit():
            store.create(dim, encoder.model.name_or_path)


def _write(
    store: FeatureStore,
    records: NDArray[np.void],
    tokenized: TokenizedTexts,
    encoder: TextEncoder,
    batches: list[list[int]],
    workers: int,
) -> None:
    """Computes this process's batches and writes them to their places, behind what the records tell of."""
    starts = tokenized.offsets + (int(records["start"][-1] + records["count"][-1]) if len(records) else 0)
    done = 0
    # Plain writes: on a full disk, writing to mapped memory would kill the process.
    with (
        store.pooled.open("r+b") as pooled_file,
        store.tokens.open("r+b") as tokens_file,
        progress_bar("Sentence features", len(tokenized.ids), "text") as bar,
    ):
        for numbers, pooled, tokens in encode_sentences(tokenized, encoder, batches):
            for number, embedding, of_tokens in zip(numbers, pooled.numpy(), tokens, strict=True):
                pooled_file.seek((len(records) + number) * embedding.nbytes)
                pooled_file.write(embedding.tobytes())
                tokens_file.seek(int(starts[number]) * of_tokens[0].nbytes)
                tokens_file.write(of_tokens.numpy().tobytes())
            counted = min(len(numbers) * workers, len(tokenized.ids) - done)
            done += counted
            bar.update(counted)
        for file in (pooled_file, tokens_file):
            file.flush()
            os.fsync(file.fileno())  # the index, which says that they are whole, must not outlive them


def _workers(root: Path, state: PartialState) -> tuple[int, int]:
    """The number of this process among those that see its folder, and how many they are.

    Each leaves a mark there and looks whose it sees: no launcher's variables tell which machines share a disk.
    """
    run = [os.urandom(8).hex()]
    broadcast_object_list(run)
    mark = root / f".mark-{run[0]}-{state.process_index}"
    root.mkdir(parents=True, exist_ok=True)
    with writing(root, AGAIN):
        mark.touch()
    state.wait_for_everyone()
    seen = sorted(int(path.name.rsplit("-", 1)[1]) for path in root.glob(f".mark-{run[0]}-*"))
    state.wait_for_everyone()
    mark.unlink()
    return seen.index(state.process_index), len(seen)
