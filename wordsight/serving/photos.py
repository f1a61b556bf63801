"""Photos that strangers send: nothing is opened that is too large, or that Pillow would need another program for."""

from __future__ import annotations

import base64
from io import BytesIO

from fastapi import HTTPException
from PIL import Image

from wordsight.pipelines.image_io import UNREADABLE, decode_photo, reason_of
from wordsight.pipelines.photo_formats import open_file

# Pillow reads more, of which some hand the file to other programs (EPS to Ghostscript).
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")

ICON = b"\x00\x00\x01\x00"


def is_url(text: str) -> bool:
    """Whether a photo is given by its address."""
    return text[:8].lower().startswith(("http://", "https://"))


def from_base64(text: str, name: str = "The photo") -> bytes:
    """A photo's content, of base64 with or without `data:image/...;base64,` before it.

    Raises:
        HTTPException: 422, it is no base64.
    """
    try:
        return base64.b64decode("".join(text.rpartition(",")[2].split()), validate=True)
    except ValueError as error:
        raise HTTPException(
            422, f"{name} is no base64. Send a photo's content in base64, or as the request's body."
        ) from error


def open_photo(content: bytes, max_pixels: int, name: str = "The photo", least: int | None = None) -> Image.Image:
    """A photo, upright and in RGB, as the pipeline reads it (see `decode_photo`).

    Args:
        content: a file's.
        max_pixels: most pixels; told by the file's beginning, before anything is decoded.
        name: what to call it in an error.
        least: fewest pixels on the shorter side that a JPEG may be decoded at (see `decode_photo`).

    Raises:
        HTTPException: 413, it has too many pixels; 415, it is in no format that is read here; 422, it can't be read.
    """
    if content.startswith(ICON):  # Pillow decodes the picture in it as it is opened, whatever its size
        raise HTTPException(415, f"{name} is an icon, which is not read here. Send one of {', '.join(FORMATS)}.")
    try:
        with open_file(BytesIO(content)) as header:
            width, height = header.size
            kind = header.format
        if width * height > max_pixels:
            raise HTTPException(
                413,
                f"{name} has {width} x {height} pixels, more than {max_pixels / 10**6:g} million. Send a smaller one.",
            )
        if kind not in FORMATS:
            raise HTTPException(415, f"{name} is {kind}, which is not read here. Send one of {', '.join(FORMATS)}.")
        return decode_photo(content, least)
    except Image.DecompressionBombError as error:
        raise HTTPException(
            413, f"{name} has more than {max_pixels / 10**6:g} million pixels. Send a smaller one."
        ) from error
    except (*UNREADABLE, MemoryError, RuntimeError, AssertionError) as error:
        raise HTTPException(422, f"{name} can't be read as an image ({reason_of(error)}).") from error
