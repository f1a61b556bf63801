"""Progress of what takes seconds: bars on a terminal, plain lines in a log, calls to a program that listens."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import rich.progress
from rich.console import Console
from rich.text import Text

QUIET = "WORDSIGHT_QUIET"  # the environment variable, so that processes which are launched hear of it, too
FIRST_LINE, LOG_INTERVAL = 2.0, 10.0  # seconds until a log's first line, and between lines
CALL_INTERVAL = 0.25  # seconds between calls to who listens


@dataclass(frozen=True)
class Progress:
    """How far a step is.

    Attributes:
        desc: what is under way.
        done: units done.
        total: units there are; None where nobody knows.
        unit: what is counted, in the singular; empty where only time passes.
        rate: units a second, lately; None before there is one.
        remaining: seconds left at that rate; None where that can't be said.
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

    Each step calls at its start, at its end (an error's, too), and at most four times a second in between. What the
    callback raises ends the step.

    Args:
        callback: what is called, in the thread that does the work.

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


def is_quiet() -> bool:
    """Whether no progress is to be shown: the environment variable `WORDSIGHT_QUIET` is set."""
    return os.environ.get(QUIET, "").lower() not in {"", "0", "false", "no"}


def be_quiet() -> None:
    """Shows no progress from now on, the libraries' own included, here and in processes started from here."""
    from huggingface_hub.utils import disable_progress_bars  # transformers' follow it

    os.environ |= {QUIET: "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    os.environ["TQDM_DISABLE"] = "1"
    disable_progress_bars()


class Bar:
    """A step under way. rich keeps the count, rate and remaining time, whether or not it draws them.

    Attributes:
        note: a few words on how it goes, shown at the end of the line.
    """

    def __init__(
        self, desc: str, total: int | None, unit: str, initial: int, console: Console | None, listener: Listener | None
    ) -> None:
        counted = total is not None or bool(unit)
        self.rich = rich.progress.Progress(
            *(_columns(total is not None, counted)),
            console=console,
            disable=console is None,
            transient=not counted,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # a pipe's share is not for the terminal
        )
        self.rich.add_task(desc, total=total, completed=initial, unit=unit, note="")
        self.task = self.rich.tasks[0]
        self._listener, self._called = listener, time.monotonic()

    @property
    def done(self) -> int:
        """Units done."""
        return int(self.task.completed)

    @property
    def total(self) -> int | None:
        """Units there are."""
        return None if self.task.total is None else int(self.task.total)

    @total.setter
    def total(self, total: int) -> None:
        self.rich.update(self.task.id, total=total)

    @property
    def note(self) -> str:
        """A few words on how it goes, shown at the end of the line."""
        return str(self.task.fields["note"])

    @note.setter
    def note(self, note: str) -> None:
        self.rich.update(self.task.id, note=note)

    def update(self, n: int = 1) -> None:
        """Counts units that were done."""
        self.rich.advance(self.task.id, n)
        if self._listener is not None and time.monotonic() - self._called >= CALL_INTERVAL:
            self._called = time.monotonic()
            self._listener(self.progress())

    def progress(self) -> Progress:
        """How far it is."""
        task = self.task
        rate, remaining = task.finished_speed or task.speed, task.time_remaining
        return Progress(task.description, self.done, self.total, task.fields["unit"], rate, remaining)

    def line(self, finished: bool = False) -> str:
        """How far it is, in a line of a log."""
        now = self.progress()
        took = f"{duration(self.task.elapsed or 0)}" + ("" if finished else " so far")
        counts = f"{now.done}" if now.total is None else f"{now.done}/{now.total}"
        parts = [f"{counts} {now.unit}s"] if now.unit else []
        if now.rate is not None and now.unit:
            parts.append(_rate(now.rate, now.unit))
        left = None if finished or now.total is None else now.remaining
        parts.append(took if left is None else f"{duration(left)} left")
        line = f"{now.desc}: {', '.join([*parts, *([self.note] if self.note else [])])}"
        return "".join(character if character.isprintable() else " " for character in line)


@contextmanager
def progress_bar(
    desc: str, total: int | None = None, unit: str = "", enabled: bool = True, initial: int = 0
) -> Iterator[Bar]:
    """Shows a step: as a bar on a terminal, as a line now and then in a log, not at all with `--quiet`.

    Only the first of several launched processes shows anything. A step without total and unit, whose length nobody
    knows, shows that time passes; in a log only if it takes more than two seconds.

    Args:
        desc: what is under way.
        total: number of units; None where nobody knows.
        unit: what is counted, in the singular.
        enabled: False shows nothing.
        initial: units that are done already.

    Example:
        >>> with progress_bar("Counting", 3, "photo") as bar:
        ...     for _ in range(3):
        ...         bar.update()
    """
    enabled = enabled and os.environ.get("RANK", "0") == "0"  # torchrun's and accelerate's number of a process
    listener = _listener if enabled else None
    shown = enabled and listener is None and not is_quiet()
    console = _terminal() if shown else None
    bar = Bar(desc, total, unit, initial, console, listener)
    if listener is not None:
        listener(bar.progress())
        try:
            yield bar
        finally:
            listener(bar.progress())
    elif console is not None:
        with bar.rich:
            yield bar
    elif shown:
        with _lines(bar):
            yield bar
    else:
        yield bar


def load_libraries() -> None:
    """Imports PyTorch, transformers and what is built on them, and shows that it takes its time."""
    with progress_bar("Loading PyTorch and transformers"):
        import_module("wordsight.modeling.modeling_wordsight")


@contextmanager
def library_step(desc: str) -> Iterator[None]:
    """Shows a step in which a library has bars of its own (downloads, conversions); on a terminal those are enough."""
    with progress_bar(desc, enabled=_listener is not None or _terminal() is None):
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


def _leave_bars_behind() -> None:
    """In a forked process: it writes past its parent's bar, whose lock it could wait for in vain."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        setattr(sys, name, getattr(stream, "rich_proxied_file", stream))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_bars_behind)


@contextmanager
def _lines(bar: Bar) -> Iterator[None]:
    """Lines on standard error, by a thread of their own: a step may be one long call."""
    finished = threading.Event()

    def show() -> None:
        wait = FIRST_LINE
        while not finished.wait(wait):
            _print(bar.line())
            wait = LOG_INTERVAL

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        if bar.task.fields["unit"] or (bar.task.elapsed or 0) > FIRST_LINE:
            _print(bar.line(finished=True))


def _print(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(line + "\n")  # in one piece, between other threads' lines
        sys.stderr.flush()


def _terminal() -> Console | None:
    """Where bars can be drawn: a terminal on standard error, or a notebook; None elsewhere.

    rich alone would draw into files, too, where FORCE_COLOR is set.
    """
    console = Console(stderr=True)
    if console.is_jupyter:
        return console if find_spec("ipywidgets") else None
    return console if console.is_interactive and sys.stderr is not None and sys.stderr.isatty() else None


class _RateColumn(rich.progress.ProgressColumn):
    """Units a second."""

    def render(self, task: rich.progress.Task) -> Text:
        """The text, empty as long as there is no rate."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _rate(speed, task.fields["unit"]), style="progress.data.speed")


def _columns(known: bool, counted: bool) -> list[rich.progress.ProgressColumn]:
    """What a terminal shows, by whether the total is known and anything is counted."""
    text = rich.progress.TextColumn
    columns: list[rich.progress.ProgressColumn] = [] if known else [rich.progress.SpinnerColumn()]
    columns += [text("{task.description}", markup=False)]
    if counted:
        columns += [rich.progress.BarColumn()] if known else []
        columns += [rich.progress.MofNCompleteColumn(), _RateColumn()]
    columns += [rich.progress.TimeElapsedColumn()]
    columns += [rich.progress.TimeRemainingColumn()] if known else []
    return [*columns, text("{task.fields[note]}", markup=False)]


def _rate(rate: float, unit: str) -> str:
    """How fast, with the larger number: 14.8 sentences/s, or 3.2 s/sentence."""
    return f"{rate:.1f} {unit}s/s" if rate >= 1 or rate == 0 else f"{1 / rate:.1f} s/{unit}"


def duration(seconds: float) -> str:
    """Seconds in words: 31 s, 2 min 5 s, 1 h 3 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s" if seconds >= 10 or isinstance(seconds, int) else f"{seconds:.1f} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
