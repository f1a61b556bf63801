"""Questions to OpenAI-compatible servers: many at once, spread over them, retried, with one-line errors."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from wordsight.utils.errors import InvalidInputError, MissingDependencyError

from .addresses import VERSION, check_address, check_key, without_version
from .answers import NO_THINKING, Answer, excerpt
from .asker import Asker, Message
from .endings import Tokens
from .server import LLMServerError
from .server_features import FEATURES, Feature, guesses, reduced

try:
    import openai
    from openai import AsyncOpenAI
except ImportError as error:
    raise MissingDependencyError("Asking an LLM needs openai. Run `pip install 'wordsight[generate]'`.") from error

__all__ = ["CONCURRENCY", "LLMClient", "Message"]

R = TypeVar("R")

RETRIES = 5  # with exponential back-off from 0.5 s to 8 s, by the openai package
# As many as vLLM's server batches at once on a CPU by default; fewer can't fill its batches.
CONCURRENCY = 128  # requests under way at once on each server
TIMEOUT = 300.0  # seconds for one answer, waiting in the server's queue included
REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)


class NoPromptScoresError(LLMServerError):
    """A server does not tell how likely a text is."""


class _Server:
    """One address: its connections, how many requests are under way, and whether it still answers."""

    def __init__(self, base_url: str, api_key: str, concurrency: int, say: Callable[[str], None]) -> None:
        self.base_url, self.say = base_url, say
        self.openai = AsyncOpenAI(base_url=base_url, api_key=api_key, max_retries=RETRIES, timeout=TIMEOUT)
        self.slots = asyncio.Semaphore(concurrency)
        self.under_way = 0  # those that wait for a slot included
        self.answers = True
        self.has_answered = False
        self.lacking: list[Feature] = []  # what it has refused
        self.finding_out = asyncio.Lock()

    async def chat(self, **arguments: Any) -> Any:
        """One chat completion with thinking turned off, and without what the server does not take."""
        known = [*self.lacking]
        arguments["extra_body"] = NO_THINKING
        try:
            return await self._create(arguments, known)
        except REFUSALS as error:
            refusal = error
        async with self.finding_out:  # of many requests at once, one does
            if len(self.lacking) > len(known):
                known = [*self.lacking]
                with suppress(*REFUSALS):
                    return await self._create(arguments, known)
            for guess in guesses(arguments, known):
                with suppress(*REFUSALS):
                    answer = await self._create(arguments, [*known, *guess])
                    self._leave_out(guess)
                    return answer
        raise refusal

    async def _create(self, arguments: dict[str, Any], lacking: list[Feature]) -> Any:
        return await self.openai.chat.completions.create(**reduced(arguments, lacking))

    def _leave_out(self, features: list[Feature]) -> None:
        self.lacking += features
        for feature in FEATURES:
            if feature in features:
                self.say(f"{self.base_url} {feature.remark}")


class LLMClient(Asker):
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
        InvalidInputError: no address is given, or an address or the key can't be one.
    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        model: str | None = None,
        api_key: str | None = None,
        concurrency: int = CONCURRENCY,
        send_seeds: bool = False,
    ) -> None:
        super().__init__()
        key = _key(api_key)
        given = [base_url] if isinstance(base_url, str) else base_url
        # Each address once: a server given twice would get twice its share.
        addresses = list(dict.fromkeys(check_address(address) for address in given))
        if not addresses:
            raise InvalidInputError("No server is named. Pass at least one base_url.")
        self._servers = [_Server(address, key, concurrency, self._say_once) for address in addresses]
        self._per_server, self._model, self._send_seeds = concurrency, model, send_seeds
        self._scores_prompts: bool | None = None
        self._scores_tokens = True
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

    async def close(self) -> None:
        """Closes all connections."""
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
                    listed = await server.openai.get("/models", cast_to=object)
                except (openai.APIStatusError, openai.APIConnectionError) as error:
                    raise _one_line(server, error) from None
                except json.JSONDecodeError as error:
                    raise _no_server(server, error.doc) from None
                models[server.base_url] = _first_model(server, listed)
                server.has_answered = True
            if len(set(models.values())) > 1:
                served = ", ".join(f"{address} serves {name}" for address, name in models.items())
                raise InvalidInputError(f"The servers have different models: {served}. Pass servers of the same model.")
            self._model = next(iter(models.values()))
        return self._model

    async def _answer(
        self, messages: list[Message], sampling: dict[str, Any], schema: dict[str, Any] | None, logprobs: bool
    ) -> Answer:
        options = {name: value for name, value in sampling.items() if self._send_seeds or name != "seed"}
        if schema is not None:
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        if logprobs:
            options["logprobs"] = True
        model = await self.model()
        completion = await self._guard(lambda server: server.chat(model=model, messages=messages, **options))
        return Answer.from_completion(completion)

    async def scores_prompts(self) -> bool:
        """Whether the servers tell how likely a text is; where not, a warning says what is off."""
        if self._scores_prompts is None:
            try:
                await self.log_probability("A photo of a cat")
                self._scores_prompts = True
            except NoPromptScoresError as error:
                self._scores_prompts = False
                self._say_once(f"{error} What needs likelihoods is off: scenes and co-occurrence go by answers alone.")
        return self._scores_prompts

    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first.

        Raises:
            NoPromptScoresError: the server can't score prompts (vLLM can).
            LLMServerError: no server answers any more.
        """
        model = await self.model()

        async def score(server: _Server) -> Any:
            try:
                return await server.openai.completions.create(
                    model=model, prompt=text, max_tokens=1, temperature=0.0, extra_body={"prompt_logprobs": 0}
                )
            except (*REFUSALS, openai.NotFoundError):
                return None

        answer = await self._guard(score)
        choices = getattr(answer, "choices", None) or [None]
        positions = getattr(choices[0], "prompt_logprobs", None)
        if positions is None:
            raise NoPromptScoresError(f"{self.base_url} does not score prompts (prompt_logprobs).")
        # Beside the token itself (at prompt_logprobs=0, it alone) nothing is asked for; the first has no score.
        return sum(next(iter(position.values()))["logprob"] for position in positions if position)

    async def _tokens(self, text: str) -> Tokens | None:
        model = await self.model()

        async def tokenize(server: _Server) -> Any:
            try:
                # Not in /v1: it is vLLM's own.
                url = f"{server.base_url.rstrip('/').removesuffix('/v1')}/tokenize"
                return await server.openai.post(url, cast_to=object, body={"model": model, "prompt": text})
            except (*REFUSALS, openai.NotFoundError):
                return None

        answer = await self._guard(tokenize) if self._scores_tokens else None
        return tuple(answer["tokens"]) if isinstance(answer, dict) and answer.get("tokens") else None

    async def _following(self, before: Tokens, tokens: Sequence[int]) -> dict[int, float] | None:
        model = await self.model()

        async def score(server: _Server) -> Any:
            return await server.openai.completions.create(
                model=model,
                prompt=list(before),
                max_tokens=1,
                temperature=0.0,
                logprobs=1,
                extra_body={"logprob_token_ids": list(tokens), "return_tokens_as_token_ids": True},
            )

        answer = await self._guard(score)
        try:
            scored = answer.choices[0].logprobs.top_logprobs[0]
            found = {int(name.removeprefix("token_id:")): value for name, value in scored.items()}
        except (AttributeError, IndexError, TypeError, ValueError):
            found = {}
        if not found.keys() >= set(tokens):
            self._scores_tokens = False  # an older vLLM ignores what it doesn't know
            return None
        return found

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
                        found = await call(server)
                        if isinstance(found, str):
                            raise _no_server(server, found)
                        server.has_answered = True
                        return found
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                self._leave(server, error)
            except openai.APIStatusError as error:
                raise _one_line(server, error) from None
            except json.JSONDecodeError as error:
                raise _no_server(server, error.doc) from None
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


def _key(given: str | None) -> str:
    """The servers' key, as it was given or from the environment."""
    for source, key in (
        ("api_key", given),
        *((name, os.environ.get(name)) for name in ("WORDSIGHT_API_KEY", "OPENAI_API_KEY")),
    ):
        if key and key.strip():
            return check_key(key, source)
    return "none"


def _first_model(server: _Server, listed: Any) -> str:
    """The first model that a server lists."""
    try:
        name = listed["data"][0]["id"]
    except (IndexError, KeyError, TypeError):
        name = None
    if isinstance(name, str) and name:
        return name
    if isinstance(listed, str):
        raise _no_server(server, listed)
    raise LLMServerError(
        f"{server.base_url} lists no model; it answers {excerpt(listed)!r}. Does the server have one loaded? Else pass "
        "the model's name (LLMClient(model=...))."
    )


def _no_server(server: _Server, answer: str) -> LLMServerError:
    """What to tell of an answer that no OpenAI-compatible server gives."""
    meant = f" Did you mean {server.base_url}{VERSION}?" if without_version(server.base_url) else ""
    return LLMServerError(
        f"{server.base_url} does not answer as an OpenAI-compatible server does, but with {excerpt(answer)!r}.{meant}"
    )


def _one_line(server: _Server, error: openai.APIError) -> LLMServerError:
    """What to tell of an error that is left after all retries."""
    if isinstance(error, openai.AuthenticationError):
        return LLMServerError(f"{server.base_url} refuses the key ({_reason(error)}). Set WORDSIGHT_API_KEY.")
    if isinstance(error, openai.APIStatusError):
        meant = ""
        if isinstance(error, openai.NotFoundError) and without_version(server.base_url) and not server.has_answered:
            meant = f" Did you mean {server.base_url}{VERSION}?"
        return LLMServerError(f"{server.base_url} answers {_reason(error)}: {excerpt(error.message)}{meant}")
    if not server.has_answered:
        return LLMServerError(
            f"{server.base_url} does not answer ({_reason(error)}). Is the server running, and is the address right?"
        )
    return LLMServerError(
        f"{server.base_url} does not answer any more ({_reason(error)}). All answers so far are on disk: check the "
        "server, then run the same command again to continue."
    )


def _reason(error: openai.APIError) -> str:
    return f"HTTP {error.status_code}" if isinstance(error, openai.APIStatusError) else type(error).__name__
