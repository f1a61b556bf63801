"""Many requests at once, from code that is asynchronous or not."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from wordsight.utils.errors import WordsightError

T = TypeVar("T")


async def ask_all(items: Iterable[T], ask: Callable[[T], Awaitable[None]], concurrency: int) -> None:
    """Asks about each item, with a bounded number of tasks; the first error ends all and is raised as it is."""
    queue = iter(items)

    async def work() -> None:
        for item in queue:
            await ask(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        known = errors.subgroup(WordsightError)
        raise (known or errors).exceptions[0] from None


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, also where an event loop is running already, as in a notebook.

    There it runs in a thread with a loop of its own. Ctrl-C ends it.

    Args:
        coroutine: what to run.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)

    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def run() -> T:
        started.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await coroutine

    with ThreadPoolExecutor(1, thread_name_prefix="wordsight") as pool:
        future = pool.submit(asyncio.run, run())
        try:
            with _interrupts_at_once():
                return future.result()
        except KeyboardInterrupt:
            for loop, task in started:
                if task is not None:
                    loop.call_soon_threadsafe(task.cancel)
            raise


@contextmanager
def _interrupts_at_once() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt inside: asyncio.run's handler would only note it, as its task is blocked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
