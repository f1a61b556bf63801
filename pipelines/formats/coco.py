"""Labels as a COCO file: each is a box around the whole photo, since the format has no labels of photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .predictions import Predictions


def write_coco(predictions: Predictions, out: Path) -> str:
    """`coco.json`, as pycocotools and FiftyOne read it; boxes have a `score`.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.
    """
    ids = {name: number for number, name in enumerate(predictions.categories, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (photo, width, height) in enumerate(predictions.sized(), start=1):
        images.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        for label, score in zip(photo.labels, photo.scores, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[label],
                    "bbox": [0, 0, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [],
                    "score": round(score, 4),
                }
            )
    content = {
        "info": {"description": f"Labels of whole photos by {predictions.model_version}"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    path = out / "coco.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return f"COCO file: {path}, photos: {predictions.root}"
