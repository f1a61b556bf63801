"""A model whose image half and scores onnxruntime computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers.utils import cached_file

from wordsight.utils.errors import InvalidInputError, needs

from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from .files import FILES, FOLDER, Precision
from .graph import BRANCHES, COMPOUNDS, INPUT, PATCHES, STATE, state_of

with needs("onnx"):
    import onnxruntime


class OnnxModel(WordsightForMultiLabelImageClassification):
    """A model like another, that runs a graph of `export_graph` in place of its image encoder."""

    session: Any = None
    patch_size: int | None = None

    def run_on(self, path: Path) -> None:
        """Takes the graph of a file.

        Raises:
            InvalidInputError: it can't be read, or was written of another state of the model.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, onnxruntime.get_available_providers())
        except Exception as error:  # onnxruntime's own kinds have no common base
            raise InvalidInputError(f"{path} is damaged ({str(error).splitlines()[0]:.150}). Export again.") from error
        if session.get_modelmeta().custom_metadata_map.get(STATE) != state_of(self):
            raise InvalidInputError(
                f"{path} was exported before the model was changed. Run `wordsight export MODEL --to onnx` again."
            )
        self.session = session

    def _encoder(self) -> Any:
        return None

    def _view_logits(
        self, pixel_values: Tensor, with_patches: bool
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, tuple[int, int]]:
        """As the model's own, computed by onnxruntime; what is not asked for is not computed."""
        wanted = [*BRANCHES, *([COMPOUNDS] if self.config.compounds else []), *([PATCHES] if with_patches else [])]
        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        pixels = np.ascontiguousarray(pixel_values.float().cpu().numpy())
        try:
            found = self.session.run(wanted, {INPUT: pixels}, options)
        except Exception as error:
            height, width = pixels.shape[-2:]
            raise InvalidInputError(
                f"onnxruntime can't label photos of {width} x {height} pixels: {str(error).splitlines()[0]:.150}"
            ) from error
        by_name = {name: torch.from_numpy(array) for name, array in zip(wanted, found, strict=True)}
        in_global, in_local = (by_name[name] for name in BRANCHES)
        patches = by_name.get(PATCHES, in_global[:0, None])
        return (in_global, in_local, by_name.get(COMPOUNDS, in_global[:, :0])), patches, _grid(pixels, patches)


def load_onnx_model(model: str, revision: str | None = None, precision: Precision = "float32") -> OnnxModel:
    """A model that onnxruntime runs, from a folder or the Hub; its encoder is not loaded.

    Args:
        model: folder or Hub id that holds `onnx/model.onnx`, from `wordsight export`.
        revision: on the Hub.
        precision: "int8" takes `onnx/model_int8.onnx`.

    Raises:
        InvalidInputError: there is no such model, or no graph of its state.
    """
    name = f"{FOLDER}/{FILES[precision]}"
    try:
        loaded = cast(OnnxModel, OnnxModel.from_pretrained(model, revision=revision or "main", image_encoder=False))
        path = cached_file(model, name, revision=revision or "main")
    except OSError as error:
        quantize = " --quantize int8" if precision == "int8" else ""
        raise InvalidInputError(
            f"{model!r} has no {name}: {str(error).splitlines()[0]:.200} Run `wordsight export {model} --to onnx"
            f"{quantize}`."
        ) from error
    loaded.run_on(Path(str(path)))
    return loaded.eval()


def _grid(pixels: Any, patches: Tensor) -> tuple[int, int]:
    """Rows and columns of patches: as many in a row for each column as the photo is wide for its height."""
    height, width = pixels.shape[-2:]
    count = patches.shape[1]
    rows = max(round((count * height / width) ** 0.5), 1)
    return rows, count // rows
