"""A folder for results: on this machine, or in an object store, by pyarrow's file systems."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from wordsight.utils.errors import InvalidInputError, check_not_empty, write_error

SCHEMES = "s3://, gs://, abfs://, hdfs:// and file://"
RENAMED = ("local", "hdfs")  # file systems where half a file can be seen, and where renaming is at once


def without_key(place: str | Path) -> str:
    """An address as it may be shown: without user and key.

    Example:
        >>> without_key("s3://id:secret@bucket/labels")
        's3://bucket/labels'
    """
    return re.sub(r"://(?:[^/@:]*:[^@]*|[^/@]*)@", "://", str(place))  # keys may hold "/"


@dataclass(frozen=True)
class Folder:
    """A folder in which files appear whole or not at all.

    Attributes:
        name: as the user gives it.
        filesystem: where it is.
        path: in that file system.
    """

    name: str
    filesystem: fs.FileSystem
    path: str

    @classmethod
    def of(cls, place: str | Path) -> Folder:
        """The folder at a path or an address such as "s3://bucket/labels"; it need not exist.

        Raises:
            InvalidInputError: it is empty, or of no file system that pyarrow knows.
        """
        check_not_empty(place, "out")
        if "://" not in str(place):
            return cls(str(place), fs.LocalFileSystem(), Path(place).absolute().as_posix())
        try:
            filesystem, path = fs.FileSystem.from_uri(str(place))
        except (OSError, ValueError, NotImplementedError) as error:
            shown, reason = without_key(place), (str(error).splitlines() or [""])[0]
            if shown != str(place):  # pyarrow's own words may hold the key
                reason = "a key's '/', '+' and '#' must be percent-encoded"
            raise InvalidInputError(
                f"{shown} can't be reached ({reason}). Pass a folder, or an address that begins with one of {SCHEMES}."
            ) from (None if shown != str(place) else error)
        return cls(without_key(place), filesystem, path)

    def names(self) -> list[str]:
        """Of the files in it, in order."""
        try:
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(each.base_name for each in found if each.type == fs.FileType.File)

    def tree(self) -> list[str]:
        """Paths of all files in it, at any depth, in order; the file itself where it is one."""
        try:
            itself = self.filesystem.get_file_info(self.path)
            if itself.type == fs.FileType.NotFound:
                raise InvalidInputError(f"There is no {self.name}. Check the address.")
            if itself.type == fs.FileType.File:
                return [self.path]
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True))
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(each.path for each in found if each.type == fs.FileType.File)

    def _unreadable(self, error: OSError) -> InvalidInputError:
        return InvalidInputError(
            f"{self.name} can't be read: {str(error).splitlines()[0]}. Check address and credentials."
        )

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            OSError: it can't be read.
        """
        with self.filesystem.open_input_stream(f"{self.path}/{name}") as file:
            content: bytes = file.read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Makes a file, or replaces it, in one step.

        Raises:
            WordsightError: it can't be written.
        """
        target = f"{self.path}/{name}"
        partial = f"{target}.partial" if self.filesystem.type_name in RENAMED else target
        try:
            self.filesystem.create_dir(self.path, recursive=True)
            with self.filesystem.open_output_stream(partial) as file:
                file.write(content)
            if partial != target:
                self.filesystem.move(partial, target)
        except OSError as error:
            raise write_error(f"{self.name}/{name}", error, "run the same command again") from error

    def paths(self, names: Sequence[str]) -> list[str]:
        """Of files in it, for `pyarrow.dataset`."""
        return [f"{self.path}/{name}" for name in names]
