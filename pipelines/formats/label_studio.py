"""Labels as tasks of Label Studio, with the labeling interface that goes with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from .predictions import PhotoLabels, Predictions
from .xml_text import check_xml_names

LOCAL_FILES = "/data/local-files/?d="
CONTROL, IMAGE = "labels", "image"  # names in the interface, by which predictions refer to it


def write_label_studio(predictions: Predictions, out: Path, base_url: str | None = None) -> str:
    """`tasks.json` with a prediction a photo, and `labeling_config.xml`.

    Args:
        predictions: the labels.
        out: folder.
        base_url: what photos' names are appended to; by default Label Studio's local files, which has the folder above
            the photos as its root.

    Returns:
        What to say of it.

    Raises:
        InvalidInputError: a category has a character that XML does not allow, in which the interface is written.
    """
    check_xml_names(predictions.categories)
    root = predictions.root
    assert root is not None
    base = LOCAL_FILES + quote(f"{root.resolve().name}/") if base_url is None else base_url.rstrip("/") + "/"
    tasks = [_task(photo, base, predictions.model_version) for photo in predictions.readable()]
    path, config = out / "tasks.json", out / "labeling_config.xml"
    path.write_text(json.dumps(tasks, indent=1, ensure_ascii=False), encoding="utf-8")
    config.write_text(labeling_config(predictions.categories), encoding="utf-8")
    told = f"Tasks: {path}, labeling interface: {config}"
    if base_url is None:
        return (
            f"{told}. Start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root.resolve().parent}, and add {root.resolve()} as local storage"
        )
    return told


def labeling_config(categories: list[str]) -> str:
    """The labeling interface: a photo, and any number of choices."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value="$image")
    choices = ElementTree.SubElement(view, "Choices", name=CONTROL, toName=IMAGE, choice="multiple", showInline="true")
    for name in categories:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(photo: PhotoLabels, base: str, model_version: str) -> dict[str, Any]:
    scores = [round(score, 4) for score in photo.scores]
    result: list[dict[str, Any]] = []
    if photo.labels:
        value = {"choices": photo.labels}
        result.append({"from_name": CONTROL, "to_name": IMAGE, "type": "choices", "value": value})
    # The tool sorts tasks by one score: that of the label which is least sure.
    prediction: dict[str, Any] = {"model_version": model_version, "result": result, "score": min(scores, default=0.0)}
    data = {
        "image": base + quote(photo.name),
        "photo": photo.name,
        "scores": dict(zip(photo.labels, scores, strict=True)),
    }
    return {"data": data, "predictions": [prediction]}
