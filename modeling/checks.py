"""What a checkpoint must be before it is used: of safetensors, fitting its config, finite, with a proper encoder.

A checkpoint may come from a stranger: what it names is not opened, and what it holds is not computed with, before it is
known to be what it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError
from torch import nn

from wordsight.utils.errors import InvalidInputError, shortened

LFS = b"version https://git-lfs"  # what a pointer file begins with
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def is_hub_name(encoder: str) -> bool:
    """Whether an encoder is named as one on the Hub is ("imagenet" is so, too), and not by a path."""
    try:
        validate_repo_id(encoder)
    except HFValidationError:
        return False
    return True


def check_encoder(encoder: str, source: str) -> str:
    """The name by which a checkpoint's encoder is loaded.

    Args:
        encoder: what the config names.
        source: the checkpoint: a folder, or a Hub id.

    Raises:
        InvalidInputError: a checkpoint from the Hub names a path, which would be one on the reader's machine, or a
            folder names a path that leads out of it. An absolute path in a local folder is what training with a local
            encoder writes, and is kept.
    """
    remedy = "Train with an encoder that has a Hub id, or give yours with image_encoder=load_image_encoder(...)."
    if is_hub_name(encoder):
        return encoder
    if Path(source).is_dir():
        if Path(encoder).is_absolute():
            return encoder
        inside = (Path(source) / encoder).resolve()
        if not inside.is_relative_to(Path(source).resolve()):
            raise InvalidInputError(f"{source} names its encoder by a path outside of it: {encoder!r}. {remedy}")
        return str(inside)
    raise InvalidInputError(f"{source} names its encoder by a path outside the repository: {encoder!r}. {remedy}")


def check_safetensors(source: str, error: OSError) -> None:
    """Says of a checkpoint without safetensors that nothing else is loaded.

    Raises:
        InvalidInputError: that is what the error is about.
    """
    if "model.safetensors" not in str(error):
        return
    found = [path.name for path in Path(source).glob("*") if path.suffix in PICKLES] if Path(source).is_dir() else []
    instead = f" It has {', '.join(sorted(found))}, which is not opened:" if found else " Nothing else is opened:"
    raise InvalidInputError(
        f"{source} holds no model.safetensors.{instead} a pickle can run code when it is loaded. Save the model anew "
        "with save_pretrained."
    ) from error


@contextmanager
def whole_weights(source: str) -> Iterator[None]:
    """Says of weights that are no whole safetensors file what to do.

    Args:
        source: the checkpoint or encoder, for the message.

    Raises:
        InvalidInputError: the file is damaged, cut off, or a pointer that Git LFS left in its place.
    """
    try:
        yield
    except SafetensorError as error:
        files = sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else []
        pointers = [file.name for file in files if file.open("rb").read(len(LFS)) == LFS]
        if pointers:
            raise InvalidInputError(
                f"{source}: {', '.join(pointers)} is a pointer of Git LFS, not the weights. Run `git lfs pull` there, "
                "or download the files with huggingface_hub."
            ) from error
        raise InvalidInputError(
            f"The weights of {source} are damaged or cut off ({error}). Download or save them again."
        ) from error


def check_tensors(model: nn.Module, report: dict[str, Any], source: str) -> None:
    """Compares what was loaded with what the config asks for.

    Args:
        model: the model as loaded, without its encoder.
        report: transformers' loading report.
        source: the checkpoint, for the message.

    Raises:
        InvalidInputError: tensors are missing, too many, of another shape, or hold NaN or infinity.
    """
    problems = [
        ("are missing", sorted(report["missing_keys"])),
        ("are not known", sorted(report["unexpected_keys"])),
        (
            "have another shape",
            [f"{name} ({list(a)}, not {list(b)})" for name, a, b in sorted(report["mismatched_keys"])],
        ),
    ]
    for what, names in problems:
        if names:
            raise InvalidInputError(
                f"The tensors of {source} do not fit its config: {shortened(names)} {what}. The files are damaged or "
                "of different models: train or download the model again."
            )
    tensors = [(name, tensor) for name, tensor in model.state_dict().items() if not tensor.is_meta]
    if broken := [name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())]:
        raise InvalidInputError(
            f"{source} holds values that are not finite: {shortened(broken)}. Its training went wrong, or the file is "
            "damaged: train or download the model again."
        )
