"""What is in folders: photos, files of many photos, and what is neither, which is counted and told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wordsight.utils.errors import InvalidInputError, shortened
from wordsight.utils.files import printable_name

from .photo_formats import PHOTO_HEAD, has_photo_suffix, starts_like_photo

PHOTOS = "photos"
KINDS = {".tar": "tar", ".parquet": "parquet"}  # files of many photos
LABELS_RECORD = "predict.json"  # of a folder that `wordsight predict --shards` wrote


@dataclass
class Found:
    """Files, by what they hold.

    Attributes:
        files: kind -> files, in a fixed order; the kinds are "photos", "tar" and "parquet".
        others: suffix -> how many files are none of these.
        passed_over: why -> folders and files that were not looked into.
        leave_out: a folder that is not looked into, such as that of a run's own files.
    """

    files: dict[str, list[Path]] = field(default_factory=lambda: {kind: [] for kind in (PHOTOS, *KINDS.values())})
    others: Counter[str] = field(default_factory=Counter)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    leave_out: Path | None = None
    _seen: set[Path] = field(default_factory=set)

    @property
    def kinds(self) -> list[str]:
        """The kinds that are there."""
        return [kind for kind, files in self.files.items() if files]

    def counts(self) -> str:
        """What is there, in words: "4 photos and 1 .tar file"."""
        counts = [(len(self.files[kind]), "photo" if kind == PHOTOS else f".{kind} file") for kind in self.kinds]
        return " and ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)

    def notes(self) -> list[str]:
        """What was passed over, a line for each reason."""
        notes = [f"Passed over: {why}: {shortened(sorted(set(names)))}." for why, names in self.passed_over.items()]
        if total := self.others.total():
            most_first = sorted(self.others.items(), key=lambda entry: (-entry[1], entry[0]))
            suffixes = shortened([f"{count} {suffix}" for suffix, count in most_first])
            notes.append(f"Passed over: {total} file{'s' if total > 1 else ''} not named as photos are ({suffixes}).")
        return notes

    def add(self, path: Path) -> None:
        """Adds what is at a path and not there yet: a file, or all that is in a folder, at any depth."""
        if self.leave_out is not None and path.resolve().is_relative_to(self.leave_out):
            return
        if path.is_dir():
            self._add_folder(path)
        else:
            self._add_file(path)

    def _add_file(self, path: Path) -> None:
        if path.name.startswith("._") or path in self._seen:  # the first is what macOS keeps beside a file
            return
        self._seen.add(path)
        is_dead_link = path.is_symlink() and not path.exists()
        if not path.is_file() and not is_dead_link:
            self._pass_over("no files, but devices or the like", path)
        elif kind := KINDS.get(path.suffix.lower()):
            if is_dead_link:
                self._pass_over("links to what is not there", path)
            else:
                self.files[kind].append(path)
        elif has_photo_suffix(path) or (not path.suffix and _holds_photo(path)):
            self.files[PHOTOS].append(path)
        else:
            self.others[printable_name(path.suffix) or "without a suffix"] += 1

    def _add_folder(self, folder: Path) -> None:
        for place, folders, names in os.walk(folder, onerror=self._unreadable):
            inside = Path(place)
            if self.leave_out is not None and inside.resolve() == self.leave_out:
                folders.clear()
                continue
            if LABELS_RECORD in names and inside != folder:
                self._pass_over("labels that wordsight wrote", inside)
                folders.clear()
                continue
            for name in folders:
                if (inside / name).is_symlink():
                    self._pass_over("linked folders, which are labeled when they are named", inside / name)
            for name in names:
                self._add_file(inside / name)
        for files in self.files.values():
            files.sort()

    def _unreadable(self, error: OSError) -> None:
        self._pass_over(f"folders that can't be read ({error.strerror})", Path(error.filename))

    def _pass_over(self, why: str, path: Path) -> None:
        self.passed_over.setdefault(why, []).append(printable_name(str(path)))


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """All photos among files and, at any depth, in folders, in a fixed order.

    Photos are known by their suffix, those without one by their first bytes.

    Raises:
        InvalidInputError: there is none, or a path does not exist.
    """
    photos: list[Path] = []
    notes: list[str] = []
    for path in paths:
        if not path.exists():
            raise InvalidInputError(f"There is no {path}. Pass photos or folders of photos.")
        found = Found()
        found.add(path)
        photos += found.files[PHOTOS]
        notes += found.notes()
    if not photos:
        raise InvalidInputError(" ".join([f"No photo in {shortened([*map(str, paths)])}.", *notes]))
    return photos


def _holds_photo(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return starts_like_photo(file.read(PHOTO_HEAD))
    except OSError:
        return False
