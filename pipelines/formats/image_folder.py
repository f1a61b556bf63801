"""Photos and labels as an image folder of `datasets`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from wordsight.utils.errors import writing

from .predictions import Predictions

PHOTOS = "dataset"


def write_image_folder(predictions: Predictions, out: Path) -> str:
    """Copies of the photos and `metadata.jsonl` with `labels` and `scores`; photos that can't be read are left out.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.
    """
    folder = out / PHOTOS
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for photo in predictions.readable():
            copy_photo(predictions.path(photo), folder / photo.name)
            scores = [round(score, 4) for score in photo.scores]
            row = {"file_name": photo.name, "labels": photo.labels, "scores": scores}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return f'To load: datasets.load_dataset("imagefolder", data_dir="{folder}")'


def copy_photo(source: Path, target: Path) -> None:
    """Copies a photo, unless a copy of its size and time is there; no crash leaves half of one under its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    there, given = target.stat() if target.exists() else None, source.stat()
    if there is None or (there.st_size, there.st_mtime_ns) != (given.st_size, given.st_mtime_ns):
        partial = target.with_name(f".{target.name}.partial")
        with writing(target, "run the same command again"):
            shutil.copy2(source, partial)
            partial.replace(target)
