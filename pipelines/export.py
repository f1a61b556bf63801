"""Exports a model for other runtimes: ONNX, in 32 or 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordsight.modeling.loading import load_model
from wordsight.modeling.onnx.files import FILES, FOLDER
from wordsight.modeling.onnx.graph import export_graph, write_metadata
from wordsight.modeling.onnx.quantization import is_convolutional
from wordsight.modeling.onnx.quantization import quantize as quantize_graph
from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.plugins import load_plugin
from wordsight.utils.progress import library_step

from .image_folders import find_photos
from .image_loader import photo_batches

MOST_PHOTOS = 256  # that ranges of activations are taken from


def export_onnx(
    model: str,
    out: Path | None = None,
    quantize: str | None = None,
    photos: Sequence[Path] = (),
    revision: str | None = None,
) -> tuple[Path, bool]:
    """Writes `onnx/model.onnx`, and `onnx/model_int8.onnx` if asked, into a model's folder.

    Args:
        model: folder or Hub id.
        out: folder for a copy of the model with the graph; by default the model's own.
        quantize: "int8" writes a graph with weights of 8 bits as well.
        photos: unlabeled photos, or folders of them, that tell the range of activations; for convolutional encoders.
        revision: the model's revision on the Hub.

    Returns:
        The graph's file (that of 8 bits, if it was asked for), and whether photos can have any size.

    Raises:
        InvalidInputError: the encoder can't be exported, a model on the Hub without `out`, or photos are needed.

    Example:
        >>> from wordsight import export_onnx
        >>> export_onnx("my-model", out="exported")[0].as_posix()
        'exported/onnx/model.onnx'
    """
    if quantize not in (None, "int8"):
        raise InvalidInputError(f"quantize={quantize!r} is not known. Pass 'int8', or omit it.")
    if out is None and not Path(model).is_dir():
        raise InvalidInputError(f"{model} is on the Hub, so the exported model needs a folder of its own. Pass --out.")
    found = find_photos(photos)[:MOST_PHOTOS] if photos else []
    loaded = load_model(model, revision)
    encoder = loaded.image_encoder
    assert encoder is not None
    ranges = quantize is not None and is_convolutional(encoder)
    if ranges and not found:
        raise InvalidInputError(
            "A convolutional encoder in 8 bits needs to know the range of its activations. Pass --photos DIR with a "
            "hundred photos, or so, of the kind that it will see."
        )
    target = Path(out or model)
    with writing(target, "export again"):
        (target / FOLDER).mkdir(parents=True, exist_ok=True)
        if target.resolve() != Path(model).resolve():
            loaded.save_pretrained(target)
            if fetch_side_files := load_plugin("fetch_side_files"):
                fetch_side_files(loaded, target, replace=True)
    path = target / FOLDER / FILES["float32"]
    with library_step("Writing the graph"):
        any_size = export_graph(loaded, path)
        write_metadata(path, loaded)
    if quantize is None:
        (target / FOLDER / FILES["int8"]).unlink(missing_ok=True)  # of another state, maybe
        return path, any_size
    small = target / FOLDER / FILES["int8"]
    with library_step("Quantizing"):
        quantize_graph(path, small, _batches(found, encoder.image_processor) if ranges else None)
        write_metadata(small, loaded)
    return small, any_size


def _batches(photos: Sequence[Path], image_processor: Any) -> Iterator[NDArray[np.float32]]:
    """`pixel_values` of photos that can be read, some at a time."""
    for batch in photo_batches(photos, image_processor, 8):
        if batch.rows:
            yield batch.pixel_values.float().numpy()
