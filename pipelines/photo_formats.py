"""Which files are photos, by their names or their first bytes; and HEIC, which Pillow reads with a plugin."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import PurePath
from typing import IO

from PIL import Image, JpegImagePlugin, UnidentifiedImageError

HEIF_SUFFIXES = {".heic", ".heif", ".hif"}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
NEEDS_HEIF = "HEIC, which Pillow reads with a plugin: pip install pillow-heif"
JPEG_START = b"\xff\xd8\xff"
PHOTO_HEAD = 16  # bytes that tell whether a file is a photo
PHOTO_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000")  # that are known by those bytes
NO_PHOTOS = {"PDF", "MPEG", "HDF5", "GRIB", "BUFR"}  # formats that Pillow knows by name, but does not decode


class HeifError(UnidentifiedImageError):
    """A photo is HEIC, and no plugin for it is installed."""


def has_photo_suffix(path: PurePath) -> bool:
    """Whether a file is named as photos are, those that need a plugin to be read included."""
    return path.suffix.lower() in _photo_suffixes()


@cache
def _photo_suffixes() -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(HEIF_SUFFIXES | {suffix for suffix, kind in known.items() if kind not in NO_PHOTOS})


def starts_like_photo(head: bytes) -> bool:
    """Whether a file's first `PHOTO_HEAD` bytes are those of a common format of photos."""
    Image.init()
    accepts = [Image.OPEN[kind][1] for kind in PHOTO_FORMATS if kind in Image.OPEN]
    return _is_heif(head) or any(accept is not None and accept(head) is True for accept in accepts)


def is_jpeg(file: IO[bytes]) -> bool:
    """Whether a file begins as JPEGs do; it is at its start then."""
    head = file.read(len(JPEG_START))
    file.seek(0)
    return head == JPEG_START


def open_jpeg(file: IO[bytes]) -> Image.Image:
    """A JPEG of any size, whose pixels are yet to be decoded: `Image.open` refuses large ones before they are drafted.

    Raises:
        UnidentifiedImageError: its header is damaged.
    """
    try:
        return JpegImagePlugin.jpeg_factory(file)
    except (SyntaxError, LookupError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(f"not a whole JPEG: {error}") from error


def open_file(file: IO[bytes]) -> Image.Image:
    """An image in a file; where it is HEIC, by the plugin, if that is installed.

    Raises:
        HeifError: it is not.
        OSError, ...: Pillow can't read it.
    """
    try:
        with pillow_errors():
            return Image.open(file)
    except UnidentifiedImageError:
        file.seek(0)
        if not _is_heif(file.read(PHOTO_HEAD)):
            raise
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise HeifError(NEEDS_HEIF) from error
    file.seek(0)
    return Image.open(file)


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Makes the RuntimeError that Pillow's AVIF decoder raises at damaged files an OSError, as other formats have."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS
