"""Makes a graph small: weights, and where photos are at hand activations too, in 8 bits."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wordsight.utils.errors import needs

from .graph import INPUT, LOGITS

with needs("onnx"):
    import onnx
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

ENCODER = "/image_encoder/"  # in the names of the encoder's nodes
FEW_CONVOLUTIONS = 3  # a transformer has one, from pixels to patches; a convolutional network has dozens
FEW_BATCHES = 4  # of photos, on which it is tried how many layers have to keep 32 bits
ALIKE = 0.995  # least correlation of logits in 8 and in 32 bits on these
MOST_KEPT = 4  # at most one in so many convolutions keeps 32 bits


def is_convolutional(encoder: nn.Module) -> bool:
    """Whether an image encoder is a convolutional network."""
    return sum(isinstance(part, nn.Conv2d) for part in encoder.modules()) >= FEW_CONVOLUTIONS


class _Photos(CalibrationDataReader):
    def __init__(self, batches: Sequence[NDArray[np.float32]]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def quantize(source: Path, target: Path, batches: Iterable[NDArray[np.float32]] | None) -> None:
    """Writes a graph with weights of 8 bits; the scores behind the encoder keep 32.

    Of a transformer, matrix products are quantized, with the range of activations taken from each batch. Of a
    convolutional network, convolutions are, with the range of activations taken from photos. Its first layers, whose
    errors are in all that follows, keep 32 bits: as many as it takes for scores to be much the same.

    Args:
        source: the graph.
        target: the small one.
        batches: `pixel_values` (B, 3, H, W) of photos of the kind that it will see; of convolutional networks alone.
    """
    logging.getLogger().setLevel(max(logging.getLogger().level, logging.ERROR))  # onnxruntime's advice to preprocess
    if batches is not None:
        _quantize_convolutions(source, target, list(batches))
        return
    nodes = onnx.load(source, load_external_data=False).graph.node
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=kinds,
        nodes_to_quantize=[node.name for node in nodes if node.op_type in kinds and ENCODER in node.name],
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def _quantize_convolutions(source: Path, target: Path, batches: list[NDArray[np.float32]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)  # folds BatchNorm into convolutions
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]

        def write(given: list[NDArray[np.float32]], kept: int) -> None:
            quantize_static(
                prepared,
                target,
                _Photos(given),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=convolutions[:kept],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )

        few, kept = batches[:FEW_BATCHES], 1
        expected = _logits(prepared, few)
        while 2 * kept <= len(convolutions) // MOST_KEPT:
            write(few, kept)
            if np.corrcoef(expected, _logits(target, few))[0, 1] >= ALIKE:
                break
            kept *= 2
        write(batches, kept)


def _logits(graph: Path, batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What a graph says of photos, as one row."""
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([LOGITS], {INPUT: batch})[0].ravel() for batch in batches])
