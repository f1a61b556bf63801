"""Experiment trackers: which of accelerate's are wanted, and what they are told of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordsight.utils.errors import InvalidInputError, MissingDependencyError, WordsightError

if TYPE_CHECKING:
    from accelerate import Accelerator

PROJECT = "wordsight"
FOLDER = "logs"  # in the model's, for trackers that write files where they are told to


def chosen_trackers(report_to: str | None) -> list[str]:
    """Names of the trackers that are wanted.

    Args:
        report_to: one, several with commas between, "all" for all that are installed, or None.

    Raises:
        InvalidInputError: accelerate knows no tracker of that name; the message lists those that it knows.
        MissingDependencyError: a tracker is not installed.
    """
    from accelerate.tracking import get_available_trackers
    from accelerate.utils import LoggerType

    if report_to is None:
        return []
    installed = [str(tracker) for tracker in get_available_trackers()]
    known = sorted(str(tracker) for tracker in LoggerType if tracker != LoggerType.ALL)
    names = list(dict.fromkeys(name.strip() for name in report_to.split(",")))
    if names == ["all"]:
        if not installed:
            raise MissingDependencyError("No tracker is installed. Run `pip install tensorboard`, trackio or wandb.")
        return installed
    for name in names:
        if name not in known:
            raise InvalidInputError(f"There is no tracker {name!r}; there are {', '.join(known)}, and all.")
        if name not in installed:
            raise MissingDependencyError(
                f"The tracker {name} is not installed. Run `pip install {name.replace('_', '-')}`, or choose another "
                "with --report-to."
            )
    return names


def start_trackers(accelerator: Accelerator, out: Path, resume: bool, settings: Mapping[str, Any]) -> None:
    """Opens a run of the project "wordsight", named like the model's folder, in each of the accelerator's trackers.

    Args:
        accelerator: with `log_with`.
        out: folder of the model.
        resume: whether the run goes on.
        settings: hyperparameters. What is no string, number or truth value is written as text, since trackers take
            nothing else.

    Raises:
        WordsightError: a tracker can't be started, such as wandb without a login.
    """
    name = out.resolve().name
    told = {
        key: value if isinstance(value, str | int | float | bool) else str(value) for key, value in settings.items()
    }
    options = {"wandb": {"name": name}, "trackio": {"name": name, "resume": "allow" if resume else "never"}}
    try:
        accelerator.init_trackers(PROJECT, config=told, init_kwargs=options)
    except Exception as error:  # each tracker has errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WordsightError(
            f"{', '.join(map(str, accelerator.log_with))} can't be started: {reason} Set up what it wants (for wandb "
            "`wandb login`, or WANDB_MODE=offline), or leave out --report-to."
        ) from error
