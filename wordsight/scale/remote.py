"""Photos in object stores and other remote folders, by pyarrow's file systems."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.utils import glob_translate
from pyarrow import fs

from wordsight.pipelines.image_archives import IDENTITY, read_tar
from wordsight.pipelines.image_folders import KINDS, PHOTOS
from wordsight.pipelines.image_io import MOST_BYTES
from wordsight.pipelines.image_sources import (
    DamagedFileError,
    ImageFiles,
    ImageSource,
    ImageStream,
    Photos,
    cut,
    open_images,
)
from wordsight.pipelines.image_tables import read_parquet
from wordsight.pipelines.photo_formats import has_photo_suffix
from wordsight.pipelines.shard_files import RECORD, default_shards
from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, shortened
from wordsight.utils.files import printable_name

from .storage import Folder, without_key

READ_AHEAD = 2**23  # bytes of an archive that a request brings


@dataclass(frozen=True)
class RemoteFiles(ImageFiles):
    """Photos that are files of their own, in a remote folder.

    Attributes:
        filesystem: where they are.
    """

    filesystem: Any = None

    def read(self, shard: int) -> Photos:
        """Relative paths, and what fetches the photo."""
        files = (self.files[row] for row in cut(len(self.files), self.shards, shard))
        return ((printable_name(self._name(file)), partial(_fetch, self.filesystem, file.as_posix())) for file in files)


def open_source(
    source: str,
    shards: int | None = None,
    split: str | None = None,
    kind: str | None = None,
    leave_out: Path | None = None,
) -> tuple[ImageSource, int]:
    """What `open_images` opens, or a remote folder or glob ("s3://bucket/crawl/*.tar"); and the number of shards.

    Args:
        source: where the photos are.
        shards: how many parts to cut them into; by default one for 1,000 photos, or for each file of many photos.
        split: of a dataset on the Hub.
        kind: where there are several kinds, the one to take: "photos", "tar" or "parquet".
        leave_out: a folder of this machine whose files are not taken.

    Raises:
        InvalidInputError: nothing is there, it is of several kinds, it has no photos, or it can't be cut so finely.
    """
    if shards is not None and shards < 1:
        raise InvalidInputError(f"shards must be 1 or more, got {shards}.")
    if "://" not in source:
        if Path(source).exists() or has_magic(source):
            source = str(Path(source).absolute())  # tasks run in folders of their own
        images: ImageSource = open_images(source, shards or 1, split, kind, leave_out)
        if shards is None:
            shards = default_shards(images)
            images = open_images(source, shards, split, kind, leave_out)
        return images, shards
    if split is not None:
        raise InvalidInputError(f"--split is for datasets on the Hub; {source} is none. Omit --split.")
    remote = _open_remote(source, kind)
    shards, most = shards or default_shards(remote), len(remote.files)
    if shards > most:
        raise InvalidInputError(
            f"{without_key(source)} can't be cut into {shards} shards: it has {most} files. Pass --shards {most}."
        )
    return replace(remote, shards=shards), shards


def _open_remote(source: str, kind: str | None) -> ImageFiles | ImageStream:
    """What is in a remote folder, at any depth, or matches a glob; as one shard."""
    shown = without_key(source)
    place, mark, query = source.partition("?")  # of a file system's options
    parts = PurePosixPath(place.partition("://")[2]).parts
    depth = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts))
    pattern = "/".join(parts[depth:])
    start = f"{place.partition('://')[0]}://{'/' if place.partition('://')[2].startswith('/') else ''}"
    folder = Folder.of(start + "/".join(part for part in parts[:depth] if part != "/") + mark + query)
    paths, root = [*map(PurePosixPath, folder.tree())], PurePosixPath(folder.path)
    if paths == [root]:  # a file
        root = root.parent
    matches = re.compile(glob_translate(pattern or "**"))
    written = {path.parent for path in paths if path.name == RECORD} - {root}  # labels of a run
    found: dict[str, list[PurePosixPath]] = {}
    others: Counter[str] = Counter()
    for path in paths:
        if not matches.match(path.relative_to(root).as_posix()) or written.intersection(path.parents):
            continue
        which = KINDS.get(path.suffix.lower()) or (PHOTOS if has_photo_suffix(path) else None)
        if which is None or path.name.startswith("._"):
            others[path.suffix or "without a suffix"] += 1
        else:
            found.setdefault(which, []).append(path)
    notes = [f"Passed over: {shortened([f'{count} {suffix}' for suffix, count in others.most_common()])}."]
    files = found.get(kind or next(iter(found), ""), [])
    if not files or (kind is None and len(found) > 1):
        counts = ", ".join(f"{len(paths)} of kind {which}" for which, paths in found.items()) or "none"
        raise InvalidInputError(f"{shown} should hold photos of one kind; found: {counts}. Pass --kind, or a glob.")
    return _source(kind or next(iter(found)), files, root, folder.filesystem, tuple(notes if others else ()))


def _source(
    kind: str, files: list[PurePosixPath], root: PurePosixPath, filesystem: fs.FileSystem, notes: tuple[str, ...]
) -> ImageFiles | ImageStream:
    if kind == PHOTOS:
        return RemoteFiles(files, root, 1, notes, filesystem)  # type: ignore[arg-type]
    names = [printable_name(path.relative_to(root).as_posix()) for path in files]
    identity = {"files": len(names), "names": fingerprint("\0".join(names).encode())}
    read = _tar if kind == "tar" else _parquet
    readers: list[Callable[[], Photos]] = [
        partial(read, filesystem, path.as_posix(), name) for path, name in zip(files, names, strict=True)
    ]
    return ImageStream(readers, names, 1, identity | (IDENTITY if kind == "tar" else {}), notes)


def _tar(filesystem: fs.FileSystem, path: str, name: str) -> Photos:
    """Photos of an archive, which is read from front to end."""
    with filesystem.open_input_file(path) as file, io.BufferedReader(file, READ_AHEAD) as ahead:
        yield from ((f"{name}/{member}", photo) for member, photo in read_tar(ahead, seekable=False))


def _parquet(filesystem: fs.FileSystem, path: str, name: str) -> Photos:
    yield from ((f"{name}:{row}", photo) for row, photo in enumerate(read_parquet(Path(path), filesystem)))


def _fetch(filesystem: fs.FileSystem, path: str) -> bytes:
    """A photo's content.

    Raises:
        FileNotFoundError, ValueError: it is gone, or too large to be one.
        DamagedFileError: it can't be fetched now, for lack of a network or of credentials: another run may.
    """
    try:
        with filesystem.open_input_file(path) as file:
            check_size(file.size())
            content: bytes = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedFileError(f"{path} can't be fetched ({(str(error).splitlines() or [''])[0]}).") from error
    return content


def check_size(size: int) -> None:
    """Raises ValueError for what is too large to be a photo: it would fill the memory of a machine of the cluster."""
    if size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES // 10**6} MB")
