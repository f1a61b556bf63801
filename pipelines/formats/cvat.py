"""Labels as tags of CVAT ("CVAT for images 1.1"), with the labels that a task needs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

from wordsight.utils.errors import InvalidInputError

from .predictions import Predictions
from .xml_text import check_xml, check_xml_names

META = 2  # elements before those of photos


def write_cvat(predictions: Predictions, out: Path) -> str:
    """`annotations.xml`, a tag a label, and `cvat_labels.json`, to be pasted under "Raw" when a task is made.

    Args:
        predictions: the labels.
        out: folder.

    Returns:
        What to say of it.

    Raises:
        InvalidInputError: a category has a character that XML does not allow.
    """
    check_xml_names(predictions.categories)
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
    for photo, width, height in predictions.sized():
        try:
            check_xml(photo.name, "its name")
        except InvalidInputError as error:
            warnings.warn(f"A photo is left out: {error}.", stacklevel=2)
            continue
        attributes = {"id": str(len(root) - META), "name": photo.name, "width": str(width), "height": str(height)}
        image = ElementTree.SubElement(root, "image", attributes)
        for name in photo.labels:
            ElementTree.SubElement(image, "tag", label=name, source="auto")
    ElementTree.indent(root)
    path, raw = out / "annotations.xml", out / "cvat_labels.json"
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
    specs = [{"name": name, "type": "tag", "attributes": []} for name in predictions.categories]
    raw.write_text(json.dumps(specs, indent=1, ensure_ascii=False), encoding="utf-8")
    return f'Tags ("CVAT for images 1.1"): {path}, labels of the task (under "Raw"): {raw}'
