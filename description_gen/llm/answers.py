"""What a chat answer is: a text, or why it is of no use; and whether most answers are worth going on."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from wordsight.utils.errors import WordsightError

from .answer_text import has_reasoning, message_text, said
from .refusals import is_refusal, is_thinking_aloud

# Sent with each request: turns thinking off in the chat templates that know it (Qwen3; DeepSeek, Granite).
NO_THINKING: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
SENTENCE_END = re.compile(r"[.!?\u3002]")
FIRST_ANSWERS = 50  # after which it is seen whether most are of use
LEAST_ANSWERS = 10  # fewer say nothing
CUT_OFF = ("length", "max_tokens", "model_length", "content_filter")  # servers have many words for having ended
SHOWN = 120  # characters of an answer, in a message
AGAIN = "Then run the same command again; with another model, add --overwrite (overwrite=True)."


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: what the model said, without its reasoning and without the chat template's markers.
        complete: whether it ended by itself, not at the token limit.
        reasoned: whether it wrote reasoning, apart from the text or in it.
        log_probability: of its tokens given the request, their mean; None where the server does not tell.
        error: what came in place of an answer.
    """

    text: str
    complete: bool
    reasoned: bool = False
    log_probability: float | None = None
    error: str | None = None

    @classmethod
    def from_completion(cls, completion: Any) -> Answer:
        """From an OpenAI server's completion, which may be anything that a server calls one.

        Reasoning is in `reasoning` or `reasoning_content`, or in the text (see `said`).
        """
        choices = getattr(completion, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        if message is None:
            return cls("", False, error=excerpt(completion))
        tokens = getattr(getattr(choice, "logprobs", None), "content", None)
        found: list[Any] = [getattr(token, "logprob", None) for token in tokens] if isinstance(tokens, list) else []
        is_known = bool(found) and all(isinstance(value, int | float) for value in found)
        mean = sum(found) / len(found) if is_known else None
        reason = getattr(choice, "finish_reason", None)
        return cls.from_text(message_text(message), reason, has_reasoning(message), mean)

    @classmethod
    def from_text(
        cls, text: str, finish_reason: str | None, reasoned: bool = False, log_probability: float | None = None
    ) -> Answer:
        """From what a model wrote.

        Args:
            text: what it wrote.
            finish_reason: "length" where it ended at the token limit.
            reasoned: whether it wrote reasoning that is not in the text.
            log_probability: of its tokens, their mean.
        """
        text, in_text = said(text)
        return cls(text, finish_reason not in CUT_OFF, reasoned or in_text, log_probability)

    @property
    def problem(self) -> str | None:
        """Why it is of no use, if it is: "error", "reasoning", "refusal", "cut off" or "empty"."""
        if self.error is not None:
            return "error"
        text = self.text.strip()
        if text and not text.startswith(("{", "[", "```")):
            if is_refusal(text.splitlines()[0]):
                return "refusal"
            if is_thinking_aloud(text):
                return "reasoning"
        if text and (self.complete or SENTENCE_END.search(text)):
            return None
        if self.reasoned:
            return "reasoning"
        return "empty" if self.complete or not text else "cut off"


def excerpt(answer: Any) -> str:
    """The start of what a server answered, on one line, for a message."""
    content = (
        answer.model_dump_json(exclude_unset=True, warnings=False)
        if hasattr(answer, "model_dump_json")
        else str(answer)
    )
    line = " ".join(content.split())
    return line if len(line) <= SHOWN else line[:SHOWN] + "..."


def read_json(text: str) -> tuple[Any, bool]:
    """The JSON in a text, and whether it is all of it.

    Args:
        text: JSON alone, in a fenced block, or among other words.

    Raises:
        ValueError: there is none.

    Example:
        >>> read_json('Sure! ```json {"scenes": ["a zoo"]} ```')
        ({'scenes': ['a zoo']}, False)
    """
    try:
        return json.loads(text), True
    except ValueError:
        decoder = json.JSONDecoder()
        for start in re.finditer(r"[{\[]", text):
            try:
                return decoder.raw_decode(text, start.start())[0], False
            except ValueError:
                continue
    raise ValueError("There is no JSON in the text.")


def holds_json(text: str) -> bool:
    """Whether there is JSON in a text."""
    try:
        read_json(text)
    except ValueError:
        return False
    return True


class AnswerCheck:
    """Counts answers that are of no use, and ends a run that would go on with them for hours."""

    def __init__(self) -> None:
        self.answers = 0
        self.problems: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, answer: Answer, address: str, wants_json: bool = False) -> None:
        """Counts an answer; after the first 50 it calls `check`.

        Args:
            answer: the answer.
            address: the servers', for the message.
            wants_json: whether JSON was asked for, which is of use whatever stands around it.
        """
        self.answers += 1
        problem = None if wants_json and holds_json(answer.text) else answer.problem
        if problem is not None:
            self.problems[problem] += 1
            self.examples.setdefault(problem, answer.error or excerpt(answer.text))
        if self.answers == FIRST_ANSWERS:
            self.check(address)

    def check(self, address: str) -> None:
        """Sees whether most answers so far are of use.

        Args:
            address: the servers', for the message.

        Raises:
            WordsightError: they are not; says why and what to do.
        """
        bad = self.problems.total()
        if self.answers < LEAST_ANSWERS or 2 * bad <= self.answers:
            return
        ((problem, _),) = self.problems.most_common(1)
        example = f" One of them: {self.examples[problem]!r}" if self.examples[problem] else ""
        raise WordsightError(
            f"{bad} of {self.answers} answers from {address} are of no use. {REMEDIES[problem]} {AGAIN}{example}"
        )


REMEDIES = {
    "error": (
        "The server sends something else in place of answers. Is the address that of an OpenAI-compatible server, up "
        "to and with /v1, and is the server in order?"
    ),
    "refusal": (
        "The model refuses to answer. Use another instruct model, or say what is meant by the categories (name: "
        "description)."
    ),
    "reasoning": (
        "The model spends its tokens on reasoning before it answers, and the server does not turn this off when asked "
        "to (chat_template_kwargs). Start the server with thinking off (vLLM: --default-chat-template-kwargs "
        "'{\"enable_thinking\": false}'), or use an instruct model that does not reason."
    ),
    "cut off": (
        "They are cut off at the token limit before the end of the first sentence. Check the server's own limit of "
        "tokens, or use a model that follows instructions better: an instruct model, not a base model."
    ),
    "empty": (
        "They are empty. Check the server's chat template, or use another instruct model. Does the model reason before "
        "it answers? Then start the server with thinking off."
    ),
}
