"""Batches: who shares one, who waits, and what happens to the others when one fails or leaves."""

import asyncio
import threading

import pytest

from wordsight.serving.batching import Batcher


class Doubling:
    """Doubles numbers, and remembers the batches; refuses 13, and waits for an event where it has one."""

    def __init__(self, go=None):
        self.batches, self.threads, self.go = [], set(), go

    def __call__(self, numbers):
        self.batches.append(list(numbers))
        self.threads.add(threading.current_thread())
        if self.go is not None:
            assert self.go.wait(10)
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


def test_items_of_many_tasks_share_full_batches_and_get_their_own_results():
    double = Doubling()

    async def main():
        async with Batcher(double, 4, 0.05) as batcher:
            return await asyncio.gather(*map(batcher, range(10)))

    assert asyncio.run(main()) == [2 * number for number in range(10)]
    assert double.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(double.threads) == 1


def test_a_lone_item_waits_for_others_as_long_as_told():
    async def alone(wait):
        double = Doubling()
        async with Batcher(double, 4, wait) as batcher:
            assert [await batcher(1), await batcher(2)] == [2, 4]
        return double.batches

    async def followed(wait):
        double = Doubling()
        async with Batcher(double, 2, wait) as batcher:
            first = asyncio.create_task(batcher(1))
            await asyncio.sleep(0.05)
            assert await asyncio.gather(first, batcher(2)) == [2, 4]
        return double.batches

    assert asyncio.run(alone(0)) == asyncio.run(alone(0.1)) == [[1], [2]]
    assert asyncio.run(followed(30)) == [[1, 2]]


def test_one_that_fails_takes_no_other_with_it():
    async def main():
        async with Batcher(Doubling(), 4, 0.05) as batcher:
            return await asyncio.gather(*map(batcher, (1, 13, 2)), return_exceptions=True)

    one, failed, two = asyncio.run(main())
    assert (one, two) == (2, 4)
    assert isinstance(failed, ValueError) and str(failed) == "thirteen"


def test_what_nobody_waits_for_any_more_is_not_worked_on():
    go = threading.Event()
    double = Doubling(go)

    async def main():
        async with Batcher(double, 1, 0) as batcher:
            tasks = [asyncio.create_task(batcher(number)) for number in range(3)]
            while not double.batches:
                await asyncio.sleep(0.01)
            tasks[1].cancel()
            await asyncio.sleep(0)
            go.set()
            assert await tasks[2] == 4
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]

    asyncio.run(main())
    assert double.batches == [[0], [2]]
