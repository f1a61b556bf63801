"""Opens photos of any format, from any kind of source: upright, in RGB, with 8 bits a channel."""

from __future__ import annotations

import base64
import math
import re
import struct
import time
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import numpy as np
from huggingface_hub.utils import httpx
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from wordsight.modeling.tiling import Tiling, smallest_side
from wordsight.utils.errors import InvalidInputError

from .photo_formats import HeifError, is_jpeg, open_file, open_jpeg, pillow_errors

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
# A JPEG of more pixels than Pillow opens without a warning (89 million) is decoded at reduced scale, but not below so
# many pixels on the shorter side. That takes little memory, so that photos of 4 times as many are no bombs yet.
LARGE_JPEG_SIDE = 2048
LARGE_JPEG_FACTOR = 4
# Photos that an encoder is to see are never decoded at less: twice the size that most encoders see. Smaller ones are
# decoded in no time, and their scores are those of any other way to read them.
LEAST_DRAFT = 448
BRIGHTEST_8_BIT, BRIGHTEST_16_BIT = 255, 65535
MOST_ELONGATED = 100  # times as long as wide; an encoder that scales the shorter side would blow it up


def decode_photo(source: str | Path | bytes | Image.Image, least: int | None = None) -> Image.Image:
    """A photo, upright and in RGB.

    EXIF rotation is obeyed. The first frame of an animation is used. Transparent parts become white, as pages show
    them. 16-bit grays are scaled to 8 bits; grays of 32 bits and fractions, which have no fixed range, from
    their darkest to their brightest value.

    Args:
        source: a path, a file's content, or an image.
        least: JPEGs may be decoded at 1/2, 1/4 or 1/8 of their size, but not below so many pixels on the shorter side;
            None decodes at full size, except JPEGs of more than 89 megapixels.

    Raises:
        OSError, ValueError, ...: one of `UNREADABLE`, the photo can't be read.
    """
    if isinstance(source, Image.Image):
        return _upright_rgb(source)
    with (
        BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file,
        _draft_jpeg(file, least) if is_jpeg(file) else open_file(file) as image,
        pillow_errors(),
    ):
        return _upright_rgb(image)


def draft_size(image_processor: Any, tiles: Tiling = "off") -> int | None:
    """How many pixels on the shorter side a photo needs, to be seen by an encoder as if it was decoded at full size.

    It is twice the longest side that the processor brings the photo, or each of its tiles, to: what is averaged away
    then would be so at full size, too.

    Args:
        image_processor: the encoder's.
        tiles: which parts of the photo are looked at beside the whole.

    Returns:
        The `least` of `decode_photo`; None where the processor does not say what it makes of photos.
    """
    sides: list[int] = []
    for name in ("size", "crop_size"):
        given = getattr(image_processor, name, None) or {}
        sides += [value for side in ("height", "width", "shortest_edge", "longest_edge") if (value := given.get(side))]
    return max(LEAST_DRAFT, math.ceil(2 * max(sides) / smallest_side(tiles))) if sides else None


def reason_of(error: Exception) -> str:
    """Why a photo can't be read, of one of `UNREADABLE`, in a few words."""
    if isinstance(error, HeifError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):  # its message holds an address, or the path
        return "not in a format that Pillow reads"
    message = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {message[:200]}"


def _draft_jpeg(file: IO[bytes], least: int | None) -> Image.Image:
    """A JPEG whose pixels are yet to be decoded, at reduced scale where it is large or that is asked for."""
    image = open_jpeg(file)
    if (most := Image.MAX_IMAGE_PIXELS) is not None and (pixels := image.width * image.height) > most:
        if pixels > LARGE_JPEG_FACTOR * most:
            raise Image.DecompressionBombError(f"{pixels} pixels, more than {LARGE_JPEG_FACTOR * most}")
        least = LARGE_JPEG_SIDE if least is None else least
    if least is not None:
        image.draft(None, (least, least))
    return image


def _upright_rgb(image: Image.Image) -> Image.Image:
    if max(image.size) > MOST_ELONGATED * min(image.size):
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
    """Deep grays as 8-bit ones; Pillow's own conversion makes all that is above 255 white."""
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


CHANNELS = (1, 3, 4)
ARRAYS = (
    "Pass (height, width, 3), (3, height, width) or (height, width), with values from 0 to 1, to 255, or of 16 bits."
)
URL_TIMEOUT = 10.0  # seconds, for the whole photo
SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
LONGEST_PATH = 1000
SHORTEST_BASE64 = 80  # characters: the smallest photos are about as long
MOST_BYTES = 200 * 10**6  # that are fetched


def open_input(image: Any, timeout: float | None = None, least: int | None = None) -> Image.Image:
    """A photo, upright and in RGB (see `decode_photo`).

    Args:
        image: a path, a URL, base64, or an image.
        timeout: seconds to wait for a URL, 10 by default.
        least: as `decode_photo` takes it.

    Raises:
        InvalidInputError: it can't be fetched or read; says which, and what to do.
    """
    shown = repr(image[:200] if isinstance(image, str | bytes) else image)
    if not isinstance(image, str | Path | Image.Image):
        raise InvalidInputError(
            f"{shown} can't be read as an image. Pass a path, a URL, base64, a PIL image or an array."
        )
    is_url = isinstance(image, str) and image.lower().startswith(("http://", "https://"))
    source = _fetch(str(image), timeout) if is_url else _local(image, shown)
    try:
        return decode_photo(source, least)
    except Image.DecompressionBombError as error:
        raise InvalidInputError(
            f"{shown} is too large to be opened safely: {error} Make it smaller, or, if you trust it, raise "
            "PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except UNREADABLE as error:
        raise InvalidInputError(
            f"{shown} can't be read as an image ({reason_of(error)}). Pass a path, a URL or a PIL image; if the "
            "file is damaged, download it again."
        ) from error


def image_of(array: NDArray[Any]) -> Image.Image:
    """An array as an image of 8 bits.

    Fractions up to 1 are shares of the brightest value, as `array / 255` and torchvision's `ToTensor` give them; larger
    ones, and whole numbers, go up to 255, or to 65535 where they are stored in more than 8 bits.

    Args:
        array: (H, W), (H, W, C) or (C, H, W) of 1, 3 or 4 channels.

    Raises:
        InvalidInputError: it has no pixels, another shape, or values that are no brightness.
    """
    shown = f"An array of shape {array.shape} and type {array.dtype}"
    if array.ndim == 3 and array.shape[-1] not in CHANNELS and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    has_channels = array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in CHANNELS)
    if not has_channels or not array.size or array.dtype.kind not in "buif":
        raise InvalidInputError(f"{shown} can't be read as an image. {ARRAYS}")
    if array.dtype != np.uint8:
        array = _brightness(array, shown)
    return Image.fromarray(np.ascontiguousarray(array.squeeze(-1) if array.shape[2:] == (1,) else array))


def _brightness(array: NDArray[Any], shown: str) -> NDArray[np.uint8]:
    """Values of any type as brightness of 8 bits."""
    if array.dtype == bool:
        return array.astype(np.uint8) * BRIGHTEST_8_BIT
    darkest, brightest = float(array.min()), float(array.max())
    is_fraction = np.issubdtype(array.dtype, np.floating)
    highest = BRIGHTEST_8_BIT if is_fraction else BRIGHTEST_16_BIT
    if not (darkest >= 0 and brightest <= highest):  # NaN, too
        raise InvalidInputError(
            f"{shown} has values from {darkest:g} to {brightest:g}, which are no brightness (normalized already?). "
            f"{ARRAYS}"
        )
    if is_fraction:
        factor = BRIGHTEST_8_BIT if brightest <= 1 else 1
        return np.round(array.astype(np.float32) * factor).astype(np.uint8)
    if array.dtype == np.uint16 or brightest > BRIGHTEST_8_BIT:
        return (array.astype(np.int64) >> 8).astype(np.uint8)
    return array.astype(np.uint8)


def _fetch(url: str, timeout: float | None) -> bytes:
    seconds = URL_TIMEOUT if timeout is None else timeout
    deadline = time.monotonic() + seconds
    content = bytearray()
    try:
        with httpx.stream("GET", url, timeout=seconds, follow_redirects=True) as answer:
            answer.raise_for_status()
            for part in answer.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise InvalidInputError(
                        f"{url} is larger than {MOST_BYTES // 10**6} MB. Download the photo and pass its path."
                    )
                if time.monotonic() > deadline:  # the client's own timeout is for each part
                    raise httpx.ReadTimeout("too slow")
    except InvalidInputError:
        raise
    except httpx.HTTPStatusError as error:
        raise InvalidInputError(f"{url} returned status {error.response.status_code}. Check the address.") from error
    except httpx.TimeoutException as error:
        raise InvalidInputError(
            f"{url} does not answer within {seconds:g} s. Try again with a longer timeout, or download the photo."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise InvalidInputError(
            f"{url} can't be reached ({str(error) or type(error).__name__}). Check address and network, or download "
            "the photo."
        ) from error
    return bytes(content)


def _local(image: str | Path | Image.Image, shown: str) -> str | Path | bytes | Image.Image:
    """A path or an image as it is, base64 as bytes."""
    if isinstance(image, Image.Image):
        return image
    kind = None
    with suppress(OSError):  # base64 is too long for a name
        kind = Path(image).is_dir(), Path(image).is_file()
    if kind == (True, False):
        raise InvalidInputError(
            f"{shown} is a folder. Pass photos, or label the whole folder with `wordsight predict --shards`."
        )
    if kind == (False, True):
        return image
    text = str(image)
    if isinstance(image, str) and text.lower().startswith("file://"):
        return _local(Path(url2pathname(unquote(urlsplit(text).path))), shown)
    if scheme := SCHEME.match(text):
        raise InvalidInputError(
            f"{shown} can't be fetched: {scheme[0]} is none of http://, https:// and file://. Download the photo and "
            "pass its path."
        )
    # Short texts of letters and slashes are base64, too: a path that is not there is what was meant.
    is_short = len(text) < SHORTEST_BASE64 or (len(text) < LONGEST_PATH and Path(text).suffix)
    if isinstance(image, Path) or (is_short and not text.startswith("data:")):
        raise InvalidInputError(f"There is no photo {shown}.")
    try:
        return base64.b64decode("".join(text.split(",", 1)[-1].split()), validate=True)
    except ValueError as error:
        raise InvalidInputError(
            f"{shown} can't be read as an image: no file, no URL, no base64. Pass a path or a URL."
        ) from error
