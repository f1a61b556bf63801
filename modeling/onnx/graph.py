"""Writes a model's image half and scores as one ONNX graph."""

from __future__ import annotations

import hashlib
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wordsight.utils.errors import InvalidInputError, WordsightError, needs, writing

from ..encoders.photo_size import side_of
from ..modeling_inference import WordsightInferenceModel

with needs("onnx"):
    import onnx
    import onnxruntime

INPUT = "pixel_values"
LOGITS, BRANCHES, COMPOUNDS, PATCHES = "logits", ("global_logits", "local_logits"), "compound_logits", "patch_logits"
TOLERANCE = 1e-4
OPSET = 18
STATE = "wordsight_state"  # key in the graph's metadata
# What scores depend on, beside the tensors of the checkpoint. The encoder's name may change when a model is pushed.
STATE_FIELDS = (
    *("image_size", "whole_photo", "patch_embeddings", "local_temperature_image", "logit_scale"),
    *("local_weight", "score_standardization", "score_scale", "score_threshold", "memory_weight"),
    *("photo_classifier_weight", "compounds", "id2label"),
)


class ScoringGraph(nn.Module):
    """From `pixel_values` (B, 3, H, W) to calibrated logits (B, K), and what they are made of.

    Args:
        model: the model, with its image encoder.
    """

    def __init__(self, model: WordsightInferenceModel) -> None:
        super().__init__()
        self.model = model

    @property
    def outputs(self) -> list[str]:
        """Names of what `forward` gives."""
        return [LOGITS, *BRANCHES, PATCHES, *([COMPOUNDS] if self.model.config.compounds else [])]

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, K), of both branches (B, K), at patches (B, P, K), and of compounds (B, C) where there are any."""
        (in_global, in_local, of_compounds), at_patches, _ = self.model._view_logits(pixel_values, with_patches=True)
        logits = self.model.score_views(in_global, in_local, of_compounds, None).logits
        assert logits is not None
        found = (logits, in_global, in_local, at_patches)
        return (*found, of_compounds) if self.model.config.compounds else found


def export_graph(model: WordsightInferenceModel, path: Path) -> bool:
    """Writes the graph, for any number of photos and, where the encoder's can be written so, any size of them.

    What was written is compared with the model itself.

    Args:
        model: the model, with its image encoder.
        path: the file.

    Returns:
        Whether photos can have any size that the encoder takes.

    Raises:
        WordsightError: the encoder has parts that ONNX has not, or its graph gives other figures.
    """
    assert model.image_encoder is not None
    graph = ScoringGraph(model.float().cpu()).eval()
    side, step = side_of(model.image_encoder.image_processor), model.image_encoder.patch_size or 32
    reason = ""
    for any_size in (True, False):
        try:
            _trace(graph, path, side, any_size)
            error = largest_difference(
                graph, path, [(1, side), (3, side), *([(2, side + 2 * step)] if any_size else [])]
            )
        except Exception as failed:  # exporter and runtime have many kinds of their own
            if isinstance(failed, WordsightError):
                raise
            reason = (str(failed).strip().splitlines() or [type(failed).__name__])[0]
            continue
        if error <= TOLERANCE:
            return any_size
        reason = f"its figures are off by {error:.1g}"
    path.unlink(missing_ok=True)
    raise InvalidInputError(f"The encoder {model.config.encoder} can't be written as ONNX: {reason:.200}.")


def largest_difference(graph: ScoringGraph, path: Path, sizes: list[tuple[int, int]]) -> float:
    """How far a written graph's figures are from the model's, at most, on noise of some (batch, side)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator, most = torch.Generator().manual_seed(0), 0.0
    for batch, side in sizes:
        pixels = torch.randn(batch, 3, side, side, generator=generator)
        with torch.no_grad():
            expected = graph(pixels)
        for found, wanted in zip(session.run(graph.outputs, {INPUT: pixels.numpy()}), expected, strict=True):
            most = max(most, float(np.abs(found - wanted.numpy()).max()))
    return most


def state_of(model: WordsightInferenceModel) -> str:
    """A fingerprint of what a model's scores depend on."""
    found = hashlib.sha256()
    config: dict[str, Any] = model.config.to_dict()
    found.update(repr([(name, config.get(name)) for name in STATE_FIELDS]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(("image_encoder.", "prompts.")):
            found.update(name.encode() + tensor.float().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def write_metadata(path: Path, model: WordsightInferenceModel) -> None:
    """Says in a graph's file of which state of the model it is."""
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {STATE: state_of(model)})
    with writing(path, "export again"):
        onnx.save(written, path)


def _trace(graph: ScoringGraph, path: Path, side: int, any_size: bool) -> None:
    """Writes the graph by tracing: seconds, where torch.export takes minutes, and sizes stay free.

    Python's decisions are those at this size: `export_graph` compares at others.
    """
    dynamic = {INPUT: {0: "batch", **({2: "height", 3: "width"} if any_size else {})}}
    dynamic |= {name: {0: "batch", **({1: "patches"} if name == PATCHES else {})} for name in graph.outputs}
    silent = redirect_stdout(StringIO())  # else what can't be written is printed, page after page
    with warnings.catch_warnings(), silent, torch.no_grad(), writing(path, "export again"):
        warnings.simplefilter("ignore")  # of the tracer, on those decisions
        torch.onnx.export(
            graph,
            (torch.zeros(2, 3, side, side),),
            str(path),
            dynamo=False,
            input_names=[INPUT],
            output_names=graph.outputs,
            dynamic_axes=dynamic,
            opset_version=OPSET,
        )
