"""Sentence features on disk: built once by all processes, mapped into memory, used again by other runs and seeds."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from wordsight.utils.cache import cache_dir
from wordsight.utils.errors import write_error, writing
from wordsight.utils.progress import progress_bar

from ..encoders import TextEncoder
from ..text_features import SentenceFeatures, TokenizedTexts, encode_sentences, pooled_features, tokenize

FORMAT = 1
FILES = ("pooled", "tokens", "offsets")
DESCRIPTION = "features.json"
AGAIN = "run the same command again, or name a folder with room: WORDSIGHT_CACHE"


def features_dir() -> Path:
    """Where features are kept, a folder for each encoder and set of sentences; any of them may be deleted."""
    return cache_dir() / "features"


def encoder_fingerprint(encoder: TextEncoder) -> str:
    """A hash of all that decides what an encoder says of a text: weights, configuration and tokenizer.

    Not its name and revision, which a folder has none of, and which say nothing of files that were changed.
    """
    digest = hashlib.sha256(type(encoder).__name__.encode())
    config = encoder.model.config.to_dict()
    for name in ("_name_or_path", "name_or_path", "transformers_version", "architectures"):
        config.pop(name, None)
    digest.update(json.dumps(config, sort_keys=True, default=str).encode())
    digest.update(str((encoder.max_length, encoder.pad_to_max_length)).encode())
    digest.update(json.dumps(encoder.tokenizer.get_vocab(), sort_keys=True).encode())
    if (backend := getattr(encoder.tokenizer, "backend_tokenizer", None)) is not None:
        digest.update(backend.to_str().encode())
    for name, tensor in sorted(encoder.model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def features_key(texts: Sequence[str], encoder: TextEncoder) -> str:
    """The name under which the features of some sentences by some encoder are kept."""
    digest = hashlib.sha256(f"{FORMAT} {encoder_fingerprint(encoder)}".encode())
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:24]


def cached_features(
    texts: Sequence[str], encoder: TextEncoder, accelerator: Accelerator, root: Path | None = None
) -> SentenceFeatures:
    """Features of sentences, from the cache or built into it by all processes together.

    Args:
        texts: N sentences, the same on all processes.
        encoder: the text encoder, on its device.
        accelerator: the processes.
        root: folder of the cache; by default `features_dir()`. Machines that do not share it build one each.

    Returns:
        The features, mapped from files: memory is taken for what a batch reads.

    Raises:
        WordsightError: the disk is full.
    """
    root = root or features_dir()
    tokenized = tokenize(texts, encoder)
    key = [features_key(texts, encoder) if accelerator.is_main_process else ""]
    broadcast_object_list(key)
    target = root / key[0]
    features = _open(target, tokenized.offsets)
    if not all(gather_object([features is not None])):
        _build(target, tokenized, encoder, accelerator)
        features = _open(target, tokenized.offsets)
    assert features is not None
    return features


def _open(target: Path, offsets: NDArray[np.int64]) -> SentenceFeatures | None:
    """The features in a folder, or None where they are not whole."""
    try:
        description = json.loads((target / DESCRIPTION).read_text(encoding="utf-8"))
        if description["bytes"] != [(target / f"{name}.npy").stat().st_size for name in FILES]:
            return None
        features = SentenceFeatures(*(np.load(target / f"{name}.npy", mmap_mode="r") for name in FILES))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return features if np.array_equal(features.offsets, offsets) else None


def _build(target: Path, tokenized: TokenizedTexts, encoder: TextEncoder, accelerator: Accelerator) -> None:
    """Builds a folder of features beside its place, and moves it there when it is whole.

    Batches are dealt to the processes that see the folder. A lock keeps out runs that want the same features; what a
    killed run left behind is removed under it.
    """
    worker, workers = _workers(target.parent, accelerator)
    leads = worker == 0
    partial = target.with_name(f".{target.name}.partial")
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    if leads:
        lock.acquire()
    accelerator.wait_for_everyone()
    try:
        # Another run may have built them while the lock was waited for.
        if not all(gather_object([_open(target, tokenized.offsets) is not None])):
            if leads:
                if target.exists() and _open(target, tokenized.offsets) is None:
                    warnings.warn(f"The features in {target} are damaged; they are built anew.", stacklevel=2)
                for leftover in (partial, target):
                    shutil.rmtree(leftover, ignore_errors=True)
                dim = pooled_features(["a"], encoder).shape[-1]
                with writing(target, AGAIN):
                    _lay_out(partial, tokenized.offsets, dim, encoder.model.name_or_path)
            accelerator.wait_for_everyone()
            try:
                _fill(partial, tokenized, encoder, worker, workers, accelerator.is_main_process)
            except OSError as error:
                raise write_error(target, error, AGAIN) from error
            accelerator.wait_for_everyone()
            if leads:
                partial.rename(target)
        accelerator.wait_for_everyone()
    finally:
        lock.release()


def _workers(root: Path, accelerator: Accelerator) -> tuple[int, int]:
    """The number of this process among those that see its folder, and how many they are."""
    root.mkdir(parents=True, exist_ok=True)
    mark = [f".mark-{os.urandom(8).hex()}"]
    broadcast_object_list(mark)
    if accelerator.is_main_process:
        (root / mark[0]).touch()
    accelerator.wait_for_everyone()
    shared = all(gather_object([(root / mark[0]).exists()]))
    if accelerator.is_main_process:
        (root / mark[0]).unlink()
    if shared:
        return accelerator.process_index, accelerator.num_processes
    return accelerator.local_process_index, int(os.environ["LOCAL_WORLD_SIZE"])


def _lay_out(folder: Path, offsets: NDArray[np.int64], dim: int, encoder: str) -> None:
    """Makes the files in their full length, and what says which length that is."""
    folder.mkdir(parents=True)
    layout: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
        "pooled": ((len(offsets) - 1, dim), np.float32),
        "tokens": ((int(offsets[-1]), dim), np.float16),
    }
    for name, (shape, dtype) in layout.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    np.save(folder / "offsets.npy", offsets)
    sizes = [(folder / f"{name}.npy").stat().st_size for name in FILES]
    about = {"bytes": sizes, "encoder": encoder, "sentences": len(offsets) - 1}
    (folder / DESCRIPTION).write_text(json.dumps(about, indent=1), encoding="utf-8")


def _fill(
    folder: Path, tokenized: TokenizedTexts, encoder: TextEncoder, worker: int, workers: int, progress: bool
) -> None:
    """Computes this process's share of the batches and writes it to its place."""
    offsets = tokenized.offsets
    batches = tokenized.batches[worker::workers]
    # Plain writes: on a full disk, writing to mapped memory would kill the process.
    with (
        (folder / "pooled.npy").open("r+b") as pooled_file,
        (folder / "tokens.npy").open("r+b") as tokens_file,
        progress_bar("Sentence features", len(tokenized.ids), "text", progress) as bar,
    ):
        starts = [np.load(folder / f"{name}.npy", mmap_mode="r").offset for name in ("pooled", "tokens")]
        for rows, pooled, tokens in encode_sentences(tokenized, encoder, batches):
            for row, embedding, of_tokens in zip(rows, pooled.numpy(), tokens, strict=True):
                pooled_file.seek(starts[0] + row * embedding.nbytes)
                pooled_file.write(embedding.tobytes())
                tokens_file.seek(starts[1] + int(offsets[row]) * of_tokens[0].nbytes)
                tokens_file.write(of_tokens.numpy().tobytes())
            bar.update(min(len(rows) * workers, len(tokenized.ids) - bar.n))
        for file in (pooled_file, tokens_file):
            file.flush()
            os.fsync(file.fileno())  # the folder's name, which says that it is whole, must not outlive its content
