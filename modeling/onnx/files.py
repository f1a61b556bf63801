"""Where a model's graphs are in its folder, on this machine and on the Hub."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "int8"]
FOLDER = "onnx"
FILES: dict[Precision, str] = {"float32": "model.onnx", "int8": "model_int8.onnx"}
# What `--backend` says -> which graph it runs.
BACKENDS: dict[str, Precision] = {"onnx": "float32", "onnx-int8": "int8"}
GRAPHS = tuple(f"{FOLDER}/{name}" for name in FILES.values())
