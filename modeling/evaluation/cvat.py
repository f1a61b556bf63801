"""Exports of CVAT ("CVAT for images 1.1"): tags of photos, and labels of shapes in them."""

from __future__ import annotations

import zlib
from pathlib import Path
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from wordsight.utils.errors import InvalidInputError

from .annotation_files import same_name
from .labeled_photo import Read
from .reviewed import labeled, only_file

EXPORT = "annotations.xml"
# What zipfile (RuntimeError: encrypted, or packed in a way that it does not know) and ElementTree raise.
DAMAGED = (OSError, RuntimeError, ValueError, LookupError, EOFError, zlib.error, ElementTree.ParseError, BadZipFile)


def read_cvat(path: Path, split: str | None) -> Read:
    """The export's photos with their labels; a photo without any shows nothing.

    Args:
        path: annotations.xml, the archive that CVAT exports, or a folder that holds either.
        split: of images that were imported by subset, the only one to read.

    Raises:
        InvalidInputError: it is no such export.
    """
    file = path / EXPORT if (path / EXPORT).is_file() else only_file(path, "*.zip", "export")
    try:
        root = ElementTree.fromstring(_content(file))
    except DAMAGED as error:
        raise InvalidInputError(f"{file} can't be read as an export of CVAT: {error}.") from error
    if root.tag != "annotations" or root.find("image") is None:
        raise InvalidInputError(f'{file} has no images. Export as "CVAT for images 1.1".')
    found: list[tuple[str, frozenset[str]]] = []
    for number, image in enumerate(root.iter("image")):
        if split is not None and image.get("subset") != split:
            continue
        name = image.get("name")
        if name is None:
            raise InvalidInputError(f"{file}: image {number} has no name.")
        found.append((name, frozenset(same_name(label) for shape in image if (label := shape.get("label")))))
    known = [same_name(name.text) for name in root.findall("meta//labels/label/name") if name.text]
    photos, notes = labeled(file, found)
    return f"CVAT {file.stem}", photos, dict.fromkeys(known), notes


def _content(file: Path) -> bytes:
    if file.suffix.lower() != ".zip":
        return file.read_bytes()
    with ZipFile(file) as archive:
        return archive.read(EXPORT)
