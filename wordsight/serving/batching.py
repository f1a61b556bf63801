"""Batches of what many requests ask for: a queue, and one thread that works on what has come together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(NamedTuple, Generic[Item, Result]):
    item: Item
    result: asyncio.Future[Result]
    since: float


class Batcher(Generic[Item, Result]):
    """Calls a function on batches of items that come one by one, from any number of tasks of an event loop.

    A batch is what waits when the thread is free, at most `batch_size` items. If there are fewer, the first waits at
    most `max_wait` seconds for others. An item whose task was cancelled meanwhile is left out. If a batch fails, its
    items are tried one by one, so that none fails for another's sake.

    Args:
        run: from items to as many results, in order; called in a thread of its own, never twice at a time.
        batch_size: most items of a batch.
        max_wait: seconds.

    Example:
        >>> import asyncio
        >>> from wordsight.serving.batching import Batcher
        >>> async def main():
        ...     async with Batcher(lambda numbers: [2 * number for number in numbers], 8, 0.01) as double:
        ...         return await asyncio.gather(*map(double, range(4)))
        >>> asyncio.run(main())
        [0, 2, 4, 6]
    """

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], batch_size: int, max_wait: float) -> None:
        self._run, self._batch_size, self._max_wait = run, batch_size, max_wait
        self._queue: asyncio.Queue[_Waiting[Item, Result]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "model")
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher[Item, Result]:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._worker is not None
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, item: Item) -> Result:
        """An item's result, once a batch with it has been worked on."""
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Item, Result] = _Waiting(item, loop.create_future(), loop.time())
        self._queue.put_nowait(waiting)
        return await waiting.result

    async def _work(self) -> None:
        while True:
            batch = [waiting for waiting in await self._collect() if not waiting.result.done()]
            if not batch or await self._tell(batch):
                continue
            for waiting in batch:
                if not waiting.result.done():
                    await self._tell([waiting])

    async def _collect(self) -> list[_Waiting[Item, Result]]:
        batch = [await self._queue.get()]
        deadline = batch[0].since + self._max_wait
        while len(batch) < self._batch_size:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
                continue
            try:
                async with asyncio.timeout_at(deadline):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
        return batch

    async def _tell(self, batch: list[_Waiting[Item, Result]]) -> bool:
        """Works on a batch and hands out its results; False if it failed and is to be tried in parts."""
        items = [waiting.item for waiting in batch]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, items)
        except Exception as error:
            if len(batch) > 1:
                return False
            if not batch[0].result.done():
                batch[0].result.set_exception(error)
            return True
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(result)
        return True
