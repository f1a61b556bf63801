"""Where wordsight keeps what it builds once: the ImageNet encoder and the default language model."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.constants import HF_HOME


def cache_dir() -> Path:
    """`WORDSIGHT_CACHE`, or `wordsight/` in Hugging Face's own cache folder."""
    return Path(os.environ.get("WORDSIGHT_CACHE") or Path(HF_HOME) / "wordsight")


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """A folder to build in, beside `target`, that becomes `target` when the block ends without an error.

    A build that is killed leaves no half-made target. Of two processes that build the same, the first to finish wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fingerprint(content: bytes) -> str:
    """A short hash, by which two contents are told apart."""
    return hashlib.sha256(content).hexdigest()[:12]
