"""Where many photos come from, cut into shards: folders, webdataset tars, parquet files, datasets on the Hub."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError, WordsightError, shortened
from wordsight.utils.progress import no_datasets_bars

from .image_loader import PhotoSource

if TYPE_CHECKING:
    from datasets import IterableDataset

BUILDERS = {".tar": "webdataset", ".parquet": "parquet"}
# What `datasets` was seen to raise at data that are absent or damaged.
DATASET_ERRORS = (OSError, ValueError, RuntimeError, tarfile.TarError, zlib.error)


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """All photos among files and, at any depth, in folders, in a fixed order.

    Raises:
        InvalidInputError: there is none, or a path does not exist.
    """
    extensions = set(Image.registered_extensions())
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InvalidInputError(f"There is no {path}. Pass photos or folders of photos.")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if file.suffix.lower() in extensions and file.is_file()]
    if not found:
        raise InvalidInputError(f"No photo in {shortened([*map(str, paths)])}.")
    return found


class ImageSource(Protocol):
    """Photos in a fixed order, cut into shards, each of which can be read alone."""

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from another source, for a run's record."""

    def read(self, shard: int) -> Iterator[tuple[str, PhotoSource]]:
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
    """

    files: Sequence[Path]
    root: Path
    shards: int

    @property
    def identity(self) -> dict[str, Any]:
        """Their number and names."""
        names = "\0".join(self._name(file) for file in self.files)
        return {"photos": len(self.files), "names": fingerprint(names.encode(errors="surrogateescape"))}

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def read(self, shard: int) -> Iterator[tuple[str, PhotoSource]]:
        """Relative paths and paths."""
        return ((self._name(self.files[row]), self.files[row]) for row in _cut(len(self.files), self.shards, shard))

    def count(self, shard: int) -> int:
        """The shard's share of the files."""
        return len(_cut(len(self.files), self.shards, shard))


@dataclass(frozen=True)
class ImageStream:
    """Photos in files that hold many, streamed by `datasets`; a shard is some whole files.

    Attributes:
        dataset: their rows, with photos left as they are encoded.
        column: the one with the photos.
        files: names of the files that are here; none for a dataset on the Hub.
        shards: how many parts they are cut into.
        identity: see `ImageSource`.
    """

    dataset: IterableDataset
    column: str
    files: Sequence[str]
    shards: int
    identity: dict[str, Any]

    def read(self, shard: int) -> Iterator[tuple[str, PhotoSource]]:
        """Names are tar/__key__ or file:row, rows counted from 0 in each file.

        Raises:
            WordsightError: a file is damaged or can't be reached; names it.
        """
        total = self.dataset.num_shards
        for number in _cut(total, self.shards, shard):
            file = self.files[number] if self.files else f"file-{number:05d}-of-{total:05d}"
            try:
                for row, example in enumerate(self.dataset.shard(total, number)):
                    key = example.get("__key__")
                    tar = self.files[number] if self.files else Path(example.get("__url__", file)).name
                    yield f"{file}:{row}" if key is None else f"{tar}/{key}", _encoded(example[self.column])
            except DATASET_ERRORS as error:
                raise WordsightError(
                    f"{file} can't be read to its end ({_first_line(error)}). Replace it, then run the same "
                    "command again."
                ) from error

    def count(self, shard: int) -> int:
        """Not known: tars don't tell, and asking each parquet file takes long on a network."""
        return 0


def open_images(source: str, shards: int, split: str | None = None) -> ImageSource:
    """What is found at a place, cut into shards.

    Args:
        source: a folder of photos (at any depth), of webdataset .tar or of .parquet files, a glob of such files, one
            of them, or the id of a dataset on the Hub.
        shards: how many parts to cut it into.
        split: of a dataset on the Hub, by default "train".

    Raises:
        InvalidInputError: nothing is there, it is of several kinds, it has no photos, or it can't be cut so finely.
    """
    path = Path(source)
    if not path.exists() and not has_magic(source):
        return _on_the_hub(source, shards, split)
    if split is not None:
        raise InvalidInputError(f"--split is for datasets on the Hub; {source} is on this machine. Omit --split.")
    if path.is_file():
        found, root = [path], path.parent
    elif path.is_dir():
        found, root = sorted(file for file in path.rglob("*") if file.suffix in BUILDERS and file.is_file()), path
    else:
        root = Path(*takewhile(lambda part: not has_magic(part), path.parts))
        found = sorted(root.glob(str(path.relative_to(root))))
        if not found:
            raise InvalidInputError(f"No file matches {source!r}.")
    kinds = {file.suffix if file.suffix in BUILDERS else "" for file in found}
    if len(kinds) > 1:
        raise InvalidInputError(f"{source} holds files of several kinds. Name one kind by a glob: '{root}/**/*.tar'.")
    if kinds in (set(), {""}):
        photos = find_photos([path] if path.exists() else found)
        return ImageFiles(photos, root, _checked(shards, len(photos), source, "photos"))
    (suffix,) = kinds
    names = [file.relative_to(root).as_posix() for file in found]
    identity = {"files": len(names), "names": fingerprint("\0".join(names).encode(errors="surrogateescape"))}
    files = {"train": [str(file.resolve()) for file in found]}
    dataset = _load(source, BUILDERS[suffix], data_files=files, split="train")
    return _streamed(dataset, source, names, shards, identity)


def _on_the_hub(source: str, shards: int, split: str | None) -> ImageStream:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        commit = HfApi().dataset_info(source).sha
    except (OSError, HFValidationError) as error:
        raise InvalidInputError(
            f"There is no {source!r} on this machine, nor a dataset of that name on the Hub that you can read "
            f"({_first_line(error)}). Pass a folder, a glob in quotes, or a dataset's id."
        ) from error
    dataset = _load(source, source, revision=commit, split=split or "train")
    return _streamed(dataset, source, [], shards, {"commit": commit, "split": split or "train"})


def _load(source: str, *args: Any, **kwargs: Any) -> IterableDataset:
    from datasets import IterableDataset, load_dataset

    try:
        with no_datasets_bars():
            loaded = load_dataset(*args, **kwargs, streaming=True)
    except DATASET_ERRORS as error:
        raise InvalidInputError(f"datasets can't load {source}: {_first_line(error)}") from error
    assert isinstance(loaded, IterableDataset)
    return loaded


def _streamed(
    dataset: IterableDataset, source: str, files: list[str], shards: int, identity: dict[str, Any]
) -> ImageStream:
    from datasets import Image as ImageFeature

    features = dataset.features or {}
    columns = [name for name, feature in features.items() if isinstance(feature, ImageFeature)]
    columns.sort(key=lambda name: name != "image")
    # A parquet file that `datasets` did not write does not say which bytes are photos.
    column = next((name for name in (*columns, "image") if name in features), None)
    if column is None:
        raise InvalidInputError(f"{source} has no column of images; it has {shortened(list(features), 10)}.")
    if columns:
        dataset = dataset.cast_column(column, ImageFeature(decode=False))
    kept = [name for name in (column, "__key__", "__url__") if name in features]
    _checked(shards, dataset.num_shards, source, "files")
    return ImageStream(dataset.select_columns(kept), column, files, shards, identity)


def _checked(shards: int, most: int, source: str, what: str) -> int:
    if shards > most:
        raise InvalidInputError(
            f"{source} can't be cut into {shards} shards: it has {most} {what}, and none is cut in pieces. "
            f"The greatest possible number is --shards {most}."
        )
    return shards


def _cut(count: int, shards: int, shard: int) -> range:
    return range(count * shard // shards, count * (shard + 1) // shards)


def _encoded(value: Any) -> PhotoSource:
    """A row's photo: bytes, a path, or `datasets`' pair of both."""
    if isinstance(value, dict):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if value is None:
        return _absent
    return partial(_fetch, value) if isinstance(value, str) and "://" in value else value


def _absent() -> bytes:
    raise ValueError("no photo in this row")


def _fetch(url: str) -> bytes:
    """A photo that is a file of its own in a repository on the Hub; in the worker, since each takes a request."""
    from datasets.utils.file_utils import xopen

    with xopen(url, "rb") as file:
        content: bytes = file.read()
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
