"""What `wordsight predict --format` can be asked for; light, so that `--help` need not import torch."""

from __future__ import annotations

from typing import Literal, get_args

OutputFormat = Literal["csv", "jsonl", "parquet", "coco", "label-studio", "cvat", "fiftyone", "datasets", "xmp"]
OUTPUT_FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)
XMPTarget = Literal["sidecars", "copies", "in-place"]
XMP_TARGETS: tuple[XMPTarget, ...] = get_args(XMPTarget)
