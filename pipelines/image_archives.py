"""Photos in tars, webdataset's or any others: each is a row, wherever in the archive and under whatever name."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Literal, Self

from wordsight.modeling.photo_batches import PhotoSource
from wordsight.utils.files import printable_name

from .image_io import MOST_BYTES
from .photo_formats import PHOTO_HEAD, has_photo_suffix, starts_like_photo

MOST_HEADER = 2**20  # bytes of a header's own text; a compressed archive could make gigabytes of it
# For the record of a run: since 2, all photos of an archive are rows. A run of before can't be continued.
IDENTITY = {"tar_rows": 2}
UNNAMED = "unnamed"  # what a member without a name is called
HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Member(tarfile.TarInfo):
    """A member whose header is damaged is an error; `tarfile` takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See `tarfile.TarInfo`."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a header is damaged: {error}") from error
        if member.size < 0 or (member.type in HEADERS and member.size > MOST_HEADER):
            raise tarfile.ReadError(f"a header is damaged: it has {member.size} bytes")
        return member


def read_tar(file: IO[bytes], seekable: bool = True) -> Iterator[tuple[str, PhotoSource]]:
    """Names and photos of an archive, in order. Nothing is written, so that names may be anything.

    A name is the member's, without its last suffix where that is enough to tell photos apart. A link is a photo that
    can't be read, unless the photo that it stands for is before it in the archive; so is a member of more than 200 MB.

    Args:
        file: the archive, compressed or not.
        seekable: whether jumps are cheap; a compressed archive and one on the Hub are read from front to end.

    Raises:
        tarfile.TarError, OSError, ...: the archive is damaged.
    """
    start = file.read(tarfile.BLOCKSIZE)
    file.seek(0)
    is_plain = seekable and (not start.strip(b"\0") or start[257:262] == b"ustar")
    given: set[str] = set()
    earlier: dict[str, tarfile.TarInfo] = {}  # what links may stand for
    place = -1
    with _opened(file, "r:" if is_plain else "r|*") as tar:
        for member in tar:
            if member.offset <= place:  # a size below 0 would have the archive read for ever
                raise tarfile.ReadError("a header points backwards")
            place = member.offset
            target = earlier.get(member.linkname) if member.islnk() else member
            if member.isfile() and is_plain:
                earlier[member.name] = member
            if (photo := _photo(tar, PurePosixPath(member.name), target, member.isdir())) is not None:
                yield _new_name(member.name, given), photo
            tar.members.clear()  # type: ignore[attr-defined]


def _opened(file: IO[bytes], mode: Literal["r:", "r|*"]) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=file, mode=mode, tarinfo=_Member)
    except TypeError as error:  # of `tarfile`, where a gzip header is cut off
        raise tarfile.ReadError("unexpected end of data") from error


def _photo(
    tar: tarfile.TarFile, path: PurePosixPath, member: tarfile.TarInfo | None, is_folder: bool
) -> PhotoSource | None:
    """A member's content if it is a photo, or what says why that can't be read; None if it is something else."""
    if is_folder or path.name.startswith("._") or not (has_photo_suffix(path) or not path.suffix):
        return None
    if member is None or not member.isfile():
        return partial(_fail, "a link or a device, not a photo") if path.suffix else None
    if member.size > MOST_BYTES:
        return partial(_fail, f"larger than {MOST_BYTES // 10**6} MB") if path.suffix else None
    content = tar.extractfile(member)
    assert content is not None
    head = content.read(PHOTO_HEAD)
    if not path.suffix and not starts_like_photo(head):
        return None
    photo = head + content.read()
    if len(photo) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return photo


def _new_name(name: str, given: set[str]) -> str:
    """A name that no photo of the archive has so far: without its suffix, with it, or with a number."""
    path = PurePosixPath(printable_name(name))
    if not path.name:
        path = PurePosixPath(UNNAMED)
    short = str(path.with_suffix(""))
    number = 1
    found = short if short not in given else str(path)
    while found in given:
        number += 1
        found = f"{path} ({number})"
    given.add(found)
    return found


def _fail(reason: str) -> bytes:
    raise ValueError(reason)
