"""Answers on disk as they come, so that a run that was stopped at any moment goes on without losing one."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from wordsight.utils.errors import InvalidInputError, WordsightError, write_error

AGAIN = "run the same command again; the answers so far are kept"


def recorded_settings(path: Path) -> dict[str, Any] | None:
    """The settings of the answers in a file; None where there is no such file, or none that is whole.

    Args:
        path: the file.
    """
    try:
        with path.open("rb") as file:
            settings: dict[str, Any] = json.loads(file.readline())["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings


class AnswerStore:
    """An append-only file of JSON lines: settings first, then one answer a line under its question's key.

    Args:
        path: the file.
        settings: what must be the same for answers to be reused (categories, model, seed, questions).

    Raises:
        InvalidInputError: the file holds answers of a run with other settings.
        WordsightError: the file can't be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.answers: dict[str, Any] = {}
        # The settings as JSON gives them back, tuples as lists.
        settings = json.loads(json.dumps(settings))
        path.parent.mkdir(parents=True, exist_ok=True)
        known = self._read(settings) if path.exists() else 0
        try:
            self._file: IO[bytes] = path.open("r+b" if path.exists() else "xb")
            # A line that a kill tore is cut off: its question is asked again.
            self._file.truncate(known)
            self._file.seek(known)
        except OSError as error:
            raise write_error(path, error, AGAIN) from error
        if known == 0:
            self._append({"settings": settings})

    def _read(self, settings: dict[str, Any]) -> int:
        """Reads whole lines; returns the offset behind the last. What damaged lines held is asked again."""
        known, damaged = 0, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                known += len(line)
                record = _record(line, "settings" if number == 0 else "key")
                if number == 0:
                    if record is None:
                        raise InvalidInputError(
                            f"{self.path}: the first line, with the run's settings, is damaged. Use another --out, or "
                            "remove the answers with --overwrite."
                        )
                    self._check(record["settings"], settings)
                elif record is None:
                    damaged += 1
                else:
                    self.answers[record["key"]] = record["answer"]
        if damaged:
            warnings.warn(
                f"{self.path}: {damaged} damaged {'line' if damaged == 1 else 'lines'} passed over; what is missing is "
                "asked again.",
                stacklevel=4,
            )
        return known

    def _check(self, found: dict[str, Any], settings: dict[str, Any]) -> None:
        differing = sorted(key for key in settings if found.get(key) != settings[key])
        if differing:
            raise InvalidInputError(
                f"{self.path.parent.parent} holds answers of a run with other settings ({', '.join(differing)}). Use "
                "another --out, or remove them with --overwrite."
            )

    def __contains__(self, key: str) -> bool:
        return key in self.answers

    def put(self, key: str, answer: Any) -> None:
        """Keeps an answer.

        Raises:
            WordsightError: the disk is full, or the file can't be written; what was kept stays.
        """
        self._append({"key": key, "answer": answer})
        self.answers[key] = answer

    def _append(self, record: dict[str, Any]) -> None:
        # Flushed to the system line by line, which outlives this process; synced to the disk when the file closes.
        try:
            self._file.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise write_error(self.path, error, AGAIN) from error

    def close(self) -> None:
        """Writes through to the disk."""
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise write_error(self.path, error, AGAIN) from error

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except WordsightError:
            if error is None:
                raise


def _record(line: bytes, field: str) -> dict[str, Any] | None:
    """What a line holds; None where it is not what was written there."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or field not in record:
        return None
    return record if field == "settings" or (isinstance(record["key"], str) and "answer" in record) else None
