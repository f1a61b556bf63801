"""Photos as encoders want them, whatever they were saved as: upright, in RGB, with 8 bits a channel."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

# What Pillow and image processors are known to raise at broken photos.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
JPEG_START = b"\xff\xd8\xff"
# A JPEG of more pixels than Pillow opens without a warning (89 million) is decoded at reduced scale, but not below so
# many pixels on the shorter side. That takes little memory, so that photos of 4 times as many are no bombs yet.
LARGE_JPEG_SIDE = 2048
LARGE_JPEG_FACTOR = 4
BRIGHTEST_8_BIT, BRIGHTEST_16_BIT = 255, 65535
LONGEST = 100  # times as long as wide; an encoder that scales the shorter side would blow it up


def decode_photo(source: str | Path | bytes | Image.Image, least: int | None = None) -> Image.Image:
    """A photo, upright and in RGB.

    EXIF rotation is obeyed. Of an animation the first frame is taken. What is transparent becomes white, as pages show
    it. 16-bit greys are scaled to 8 bits; greys of 32 bits and fractions, which have no fixed range, from their darkest
    to their brightest value.

    Args:
        source: a path, a file's content, or an image.
        least: JPEGs may be decoded at 1/2, 1/4 or 1/8 of their size, but not below so many pixels on the shorter side;
            None decodes at full size, but for JPEGs of more than 89 megapixels.

    Raises:
        OSError, ValueError, ...: one of `UNREADABLE`, the photo can't be read.
    """
    if isinstance(source, Image.Image):
        return _upright_rgb(source)
    with BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        is_jpeg = file.read(len(JPEG_START)) == JPEG_START
        file.seek(0)
        with _open_jpeg(file, least) if is_jpeg else Image.open(file) as image:
            return _upright_rgb(image)


def reason_of(error: Exception) -> str:
    """Why a photo can't be read, of one of `UNREADABLE`, in a few words."""
    if isinstance(error, UnidentifiedImageError):  # its message holds an address, or the path
        return "not in a format that Pillow reads"
    message = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {message[:200]}"


def _open_jpeg(file: IO[bytes], least: int | None) -> Image.Image:
    """A JPEG whose pixels are yet to be decoded, at reduced scale where it is large or that is asked for."""
    try:
        # Not by Image.open, which counts pixels before it can be told of the reduced scale.
        image = JpegImagePlugin.jpeg_factory(file)
    except (SyntaxError, LookupError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(f"not a whole JPEG: {error}") from error
    if (most := Image.MAX_IMAGE_PIXELS) is not None and (pixels := image.width * image.height) > most:
        if pixels > LARGE_JPEG_FACTOR * most:
            raise Image.DecompressionBombError(f"{pixels} pixels, more than {LARGE_JPEG_FACTOR * most}")
        least = LARGE_JPEG_SIDE if least is None else least
    if least is not None:
        image.draft(None, (least, least))
    return image


def _upright_rgb(image: Image.Image) -> Image.Image:
    if max(image.size) > LONGEST * min(image.size):
        raise ValueError(f"{image.width} x {image.height} pixels are a strip, no photo")
    image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # I;16 and its kin, I (32 bits), F (fractions)
        image = _in_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image.convert("RGB")


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Deep greys as 8-bit ones; Pillow's own conversion makes all that is above 255 white."""
    values = np.asarray(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    darkest, brightest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    # 16-bit files come as I;16, or as I from some formats; an I that is no brighter than 255 has 8 bits.
    if image.mode[0] == "I" and darkest >= 0 and brightest <= BRIGHTEST_16_BIT:
        has_8_bits = image.mode == "I" and brightest <= BRIGHTEST_8_BIT
        darkest, brightest = 0, BRIGHTEST_8_BIT if has_8_bits else BRIGHTEST_16_BIT
    spread = brightest - darkest
    values = np.nan_to_num(values, nan=darkest, posinf=brightest, neginf=darkest)
    scaled = (values - darkest) * (BRIGHTEST_8_BIT / spread if spread else 0)
    return Image.fromarray(np.round(scaled).astype(np.uint8))
