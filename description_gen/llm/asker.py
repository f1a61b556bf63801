"""What every way to ask a language model has in common, whether by HTTP or in this process."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from .answers import Answer, AnswerCheck, read_json
from .asking import ask_all
from .endings import MOST_TOKENS, Tokens, branches, total
from .server_features import NO_SCHEMA

Message = dict[str, str]


class Asker(ABC):
    """One language model that answers many questions at once."""

    def __init__(self) -> None:
        self._checks = {"json": AnswerCheck(), "text": AnswerCheck()}
        self._said: set[str] = set()
        self._endings: dict[str, Tokens | None] = {}  # None where its tokens depend on what is before it

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
        kind = "text" if schema is None else "json"
        self._checks[kind].add(answer, self.base_url, wants_json=schema is not None)
        return answer

    @abstractmethod
    async def _answer(
        self, messages: list[Message], sampling: dict[str, Any], schema: dict[str, Any] | None, logprobs: bool
    ) -> Answer:
        """One answer; `sampling` has temperature, max_tokens and seed."""

    @abstractmethod
    async def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text's tokens after the first."""

    @abstractmethod
    async def _tokens(self, text: str) -> Tokens | None:
        """The text's tokens; None where they can't be had."""

    @abstractmethod
    async def _following(self, before: Tokens, tokens: Sequence[int]) -> dict[int, float] | None:
        """Each token's log-probability right after others, of 128 at most; None where it can't be had."""

    async def ending_scores(self, start: str, endings: Sequence[str]) -> list[float]:
        """How likely a text goes on with each of several endings.

        Args:
            start: the text so far.
            endings: what may follow.

        Returns:
            The endings' log-probabilities after the start, all changed by the same number.

        Raises:
            LLMServerError: nothing answers any more.
        """
        before = await self._tokens(start)
        paths = None if before is None else await self._paths(start, before, endings)
        following: dict[Tokens, dict[int, float]] = {}
        if before is not None and paths is not None:

            async def follow(beginning: Tokens) -> None:
                tokens = parting[beginning]
                found: dict[int, float] = {}
                for first in range(0, len(tokens), MOST_TOKENS):
                    part = await self._following((*before, *beginning), tokens[first : first + MOST_TOKENS])
                    if part is None:
                        return
                    found |= part
                following[beginning] = found

            parting = branches(paths)
            await ask_all(parting, follow, self.concurrency)
            if len(following) == len(parting):
                return [total(path, following) for path in paths]
        scores: dict[str, float] = {}

        async def score(ending: str) -> None:
            scores[ending] = await self.log_probability(start + ending)

        await ask_all(endings, score, self.concurrency)
        return [scores[ending] for ending in endings]

    async def _paths(self, start: str, before: Tokens, endings: Sequence[str]) -> list[Tokens] | None:
        """The endings' tokens; None where those of any depend on the start."""

        async def find(ending: str) -> None:
            whole = await self._tokens(start + ending)
            apart = whole is not None and whole[: len(before)] == before
            self._endings[ending] = whole[len(before) :] if whole is not None and apart else None

        await ask_all([ending for ending in endings if ending not in self._endings], find, self.concurrency)
        paths = [path for ending in endings if (path := self._endings[ending])]
        return paths if len(paths) == len(endings) else None

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
