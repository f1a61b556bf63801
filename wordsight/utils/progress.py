"""Progress of what takes seconds, by tqdm: bars on a terminal, a line now and then in a log, calls to a listener."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tqdm import tqdm
from tqdm.auto import tqdm as drawn_tqdm  # in a notebook, a widget

QUIET = "WORDSIGHT_QUIET"
LOG_INTERVAL, CALL_INTERVAL = 10.0, 0.25  # seconds between lines of a log, and between calls to a listener
STEP = "{desc}: {elapsed}"  # what is drawn where nothing is counted


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        desc: what is under way.
        done: units done.
        total: number of units; None if unknown.
        unit: what is counted, in the singular; empty if nothing is.
        rate: units per second, lately; None before there is one.
        remaining: seconds left at that rate; None if unknown.
    """

    desc: str
    done: int
    total: int | None
    unit: str
    rate: float | None
    remaining: float | None


Listener = Callable[[Progress], None]
_listener: Listener | None = None


@contextmanager
def listening(callback: Listener) -> Iterator[None]:
    """Calls back with the progress of what runs inside, in any thread; nothing is drawn meanwhile.

    Each step calls at its start, at its end (an error's, too), and at most four times a second in between.

    Example:
        >>> from wordsight.utils.progress import listening, progress_bar
        >>> with listening(lambda progress: print(progress.desc, progress.done, progress.total)):
        ...     with progress_bar("Counting", 2, "photo") as bar:
        ...         bar.update(2)
        Counting 0 2
        Counting 2 2
    """
    global _listener
    before, _listener = _listener, callback
    try:
        yield
    finally:
        _listener = before


class _Worded:
    """What bars that are drawn and those that are not have in common."""

    @staticmethod
    def format_meter(*args: Any, unit: str = "it", **options: Any) -> str:
        """As tqdm has it, but "8.59 s/step" in place of "8.59s/ steps"."""
        line = tqdm.format_meter(*args, unit=unit, **options)
        return line.replace(f"s/{unit}", f" s/{unit.strip().removesuffix('s')}")


class _DrawnBar(_Worded, drawn_tqdm):
    """A bar on a terminal or in a notebook."""


class _ToldBar(_Worded, tqdm):
    """A bar that is not drawn: a function is called with it instead."""

    def __init__(self, tell: Callable[[_ToldBar], None], **options: Any) -> None:
        self.tell = tell
        super().__init__(file=io.StringIO(), miniters=0, disable=False, **options)

    def refresh(self, *_: Any, **__: Any) -> None:
        """Without tqdm's lock, which would stay locked if the function raises."""
        self.display()

    def display(self, *_: Any, **__: Any) -> None:
        """Called at the start, now and then, and at the end."""
        self.tell(self)


@contextmanager
def progress_bar(
    desc: str, total: int | None = None, unit: str = "", enabled: bool = True, initial: int = 0
) -> Iterator[tqdm[Any]]:
    """A tqdm bar: drawn on a terminal, a line now and then in a log, nothing with `--quiet`.

    Only the first of several launched processes shows anything.

    Args:
        desc: what is under way.
        total: number of units; None if unknown.
        unit: what is counted, in the singular.
        enabled: False shows nothing.
        initial: units that are done already.

    Example:
        >>> with progress_bar("Counting", 3, "photo") as bar:
        ...     for _ in range(3):
        ...         bar.update()
    """
    enabled = enabled and os.environ.get("RANK", "0") == "0"  # the process's number, by torchrun and accelerate
    options: dict[str, Any] = {"desc": desc, "total": total, "unit": f" {unit}s", "initial": initial}
    listener, counted = _listener, total is not None or bool(unit)
    if enabled and listener is not None:
        bar = _ToldBar(lambda bar: listener(_progress_of(bar, unit)), mininterval=CALL_INTERVAL, **options)
    elif enabled and not is_quiet() and has_terminal():
        options |= {} if counted else {"bar_format": STEP}
        bar = _DrawnBar(leave=counted, dynamic_ncols=True, disable=False, **options)
    elif enabled and not is_quiet() and counted:
        bar = _ToldBar(_print_line, mininterval=LOG_INTERVAL, **options)
    else:
        if enabled and not is_quiet():
            print(f"{desc} ...", file=sys.stderr, flush=True)
        bar = _ToldBar(lambda bar: None, **options)
    with bar:
        yield bar


def _progress_of(bar: _ToldBar, unit: str) -> Progress:
    """What a listener is told; the rate at the end is that of the whole step."""
    values = bar.format_dict
    done, seconds = bar.n - bar.initial, values["elapsed"]
    rate = values["rate"] or (done / seconds if done and seconds else None)
    remaining = (bar.total - bar.n) / rate if rate and bar.total is not None else None
    return Progress(values["prefix"], bar.n, bar.total, unit, rate, remaining)


def _print_line(bar: _ToldBar) -> None:
    """A line of a log: tqdm's, without the drawn bar; none at the start."""
    if bar.n > bar.initial:
        line = bar.format_meter(**bar.format_dict | {"ncols": 0})
        print(line, file=sys.stderr, flush=True)


def has_terminal() -> bool:
    """Whether bars can be drawn: on a terminal, or in a notebook."""
    in_a_notebook = any(base.__module__ == "tqdm.notebook" for base in drawn_tqdm.__mro__)
    return in_a_notebook or (sys.stderr is not None and sys.stderr.isatty())


def is_quiet() -> bool:
    """Whether no progress is to be shown: the environment variable `WORDSIGHT_QUIET` is set."""
    return os.environ.get(QUIET, "").lower() not in {"", "0", "false", "no"}


def be_quiet() -> None:
    """Shows no progress from now on, here and in processes started from here."""
    os.environ[QUIET] = "1"
    hide_library_bars()


def hide_library_bars() -> None:
    """Switches off the bars of the Hub, datasets and whoever uses tqdm; for libraries that are imported later."""
    os.environ |= dict.fromkeys(("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"), "1")
    os.environ["TQDM_DISABLE"] = "1"


def load_libraries() -> None:
    """Imports PyTorch, transformers and what is built on them, and shows that it takes its time."""
    with progress_bar("Loading PyTorch and transformers"):
        import_module("wordsight.modeling.modeling_wordsight")
        from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
        from transformers.utils import logging

        # transformers' bars are for reading and writing weights, a moment's work; the Hub's, for downloads, stay.
        hub_shows = not are_progress_bars_disabled() and not is_quiet()
        logging.disable_progress_bar()  # the Hub's too
        if hub_shows:
            enable_progress_bars()


@contextmanager
def library_step(desc: str) -> Iterator[None]:
    """Shows a step in which a library has bars of its own (downloads, conversions); on a terminal those are enough."""
    with progress_bar(desc, enabled=_listener is not None or not has_terminal()):
        yield


@contextmanager
def no_datasets_bars() -> Iterator[None]:
    """Hides the bars of `datasets`, where they would show a second's work."""
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


def duration(seconds: float) -> str:
    """Seconds in words: 31 s, 2 min 5 s, 1 h 3 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
