"""Questions to an OpenAI-compatible server: many at once, retried, with one-line errors."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import openai
from openai import AsyncOpenAI

from wordsight.errors import WordsightError

from .server import LLMServerError

Message = dict[str, str]
T = TypeVar("T")
R = TypeVar("R")

RETRIES = 5  # with exponential back-off from 0.5 s to 8 s, by the openai package
TIMEOUT = 300.0  # seconds for one answer, waiting in the server's queue included


class LLMClient:
    """An asynchronous client for one model.

    Args:
        base_url: the server's address, up to and with `/v1`.
        model: the model's name there; by default the first that the server lists.
        api_key: the server's key; by default from WORDSIGHT_API_KEY, else OPENAI_API_KEY. Never logged.
        concurrency: requests under way at once.
        send_seeds: whether to send each request's seed. A vLLM server on a CPU dies of seeds unless it is started as
            `LLMServer` starts it, so servers that others started get none.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        api_key: str | None = None,
        concurrency: int = 64,
        send_seeds: bool = False,
    ) -> None:
        key = api_key or os.environ.get("WORDSIGHT_API_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
        self.base_url, self.concurrency = base_url, concurrency
        self._model, self._send_seeds = model, send_seeds
        self._client = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=RETRIES, timeout=TIMEOUT)
        self._slots = asyncio.Semaphore(concurrency)
        # One line a request on INFO is no help among thousands.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def model(self) -> str:
        """The model's name."""
        if self._model is None:
            models = await self._guard(self._client.models.list)
            self._model = models.data[0].id
        return self._model

    async def chat(
        self,
        messages: list[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        schema: dict[str, Any] | None = None,
    ) -> tuple[str, bool]:
        """One answer, and whether the model ended it by itself.

        Args:
            messages: the conversation.
            temperature: of sampling.
            max_tokens: the longest answer.
            seed: of sampling.
            schema: JSON schema to which the server holds the answer.
        """
        extra: dict[str, Any] = {"seed": seed} if self._send_seeds else {}
        if schema is not None:
            extra["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        model = await self.model()
        answer = await self._guard(
            lambda: self._client.chat.completions.create(
                model=model,
                messages=messages,  # type: ignore[arg-type]
                temperature=temperature,
                max_tokens=max_tokens,
                **extra,
            )
        )
        choice = answer.choices[0]
        return choice.message.content or "", choice.finish_reason == "stop"

    async def chat_json(self, messages: list[Message], *, attempts: int = 3, seed: int, **options: Any) -> Any | None:
        """One answer as JSON; asked again with another seed when it is none, and None after the last attempt."""
        for attempt in range(attempts):
            text, _ = await self.chat(messages, seed=seed + attempt, **options)
            try:
                return json.loads(text)
            except ValueError:
                continue
        return None

    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first.

        Raises:
            LLMServerError: the server can't score prompts (vLLM can).
        """
        model = await self.model()
        answer = await self._guard(
            lambda: self._client.completions.create(
                model=model, prompt=text, max_tokens=1, temperature=0.0, extra_body={"prompt_logprobs": 0}
            )
        )
        positions = getattr(answer.choices[0], "prompt_logprobs", None)
        if positions is None:
            raise LLMServerError(f"{self.base_url} does not score prompts (prompt_logprobs).")
        # Beside the token itself (at prompt_logprobs=0, it alone) nothing is asked for; the first has no score.
        return sum(next(iter(position.values()))["logprob"] for position in positions if position)

    async def _guard(self, call: Callable[[], Awaitable[R]]) -> R:
        """A call in a free slot; what is left of errors after all retries fits in a line and names no key."""
        async with self._slots:
            try:
                return await call()
            except openai.AuthenticationError as error:
                raise LLMServerError(
                    f"{self.base_url} refuses the key (HTTP {error.status_code}). Set WORDSIGHT_API_KEY."
                ) from None
            except openai.APIStatusError as error:
                raise LLMServerError(
                    f"{self.base_url} answers HTTP {error.status_code}: {error.message[:300]}"
                ) from None
            except openai.APIConnectionError as error:
                raise LLMServerError(
                    f"{self.base_url} does not answer any more ({type(error).__name__}). All answers so far are on "
                    "disk: see that the server runs, then run the same command again to go on."
                ) from None


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
