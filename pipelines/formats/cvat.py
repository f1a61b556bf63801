"""Labels as tags of CVAT ("CVAT for images 1.1"), with the labels that a task needs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from .predictions import Predictions, upright_size


def write_cvat(predictions: Predictions, out: Path) -> str:
    """`annotations.xml`, a tag a label, and `cvat_labels.json`, to be pasted under "Raw" when a task is made.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "name").text = predictions.model_version
    labels = ElementTree.SubElement(task, "labels")
    for name in predictions.categories:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "type").text = "tag"
        ElementTree.SubElement(label, "attributes")
    for number, photo in enumerate(predictions.readable()):
        width, height = upright_size(predictions.path(photo))
        attributes = {"id": str(number), "name": photo.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", attributes)
        for name in photo.labels:
            ElementTree.SubElement(image, "tag", label=name, source="auto")
    ElementTree.indent(root)
    path, raw = out / "annotations.xml", out / "cvat_labels.json"
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    specs = [{"name": name, "type": "tag", "attributes": []} for name in predictions.categories]
    raw.write_text(json.dumps(specs, indent=1, ensure_ascii=False), encoding="utf-8")
    return f'Tags ("CVAT for images 1.1"): {path}, labels of the task (under "Raw"): {raw}'
