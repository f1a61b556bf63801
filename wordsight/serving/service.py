"""From what a request asks for to its labels: photos are decoded in threads and encoded in shared batches."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import HTTPException
from huggingface_hub.utils import httpx

from .batching import Batcher
from .bodies import Asked
from .labeling import Labeler, Prepared, Settings
from .metrics import Metrics
from .options import ServingOptions
from .photos import open_photo
from .schemas import Parameters
from .urls import PublicTransport, fetch_photo

if TYPE_CHECKING:
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

Result = TypeVar("Result")


class Service:
    """A model, its queue, and the threads that decode photos for it.

    Args:
        classifier: the pipeline.
        options: the server's.
        transport: makes what fetches photos by URL.
    """

    def __init__(
        self,
        classifier: MultiLabelImageClassificationPipeline,
        options: ServingOptions,
        transport: Callable[[], httpx.AsyncBaseTransport] = PublicTransport,
    ) -> None:
        self.options, self.metrics = options, Metrics()
        self.labeler = Labeler(classifier, self.metrics)
        self._transport = transport
        self._under_way = 0
        self._decoders: ThreadPoolExecutor | None = None
        self._batcher: Batcher[Prepared, Any] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The time in which it can be asked."""
        self._decoders = ThreadPoolExecutor(os.cpu_count() or 1, "decoder")
        try:
            async with Batcher(
                self.labeler.forward, self.options.batch_size, self.options.max_wait_ms / 1000
            ) as self._batcher:
                yield
        finally:
            self._decoders.shutdown(wait=False, cancel_futures=True)

    async def warm_up(self, photo: bytes) -> list[dict[str, Any]]:
        """Labels of a photo, however long it takes: what is slow the first time is done then."""
        return await self._label(photo, self.labeler.settings(Parameters(top_k=3)), "The photo")

    async def classify(self, asked: Asked) -> list[Any]:
        """Labels of a photo, or of several, in order.

        Raises:
            HTTPException: 503, too much is under way; 504, it took too long; 4xx, a photo can't be labeled.
        """
        settings = self.labeler.settings(asked.parameters)
        with self._places(len(asked.photos)):
            try:
                async with asyncio.timeout(self.options.timeout), asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._label(photo, settings, asked.name(number)))
                        for number, photo in enumerate(asked.photos)
                    ]
            except TimeoutError as error:
                raise HTTPException(
                    504, f"There are no labels after {self.options.timeout:g} s. Send fewer or smaller photos."
                ) from error
            except ExceptionGroup as group_error:  # the first is what went wrong; the others were not waited for
                raise group_error.exceptions[0] from None
        found = [task.result() for task in tasks]
        return found if asked.several else found[0]

    async def _label(self, photo: bytes | str, settings: Settings, name: str) -> list[dict[str, Any]]:
        assert self._batcher is not None
        if isinstance(photo, str):
            photo = await fetch_photo(photo, self.options.max_body, self._transport(), name)
        prepared = await self._in_thread(lambda: self._prepare(photo, settings, name))
        output = await self._batcher(prepared)
        return await self._in_thread(lambda: self.labeler.finish(output, settings))

    def _prepare(self, content: bytes, settings: Settings, name: str) -> Prepared:
        photo = open_photo(content, self.options.max_pixels, name, self.labeler.least_size(settings))
        return self.labeler.prepare(photo, settings, name)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, call)

    @contextmanager
    def _places(self, count: int) -> Iterator[None]:
        """Takes photos in, if there is room for them."""
        if self._under_way + count > self.options.max_queue:
            seconds = max(1, math.ceil(self._under_way * self.labeler.seconds_per_photo))
            raise HTTPException(
                503,
                f"{self._under_way} photos are under way already. Try again in {seconds} s.",
                {"Retry-After": str(seconds)},
            )
        self._under_way += count
        self.metrics.under_way.inc(count)
        try:
            yield
        finally:
            self._under_way -= count
            self.metrics.under_way.dec(count)
