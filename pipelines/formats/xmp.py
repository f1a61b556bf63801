"""Labels as keywords of photos (XMP dc:subject), in sidecar files, in copies, or in the photos themselves."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from wordsight.utils.errors import InvalidInputError, writing
from wordsight.utils.wording import counted

from ..image_io import reason_of
from .image_folder import copy_photo
from .options import XMPTarget
from .predictions import PhotoLabels, Predictions
from .xmp_files import can_hold_xmp, get_xmp, put_xmp
from .xmp_packet import with_keywords

COPIES = "photos"


def write_xmp(predictions: Predictions, out: Path, target: XMPTarget = "sidecars") -> str:
    """Adds labels to photos' keywords; those that are there stay, and none is there twice.

    Args:
        predictions: the labels.
        out: folder, for copies.
        target: "sidecars" writes `photo.jpg.xmp` beside each photo; "copies" writes into copies of the photos, in the
            folder `photos` of `out`; "in-place" into the photos. Of photos that are no JPEG, PNG or WebP, the last two
            write sidecars.

    Returns:
        What to say of it.
    """
    written = sidecars = 0
    for photo in predictions.readable():
        path = predictions.path(photo)
        if target == "copies":
            copy = out / COPIES / photo.name
            if not copy.exists():
                copy_photo(path, copy)
            path = copy
        if not photo.labels:
            continue
        try:
            beside = target == "sidecars" or not _embed(path, photo)
            if beside:
                _write_sidecar(path, photo)
        except InvalidInputError as error:
            warnings.warn(f"{photo.name} gets no keywords: {error}.", stacklevel=2)
            continue
        written, sidecars = written + 1, sidecars + beside
    folder = out / COPIES if target == "copies" else predictions.root
    told = f"{counted(written, 'photo')} with keywords in {folder}"
    return told + (f", {sidecars} of them in sidecar files" if sidecars else "")


def sidecar_of(path: Path) -> Path:
    """Where a photo's sidecar file is, as digiKam, darktable and Immich have it (Lightroom reads none of a JPEG)."""
    return path.with_name(path.name + ".xmp")


def _embed(path: Path, photo: PhotoLabels) -> bool:
    """Writes keywords into a file; False if it is of another kind than those that can be written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"it can't be read ({reason_of(error)})") from error
    if not can_hold_xmp(content):
        return False
    there = get_xmp(content)
    _replace(path, put_xmp(content, with_keywords(there, photo.labels)))
    return True


def _write_sidecar(path: Path, photo: PhotoLabels) -> None:
    sidecar = sidecar_of(path)
    there = sidecar.read_bytes() if sidecar.exists() else None
    _replace(sidecar, with_keywords(there, photo.labels))


def _replace(path: Path, content: bytes) -> None:
    """Puts a file in place of another at once, so that no crash leaves half of one; its rights and times stay.

    A link stays one: the file that it leads to is replaced.
    """
    path = path.resolve()
    written = path.with_name(f".{path.name}.partial")
    with writing(path, "run the same command again"):
        written.write_bytes(content)
        if path.exists():
            given = path.stat()
            written.chmod(given.st_mode)
            os.utime(written, ns=(given.st_atime_ns, given.st_mtime_ns))
        written.replace(path)
