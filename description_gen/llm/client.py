"""Questions to OpenAI-compatible servers: many at once, spread over them, retried, with one-line errors."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from wordsight.utils.errors import InvalidInputError, MissingDependencyError

from .answers import NO_THINKING, Answer, AnswerCheck
from .server import LLMServerError

try:
    import openai
    from openai import AsyncOpenAI
except ImportError as error:
    raise MissingDependencyError("Asking an LLM needs openai. Run `pip install 'wordsight[generate]'`.") from error

Message = dict[str, str]
R = TypeVar("R")

RETRIES = 5  # with exponential back-off from 0.5 s to 8 s, by the openai package
# As many as vLLM's server batches at once on a CPU by default; fewer can't fill its batches.
CONCURRENCY = 128  # requests under way at once on each server
TIMEOUT = 300.0  # seconds for one answer, waiting in the server's queue included


class _Server:
    """One address: its connections, how many requests are under way, and whether it still answers."""

    def __init__(self, base_url: str, api_key: str, concurrency: int) -> None:
        self.base_url = base_url
        self.openai = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=RETRIES, timeout=TIMEOUT)
        self.slots = asyncio.Semaphore(concurrency)
        self.under_way = 0  # those that wait for a slot included
        self.answers = True
        self.takes_template_kwargs = True  # until it refuses them

    async def chat(self, **arguments: Any) -> Any:
        """One chat completion with thinking turned off, or left as it is where the server refuses to be told."""
        if self.takes_template_kwargs:
            try:
                return await self.openai.chat.completions.create(**arguments, extra_body=NO_THINKING)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                answer = await self.openai.chat.completions.create(**arguments)  # raises if that was not the reason
            if self.takes_template_kwargs:  # of many requests at once, one says so
                self.takes_template_kwargs = False
                warnings.warn(
                    f"{self.base_url} does not take chat_template_kwargs, by which thinking is turned off; going on "
                    "without. If the model reasons before it answers, start the server with thinking off.",
                    stacklevel=2,
                )
            return answer
        return await self.openai.chat.completions.create(**arguments)


class LLMClient:
    """An asynchronous client for one model, on one server or on several that share the requests.

    Each request goes to the server with the fewest under way. A server that stops answering is named in a warning, and
    the others take its requests.

    Args:
        base_url: the server's address, up to and with `/v1`, or several servers' addresses.
        model: the model's name there; by default the first that each server lists, which must be the same.
        api_key: the servers' key; by default from WORDSIGHT_API_KEY, else OPENAI_API_KEY. Never logged.
        concurrency: requests under way at once on each server.
        send_seeds: whether to send each request's seed. A vLLM server on a CPU dies of seeds unless it is started as
            `LLMServer` starts it, so servers that others started get none.

    Raises:
        InvalidInputError: no address is given.
    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        model: str | None = None,
        api_key: str | None = None,
        concurrency: int = CONCURRENCY,
        send_seeds: bool = False,
    ) -> None:
        key = api_key or os.environ.get("WORDSIGHT_API_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
        # Each address once: a server given twice would get twice its share.
        addresses = [base_url] if isinstance(base_url, str) else list(dict.fromkeys(base_url))
        if not addresses:
            raise InvalidInputError("No server is named. Pass at least one base_url.")
        self._servers = [_Server(address, key, concurrency) for address in addresses]
        self._per_server, self._model, self._send_seeds = concurrency, model, send_seeds
        self._checks = {"json": AnswerCheck(), "text": AnswerCheck()}
        # One line a request on INFO is no help among thousands.
        logging.getLogger("httpx").setLevel(logging.WARNING)

    @property
    def base_url(self) -> str:
        """The address; of several, all that still answer, comma-separated."""
        return ", ".join(server.base_url for server in self._living())

    @property
    def concurrency(self) -> int:
        """How many requests all servers that still answer take at once."""
        return self._per_server * len(self._living())

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            await server.openai.close()

    async def model(self) -> str:
        """The model's name.

        Raises:
            LLMServerError: a server does not answer: from the start, all must.
            InvalidInputError: the servers have different models.
        """
        if self._model is None:
            models = {}
            for server in self._servers:
                try:
                    listed = await server.openai.models.list()
                except (openai.APIStatusError, openai.APIConnectionError) as error:
                    raise _one_line(server, error) from None
                models[server.base_url] = listed.data[0].id
            if len(set(models.values())) > 1:
                served = ", ".join(f"{address} serves {name}" for address, name in models.items())
                raise InvalidInputError(f"The servers have different models: {served}. Pass servers of the same model.")
            self._model = next(iter(models.values()))
        return self._model

    async def chat(
        self,
        messages: list[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        schema: dict[str, Any] | None = None,
    ) -> Answer:
        """One answer.

        Args:
            messages: the conversation.
            temperature: of sampling.
            max_tokens: the longest answer.
            seed: of sampling.
            schema: JSON schema to which the server holds the answer.

        Raises:
            LLMServerError: the server refuses the request, or no server answers any more.
            WordsightError: most of the first answers were empty or cut off; says why and what to do.
        """
        extra: dict[str, Any] = {"seed": seed} if self._send_seeds else {}
        if schema is not None:
            extra["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        model = await self.model()
        completion = await self._guard(
            lambda server: server.chat(
                model=model, messages=messages, temperature=temperature, max_tokens=max_tokens, **extra
            )
        )
        answer = Answer.from_choice(completion.choices[0])
        self._checks["text" if schema is None else "json"].add(answer, self.base_url)
        return answer

    async def chat_json(self, messages: list[Message], *, attempts: int = 3, seed: int, **options: Any) -> Any | None:
        """One answer as JSON; asked again with another seed when it is none, and None after the last attempt."""
        for attempt in range(attempts):
            answer = await self.chat(messages, seed=seed + attempt, **options)
            try:
                return json.loads(answer.text)
            except ValueError:
                continue
        return None

    def check_answers(self) -> None:
        """Sees whether most answers so far are of use.

        Raises:
            WordsightError: they are not; says why and what to do.
        """
        for check in self._checks.values():
            check.check(self.base_url)

    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first.

        Raises:
            LLMServerError: the server can't score prompts (vLLM can).
        """
        model = await self.model()
        answer = await self._guard(
            lambda server: server.openai.completions.create(
                model=model, prompt=text, max_tokens=1, temperature=0.0, extra_body={"prompt_logprobs": 0}
            )
        )
        positions = getattr(answer.choices[0], "prompt_logprobs", None)
        if positions is None:
            raise LLMServerError(f"{self.base_url} does not score prompts (prompt_logprobs).")
        # Beside the token itself (at prompt_logprobs=0, it alone) nothing is asked for; the first has no score.
        return sum(next(iter(position.values()))["logprob"] for position in positions if position)

    def _living(self) -> list[_Server]:
        """The servers that still answer; when none does, all, so that errors can name them."""
        return [server for server in self._servers if server.answers] or self._servers

    async def _guard(self, call: Callable[[_Server], Awaitable[R]]) -> R:
        """A call in a free slot of the least busy server, or of the next one when that one is gone.

        What is left of errors after all retries fits in a line and names no key.
        """
        while True:
            server = min(self._living(), key=lambda server: server.under_way)
            server.under_way += 1
            try:
                async with server.slots:
                    # It may have gone while this waited for the slot; the last one is tried all the same.
                    if server in self._living():
                        return await call(server)
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                self._leave(server, error)
            except openai.APIStatusError as error:
                raise _one_line(server, error) from None
            finally:
                server.under_way -= 1

    def _leave(self, server: _Server, error: openai.APIError) -> None:
        """Goes on without a server that failed after all retries.

        Raises:
            LLMServerError: it was the last.
        """
        known, server.answers = not server.answers, False
        if not any(other.answers for other in self._servers):
            raise _one_line(server, error) from None
        if not known:
            warnings.warn(
                f"{server.base_url} stopped answering ({_reason(error)}). The other servers take its requests.",
                stacklevel=3,
            )


def _one_line(server: _Server, error: openai.APIError) -> LLMServerError:
    """What to tell of an error that is left after all retries."""
    if isinstance(error, openai.AuthenticationError):
        return LLMServerError(f"{server.base_url} refuses the key ({_reason(error)}). Set WORDSIGHT_API_KEY.")
    if isinstance(error, openai.APIStatusError):
        return LLMServerError(f"{server.base_url} answers {_reason(error)}: {error.message[:300]}")
    return LLMServerError(
        f"{server.base_url} does not answer ({_reason(error)}). All answers so far are on disk: check "
        "the server, then run the same command again to continue."
    )


def _reason(error: openai.APIError) -> str:
    return f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else type(error).__name__
