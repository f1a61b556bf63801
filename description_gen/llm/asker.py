"""What every way to ask a language model has in common, whether by HTTP or in this process."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, Self

from .answers import Answer, AnswerCheck, read_json
from .server_features import NO_SCHEMA

Message = dict[str, str]


class Asker(ABC):
    """One language model that answers many questions at once."""

    def __init__(self) -> None:
        self._checks = {"json": AnswerCheck(), "text": AnswerCheck()}
        self._said: set[str] = set()

    @property
    @abstractmethod
    def base_url(self) -> str:
        """What answers, for messages: the servers' addresses, or vLLM in this process."""

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """How many requests are taken at once."""

    @abstractmethod
    async def close(self) -> None:
        """Closes connections, where there are any."""

    @abstractmethod
    async def model(self) -> str:
        """The model's name, as it is recorded in the data."""

    async def chat(
        self,
        messages: list[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        schema: dict[str, Any] | None = None,
        logprobs: bool = False,
    ) -> Answer:
        """One answer.

        Args:
            messages: the conversation.
            temperature: of sampling.
            max_tokens: the longest answer.
            seed: of sampling.
            schema: JSON schema to which the answer is held, where that can be done.
            logprobs: whether to ask for the log-probability of the answer, too.

        Raises:
            LLMServerError: the request is refused, or nothing answers any more.
            WordsightError: most of the first answers were empty or cut off; says why and what to do.
        """
        sampling = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        answer = await self._answer(messages, sampling, schema, logprobs)
        self._checks["text" if schema is None else "json"].add(answer, self.base_url)
        return answer

    @abstractmethod
    async def _answer(
        self, messages: list[Message], sampling: dict[str, Any], schema: dict[str, Any] | None, logprobs: bool
    ) -> Answer:
        """One answer; `sampling` has temperature, max_tokens and seed."""

    @abstractmethod
    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def scores_prompts(self) -> bool:
        """Whether `log_probability` can be had; where not, a warning says what is off."""
        return True

    async def chat_json(self, messages: list[Message], *, attempts: int = 3, seed: int, **options: Any) -> Any | None:
        """One answer as JSON; asked again with another seed when it has none, and None after the last attempt."""
        for attempt in range(attempts):
            answer = await self.chat(messages, seed=seed + attempt, **options)
            try:
                content, alone = read_json(answer.text)
            except ValueError:
                continue
            if not alone:
                self._say_once(f"{self.base_url} {NO_SCHEMA}")
            return content
        return None

    def check_answers(self) -> None:
        """Sees whether most answers so far are of use.

        Raises:
            WordsightError: they are not; says why and what to do.
        """
        for check in self._checks.values():
            check.check(self.base_url)

    def _say_once(self, remark: str) -> None:
        """A warning that is not given a second time."""
        if remark not in self._said:
            self._said.add(remark)
            warnings.warn(remark, stacklevel=3)
