"""Makes a graph small: weights, and where photos are at hand activations too, in 8 bits."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wordsight.utils.errors import needs

from .graph import INPUT

with needs("onnx"):
    import onnx
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


def is_convolutional(encoder: nn.Module) -> bool:
    """Whether an image encoder is a convolutional network."""
    return sum(isinstance(part, nn.Conv2d) for part in encoder.modules()) >= FEW_CONVOLUTIONS


class _Photos(CalibrationDataReader):
    def __init__(self, batches: Iterator[NDArray[np.float32]]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def quantize(source: Path, target: Path, batches: Iterator[NDArray[np.float32]] | None) -> None:
    """Writes a graph with weights of 8 bits; the scores behind the encoder keep 32.

    Of a transformer, matrix products are quantized, with the range of activations taken from each photo. Of a
    convolutional network, convolutions are, with the range of activations taken from photos.

    Args:
        source: the graph.
        target: the small one.
        batches: `pixel_values` (B, 3, H, W) of photos of the kind that it will see; of convolutional networks alone.
    """
    # onnxruntime's advice to prepare the graph, which is either done below or not needed.
    logging.getLogger().setLevel(max(logging.getLogger().level, logging.ERROR))  # onnxruntime's advice to preprocess
    nodes = onnx.load(source, load_external_data=False).graph.node
    if batches is None:
        kinds = ["MatMul", "Gemm"]
        products = [node.name for node in nodes if node.op_type in kinds and ENCODER in node.name]
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=kinds,
            nodes_to_quantize=products,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)  # folds BatchNorm into convolutions
        quantize_static(
            prepared,
            target,
            _Photos(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
