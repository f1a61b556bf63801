"""Checkpoints in a run's folder: which are whole, and of which run they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError

STATE = "trainer_state.json"
PREFIX = "checkpoint-"


def folders(out: Path) -> list[Path]:
    """All checkpoint folders in a run's folder, oldest first."""
    found = [path for path in out.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix(PREFIX)))


def checkpoints(out: Path) -> list[Path]:
    """The whole ones, oldest first. Trainer writes their state last, so a killed run's last one may lack it."""
    return [folder for folder in folders(out) if read_state(folder) is not None]


def read_state(checkpoint: Path) -> dict[str, Any] | None:
    """What Trainer wrote of its state; None where that is missing or cut off."""
    try:
        content = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def drop(out: Path, keep: Path | None = None, only_broken: bool = False) -> None:
    """Removes checkpoints from a run's folder.

    Args:
        out: the folder.
        keep: one that stays.
        only_broken: whether whole ones stay, too.
    """
    for folder in folders(out):
        if folder != keep and not (only_broken and read_state(folder) is not None):
            shutil.rmtree(folder)


def check_settings(checkpoint: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Sees that a checkpoint is of a run with these settings.

    Args:
        checkpoint: its folder, for the message.
        saved: its settings.
        now: those of the run that is to go on from it.

    Raises:
        InvalidInputError: they differ; names in what.
    """
    differing = sorted(key for key in now if saved.get(key) != now[key])
    if "training" in differing and isinstance(saved.get("training"), dict):
        before = saved["training"]
        changed = [name for name, value in now["training"].items() if before.get(name) != value]
        differing = [*changed, *(key for key in differing if key != "training")]
    if differing:
        raise InvalidInputError(
            f"{checkpoint} is of a run with other settings ({', '.join(differing)}). Use the settings of that run, or "
            "start anew without --resume (resume_from_checkpoint)."
        )
