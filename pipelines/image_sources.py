"""Where many photos come from, cut into shards: folders, webdataset tars, parquet files, datasets on the Hub."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, WordsightError, shortened
from wordsight.utils.files import printable_name
from wordsight.utils.progress import no_datasets_bars

from .image_archives import IDENTITY, read_tar
from .image_folders import KINDS, PHOTOS, Found
from .image_loader import PhotoSource
from .image_tables import encoded_photo, image_columns, photo_column, read_parquet

if TYPE_CHECKING:
    from datasets import IterableDataset

# What `datasets` and the readers of archives and tables were seen to raise at data that are absent or damaged.
_COMPRESSION_ERRORS = (zlib.error, lzma.LZMAError, EOFError)
DATASET_ERRORS = (OSError, ValueError, RuntimeError, ArithmeticError, tarfile.TarError, *_COMPRESSION_ERRORS)
Photos: TypeAlias = "Iterator[tuple[str, PhotoSource]]"


class DamagedFileError(WordsightError):
    """A file of many photos can't be read to its end."""


class ImageSource(Protocol):
    """Photos in a fixed order, cut into shards, each of which can be read alone."""

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from another source, for a run's record."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over, a line for each reason."""

    def read(self, shard: int) -> Photos:
        """Names and photos of a shard, in order."""

    def count(self, shard: int) -> int:
        """How many photos a shard has; 0 where only reading it tells."""


@dataclass(frozen=True)
class ImageFiles:
    """Photos that are files of their own.

    Attributes:
        files: paths, in order.
        root: folder that names are relative to.
        shards: how many parts they are cut into.
        notes: see `ImageSource`.
    """

    files: Sequence[Path]
    root: Path
    shards: int
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """Their number and names."""
        names = "\0".join(self._name(file) for file in self.files)
        return {"photos": len(self.files), "names": fingerprint(names.encode(errors="surrogateescape"))}

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def read(self, shard: int) -> Photos:
        """Relative paths and paths."""
        files = (self.files[row] for row in cut(len(self.files), self.shards, shard))
        return ((printable_name(self._name(file)), file) for file in files)

    def count(self, shard: int) -> int:
        """The shard's share of the files."""
        return len(cut(len(self.files), self.shards, shard))


@dataclass(frozen=True)
class ImageStream:
    """Photos in files that hold many; a shard is some whole files.

    Attributes:
        readers: for each file, what reads it from its start.
        files: their names.
        shards: how many parts they are cut into.
        identity: see `ImageSource`.
        notes: see `ImageSource`.
    """

    readers: Sequence[Callable[[], Photos]]
    files: Sequence[str]
    shards: int
    identity: dict[str, Any]
    notes: tuple[str, ...] = ()

    def read(self, shard: int) -> Photos:
        """Names are tar/name or file:row, rows counted from 0 in each file.

        Raises:
            DamagedFileError: a file is damaged or can't be reached; names it.
        """
        for number in cut(len(self.files), self.shards, shard):
            try:
                yield from self.readers[number]()
            except DATASET_ERRORS as error:
                raise DamagedFileError(
                    f"{self.files[number]} can't be read to its end ({_first_line(error)}). Replace it, then run the "
                    "same command again."
                ) from error

    def count(self, shard: int) -> int:
        """Not known: tars don't tell, and asking each parquet file takes long on a network."""
        return 0


def open_images(
    source: str, shards: int, split: str | None = None, kind: str | None = None, leave_out: Path | None = None
) -> ImageSource:
    """What is found at a place, cut into shards.

    Args:
        source: a folder of photos (at any depth), of webdataset .tar or of .parquet files, a glob of such files, one
            of them, or the id of a dataset on the Hub.
        shards: how many parts to cut it into.
        split: of a dataset on the Hub, by default "train".
        kind: where there are several kinds, the one to take: "photos", "tar" or "parquet".
        leave_out: a folder whose files are not taken, unless the source is in it.

    Raises:
        InvalidInputError: nothing is there, it is of several kinds, it has no photos, or it can't be cut so finely.
    """
    path = Path(source)
    if not source.strip():
        raise InvalidInputError("The source is empty. Pass a folder, a glob in quotes, or a dataset's id.")
    if not path.exists() and not has_magic(source):
        return _on_the_hub(source, shards, split)
    if split is not None:
        raise InvalidInputError(f"--split is for datasets on the Hub; {source} is on this machine. Omit --split.")
    # A folder's name may have brackets: only what is below the last that is there is a pattern.
    root = next(parent for parent in (path, *path.parents) if parent.is_dir())
    is_inside = leave_out is not None and root.resolve() in leave_out.resolve().parents
    found = Found(leave_out=leave_out.resolve() if leave_out is not None and is_inside else None)
    if path.exists():
        found.add(path)
    else:
        for match in sorted(root.glob(str(path.relative_to(root)))):
            found.add(match)
        if not found.kinds and not found.notes():
            raise InvalidInputError(f"No file matches {source!r}.")
    kind = _kind(found, source, kind)
    files = found.files[kind]
    if kind == PHOTOS:
        return ImageFiles(files, root, _checked(shards, len(files), source, "photos"), tuple(found.notes()))
    if kind == "parquet":
        _check_columns(files, source)
    _checked(shards, len(files), source, "files")
    names = [file.relative_to(root).as_posix() for file in files]
    identity = {"files": len(names), "names": fingerprint("\0".join(names).encode(errors="surrogateescape"))}
    identity |= IDENTITY if kind == "tar" else {}
    readers = [_local_reader(file, printable_name(name)) for file, name in zip(files, names, strict=True)]
    return ImageStream(readers, [*map(printable_name, names)], shards, identity, tuple(found.notes()))


def _kind(found: Found, source: str, kind: str | None) -> str:
    """The kind to take, of those that were found."""
    if kind is not None:
        if kind not in found.files:
            raise InvalidInputError(f"kind must be one of {', '.join(found.files)}, got {kind!r}.")
        if kind not in found.kinds:
            raise InvalidInputError(f"{source} holds none of kind {kind!r}: {found.counts() or 'no photos at all'}.")
        return kind
    if not found.kinds:
        raise InvalidInputError(" ".join([f"No photo in {source}.", *found.notes()]))
    if len(found.kinds) > 1:
        choices = " or ".join(f"--kind {each}" for each in found.kinds)
        raise InvalidInputError(f"{source} holds files of several kinds: {found.counts()}. Pass {choices}.")
    return found.kinds[0]


def _check_columns(files: Sequence[Path], source: str) -> None:
    """Refuses parquet files of which none has a column of images; one that can't be read is told of when it is due."""
    import pyarrow.parquet as pq

    there: list[str] = []
    for file in files:
        try:
            there = pq.read_schema(file).names
            if photo_column(there, image_columns(file)) is not None:
                return
        except DATASET_ERRORS:
            return
    raise InvalidInputError(f"{source} has no column of images; it has {shortened(there, 10)}.")


def _local_reader(path: Path, name: str) -> Callable[[], Photos]:
    """What reads a file of many photos on this machine."""

    def read() -> Photos:
        if KINDS[path.suffix.lower()] == "tar":
            with path.open("rb") as file:
                yield from ((f"{name}/{member}", photo) for member, photo in read_tar(file))
        else:
            yield from ((f"{name}:{row}", photo) for row, photo in enumerate(read_parquet(path)))

    return read


def _on_the_hub(source: str, shards: int, split: str | None) -> ImageStream:
    from datasets import load_dataset_builder
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        commit = HfApi().dataset_info(source).sha
    except (OSError, HFValidationError) as error:
        raise InvalidInputError(
            f"There is no {source!r} on this machine, nor a dataset of that name on the Hub that you can read "
            f"({_first_line(error)}). Pass a folder, a glob in quotes, or a dataset's id."
        ) from error
    split = split or "train"
    try:
        with no_datasets_bars():
            builder = load_dataset_builder(source, revision=commit)
            tars = (builder.config.data_files or {}).get(split) if type(builder).__name__ == "WebDataset" else None
            if tars:
                readers, names = [_hub_tar_reader(url) for url in tars], [Path(url).name for url in tars]
            else:
                readers, names = _rows(builder.as_streaming_dataset(split=split), source)
    except DATASET_ERRORS as error:
        if isinstance(error, WordsightError):
            raise
        raise InvalidInputError(f"datasets can't load {source}: {_first_line(error)}") from error
    _checked(shards, len(readers), source, "files")
    return ImageStream(readers, names, shards, {"commit": commit, "split": split} | (IDENTITY if tars else {}))


def _hub_tar_reader(url: str) -> Callable[[], Photos]:
    """What reads an archive on the Hub, from front to end."""

    def read() -> Photos:
        from huggingface_hub import HfFileSystem

        with HfFileSystem().open(url, "rb") as file:
            yield from ((f"{Path(url).name}/{name}", photo) for name, photo in read_tar(file, seekable=False))

    return read


def _rows(dataset: IterableDataset, source: str) -> tuple[list[Callable[[], Photos]], list[str]]:
    """What reads each file of a dataset on the Hub, and the files' names."""
    from datasets import Image as ImageFeature

    features = dataset.features or {}
    images = [name for name, feature in features.items() if isinstance(feature, ImageFeature)]
    # A parquet file that `datasets` did not write does not say which bytes are photos.
    column = photo_column(list(features), images)
    if column is None:
        raise InvalidInputError(f"{source} has no column of images; it has {shortened(list(features), 10)}.")
    if images:
        dataset = dataset.cast_column(column, ImageFeature(decode=False))
    dataset = dataset.select_columns([column])
    total = dataset.num_shards
    names = [f"file-{number:05d}-of-{total:05d}" for number in range(total)]

    def read(number: int) -> Photos:
        for row, example in enumerate(dataset.shard(total, number)):
            yield f"{names[number]}:{row}", encoded_photo(example[column], is_local=False)

    return [partial(read, number) for number in range(total)], names


def _checked(shards: int, most: int, source: str, what: str) -> int:
    if shards > most:
        raise InvalidInputError(
            f"{source} can't be cut into {shards} shards: it has {most} {what}, and none is cut in pieces. "
            f"The greatest possible number is --shards {most}."
        )
    return shards


def cut(count: int, shards: int, shard: int) -> range:
    """Which of so many things a shard has."""
    return range(count * shard // shards, count * (shard + 1) // shards)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
