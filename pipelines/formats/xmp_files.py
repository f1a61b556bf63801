"""XMP packets in JPEG, PNG and WebP files: what else a file holds stays byte for byte, pixels above all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from wordsight.utils.errors import InvalidInputError

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\x00"
PNG_NAME = b"XML:com.adobe.xmp\x00"
MOST_IN_JPEG = 65533 - len(JPEG_NAME)  # a segment's length has 16 bits and counts itself
APP1, START_OF_SCAN = 0xE1, 0xDA
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
    try:
        if content.startswith(JPEG):
            return _in_jpeg(content, packet)
        return _in_png(content, packet) if content.startswith(PNG) else _in_webp(content, packet)
    except (struct.error, IndexError, OSError) as error:
        raise InvalidInputError(f"its file is damaged ({error})") from error


def get_xmp(content: bytes) -> bytes | None:
    """A photo's XMP packet, as Pillow finds it; None if there is none."""
    with Image.open(BytesIO(content)) as image:
        found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return found.encode() if isinstance(found, str) else found


def _in_jpeg(content: bytes, packet: bytes) -> bytes:
    """The packet as the first APP1 segment behind JFIF's and EXIF's, which have to come first."""
    if len(packet) > MOST_IN_JPEG:
        raise InvalidInputError(f"its XMP is longer than the {MOST_IN_JPEG} bytes that a JPEG can hold")
    kept, position, place = [content[:2]], 2, 1
    while content[position] == 0xFF and content[position + 1] != START_OF_SCAN:
        (length,) = struct.unpack_from(">H", content, position + 2)
        segment = content[position : position + 2 + length]
        position += len(segment)
        if segment[1] == APP1 and segment[4:].startswith(JPEG_NAME):
            continue
        kept.append(segment)
        if segment[1] == 0xE0 or (segment[1] == APP1 and segment[4:].startswith(b"Exif")):
            place = len(kept)
    kept.insert(place, struct.pack(">BBH", 0xFF, APP1, 2 + len(JPEG_NAME) + len(packet)) + JPEG_NAME + packet)
    return b"".join(kept) + content[position:]


def _in_png(content: bytes, packet: bytes) -> bytes:
    """The packet as an iTXt chunk behind the header."""
    data = PNG_NAME + b"\x00\x00\x00\x00" + packet  # not compressed, no language, no translated name
    chunk = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    position, kept = len(PNG), [content[: len(PNG)]]
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        found = content[position : position + length + 12]
        position += len(found)
        if found[4:8] == b"iTXt" and found[8:].startswith(PNG_NAME):
            continue
        kept.append(found)
        if found[4:8] == b"IHDR":
            kept.append(chunk)
    return b"".join(kept)


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
