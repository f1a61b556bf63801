"""What users give as a photo, opened: paths, URLs, base64 and images, each with an error that names it."""

from __future__ import annotations

import base64
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.utils import httpx
from numpy.typing import NDArray
from PIL import Image

from wordsight.errors import InvalidInputError
from wordsight.modeling.decoding import UNREADABLE, decode_photo, reason_of

URL_TIMEOUT = 10.0  # seconds, for the whole photo
MOST_BYTES = 200 * 10**6  # that are fetched


def open_input(image: Any, timeout: float | None = None) -> Image.Image:
    """A photo, upright and in RGB (see `decode_photo`).

    Args:
        image: a path, a URL, base64, or an image.
        timeout: seconds to wait for a URL, 10 by default.

    Raises:
        InvalidInputError: it can't be fetched or read; says which, and what to do.
    """
    shown = repr(image[:200] if isinstance(image, str | bytes) else image)
    if not isinstance(image, str | Path | Image.Image):
        raise InvalidInputError(
            f"{shown} can't be read as an image. Give a path, a URL, base64, a PIL image or an array."
        )
    is_url = isinstance(image, str) and image.lower().startswith(("http://", "https://"))
    source = _fetch(str(image), timeout) if is_url else _local(image, shown)
    try:
        return decode_photo(source)
    except Image.DecompressionBombError as error:
        raise InvalidInputError(
            f"{shown} is too large to be opened safely: {error} Make it smaller, or, if you trust it, raise "
            "PIL.Image.MAX_IMAGE_PIXELS."
        ) from error
    except UNREADABLE as error:
        raise InvalidInputError(
            f"{shown} can't be read as an image ({reason_of(error)}). Give a path, a URL or a PIL image; if it is "
            "damaged, fetch it anew."
        ) from error


def array_input(array: NDArray[Any]) -> NDArray[Any] | Image.Image:
    """An array as image processors take it: grey and transparent ones as an image, 16 bits as 8.

    Args:
        array: (H, W), (H, W, C) or (C, H, W).
    """
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype == np.uint16 and array.ndim == 3:
        array = (array >> 8).astype(np.uint8)
    is_grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    is_transparent = array.ndim == 3 and array.shape[-1] == 4 and array.dtype == np.uint8
    return Image.fromarray(array) if is_grey or is_transparent else array


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
                    raise InvalidInputError(f"{url} gives more than {MOST_BYTES // 10**6} MB. Download the photo.")
                if time.monotonic() > deadline:  # the client's own timeout is for each part
                    raise httpx.ReadTimeout("too slow")
    except InvalidInputError:
        raise
    except httpx.HTTPStatusError as error:
        raise InvalidInputError(f"{url} answers {error.response.status_code}. Check the address.") from error
    except httpx.TimeoutException as error:
        raise InvalidInputError(
            f"{url} does not answer within {seconds:g} s. Try again, with a longer timeout, or download the photo."
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
        raise InvalidInputError(f"{shown} is a folder. Give photos, or label all in it: wordsight predict --shards.")
    if kind == (False, True):
        return image
    text = str(image)
    # A path that is not there is no base64.
    if isinstance(image, Path) or (len(text) < 1000 and "://" not in text and Path(text).suffix):
        raise InvalidInputError(f"There is no photo {shown}.")
    try:
        return base64.decodebytes(text.split(",", 1)[-1].encode())
    except ValueError as error:
        raise InvalidInputError(
            f"{shown} can't be read as an image: no file, no URL, no base64. Give a path or a URL."
        ) from error
