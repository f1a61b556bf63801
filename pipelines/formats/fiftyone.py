"""Labels as FiftyOne's dataset of image classifications, several a photo, with confidence."""

from __future__ import annotations

import json
from pathlib import Path

from .predictions import Predictions


def write_fiftyone(predictions: Predictions, out: Path) -> str:
    """`labels.json`, by photos' absolute paths: names without suffixes, which it has otherwise, need not differ.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.
    """
    labels = {}
    for photo in predictions.readable():
        scored = zip(photo.labels, photo.scores, strict=True)
        found = [{"label": label, "confidence": round(score, 4)} for label, score in scored]
        labels[str(predictions.path(photo).resolve())] = found
    path = out / "labels.json"
    path.write_text(json.dumps({"classes": None, "labels": labels}, indent=1, ensure_ascii=False), encoding="utf-8")
    return (
        f'To import: fiftyone.Dataset.from_dir(labels_path="{path}", '
        "dataset_type=fiftyone.types.FiftyOneImageClassificationDataset)"
    )
