"""XMP packets in JPEG, PNG and WebP files: what else a file holds stays byte for byte, pixels above all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import MAX_TEXT_CHUNK

from wordsight.utils.errors import InvalidInputError

from ..image_io import UNREADABLE, reason_of

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\x00"
PNG_NAME = b"XML:com.adobe.xmp\x00"
MOST_IN_JPEG = 65533 - len(JPEG_NAME)  # a segment's length has 16 bits and counts itself
FILL, APP0, APP1, START_OF_SCAN = 0xFF, 0xE0, 0xE1, 0xDA
XMP_FLAG, ALPHA_FLAG = 0x04, 0x10  # of WebP's VP8X chunk


def can_hold_xmp(content: bytes) -> bool:
    """Whether a file is of a kind that `put_xmp` knows."""
    return content.startswith((JPEG, PNG)) or _is_webp(content)


def put_xmp(content: bytes, packet: bytes) -> bytes:
    """A photo's file with an XMP packet, in place of one that is there.

    Args:
        content: the file.
        packet: see `with_keywords`.

    Raises:
        InvalidInputError: the file is damaged, or the packet is too long for it.
    """
    with _damaged():
        if content.startswith(JPEG):
            return _in_jpeg(content, packet)
        return _in_png(content, packet) if content.startswith(PNG) else _in_webp(content, packet)


def get_xmp(content: bytes) -> bytes | None:
    """A photo's XMP packet, wherever in the file `put_xmp` would replace it; None if there is none.

    Args:
        content: the file.

    Raises:
        InvalidInputError: the file is damaged, or has several packets.
    """
    with _damaged():
        if content.startswith(JPEG):
            segments, _ = _jpeg_segments(content)
            found = [segment[4 + len(JPEG_NAME) :] for segment in segments if _is_jpeg_xmp(segment)]
        elif content.startswith(PNG):
            found = [_png_text(chunk) for chunk in _png_chunks(content) if _is_png_xmp(chunk)]
        else:
            found = [data for name, data in _webp_chunks(content) if name == b"XMP "]
    if len(found) > 1:
        raise InvalidInputError(f"its file has {len(found)} XMP packets, where one is allowed")
    return found[0] if found else None


@contextmanager
def _damaged() -> Iterator[None]:
    """Says of what readers raise at damaged files that the file is damaged."""
    try:
        yield
    except InvalidInputError:
        raise
    except UNREADABLE as error:
        raise InvalidInputError(f"its file is damaged ({reason_of(error)})") from error


def _in_jpeg(content: bytes, packet: bytes) -> bytes:
    """The packet as the first APP1 segment behind JFIF's and EXIF's, which have to come first."""
    if len(packet) > MOST_IN_JPEG:
        raise InvalidInputError(f"its XMP is longer than the {MOST_IN_JPEG} bytes that a JPEG can hold")
    segments, scan = _jpeg_segments(content)
    kept = [segment for segment in segments if not _is_jpeg_xmp(segment)]
    first = (row for row, part in enumerate(kept, 1) if part[1] == APP0 or (part[1] == APP1 and part[4:8] == b"Exif"))
    written = struct.pack(">BBH", FILL, APP1, 2 + len(JPEG_NAME) + len(packet)) + JPEG_NAME + packet
    kept.insert(max(first, default=0), written)
    return content[:2] + b"".join(kept) + scan


def _jpeg_segments(content: bytes) -> tuple[list[bytes], bytes]:
    """Segments before the pixels, and all from there on."""
    segments, position = [], 2
    while content[position] == FILL:
        if content[position + 1] == FILL:  # any number of them may stand before a segment
            position += 1
            continue
        if content[position + 1] == START_OF_SCAN:
            break
        (length,) = struct.unpack_from(">H", content, position + 2)
        segments.append(content[position : position + 2 + length])
        position += 2 + length
    return segments, content[position:]


def _is_jpeg_xmp(segment: bytes) -> bool:
    return segment[1] == APP1 and segment[4:].startswith(JPEG_NAME)


def _in_png(content: bytes, packet: bytes) -> bytes:
    """The packet as an iTXt chunk behind the header."""
    data = PNG_NAME + b"\x00\x00\x00\x00" + packet  # not compressed, no language, no translated name
    written = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    header, *kept = (chunk for chunk in _png_chunks(content) if not _is_png_xmp(chunk))
    return content[: len(PNG)] + b"".join([header, written, *kept])


def _png_chunks(content: bytes) -> Iterator[bytes]:
    position = len(PNG)
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        yield content[position : position + length + 12]
        position += length + 12


def _is_png_xmp(chunk: bytes) -> bool:
    return chunk[4:8] == b"iTXt" and chunk[8:].startswith(PNG_NAME)


def _png_text(chunk: bytes) -> bytes:
    """An iTXt chunk's text, behind a flag, a method, a language and a translated name."""
    is_compressed, rest = chunk[8 + len(PNG_NAME)], chunk[10 + len(PNG_NAME) : -4]
    text = rest.split(b"\x00", 2)[2]
    if not is_compressed:
        return text
    reader = zlib.decompressobj()
    text = reader.decompress(text, MAX_TEXT_CHUNK)
    if reader.unconsumed_tail:
        raise InvalidInputError(f"its XMP is longer than {MAX_TEXT_CHUNK} bytes")
    return text


def _in_webp(content: bytes, packet: bytes) -> bytes:
    """The packet as the last chunk, which the file's header tells of."""
    chunks = [(name, data) for name, data in _webp_chunks(content) if name != b"XMP "]
    if chunks[0][0] == b"VP8X":
        flags, rest = chunks[0][1][0], chunks[0][1][1:]
        chunks[0] = (b"VP8X", bytes([flags | XMP_FLAG]) + rest)
    else:
        with Image.open(BytesIO(content)) as image:
            (width, height), alpha = image.size, image.mode == "RGBA"
        size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        chunks.insert(0, (b"VP8X", bytes([XMP_FLAG | (ALPHA_FLAG if alpha else 0), 0, 0, 0]) + size))
    chunks.append((b"XMP ", packet))
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\x00" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _is_webp(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, position + 4)
        yield content[position : position + 4], content[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
