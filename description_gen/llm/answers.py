"""What a chat answer is: the text without the model's reasoning, and whether most answers are worth going on."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from wordsight.utils.errors import WordsightError

# Sent with each request: turns thinking off in the chat templates that know it (Qwen3; DeepSeek, Granite).
NO_THINKING: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
THINK_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
THINK_START = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.!?\u3002]")
FIRST_ANSWERS = 50  # after which it is seen whether most are of use
LEAST_ANSWERS = 10  # fewer say nothing
AGAIN = "Then run again with --overwrite (overwrite=True)."


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: what the model wrote, without its reasoning.
        complete: whether it ended by itself, not at the token limit.
        reasoned: whether it wrote reasoning, apart from the text or in it.
        log_probability: of its tokens given the request, their mean; None where the server does not tell.
    """

    text: str
    complete: bool
    reasoned: bool = False
    log_probability: float | None = None

    @classmethod
    def from_choice(cls, choice: Any) -> Answer:
        """From an OpenAI server's choice.

        Servers put reasoning into `reasoning` or `reasoning_content`, or leave it in the text, inside <think> tags; the
        first tag is missing where the chat template writes it.
        """
        message = choice.message
        reasoned = bool(getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None))
        tokens = getattr(getattr(choice, "logprobs", None), "content", None) or []
        mean = sum(token.logprob for token in tokens) / len(tokens) if tokens else None
        return cls.from_text(message.content or "", choice.finish_reason, reasoned, mean)

    @classmethod
    def from_text(
        cls, text: str, finish_reason: str | None, reasoned: bool = False, log_probability: float | None = None
    ) -> Answer:
        """From what a model wrote, with reasoning inside <think> tags or without.

        Args:
            text: what it wrote.
            finish_reason: "stop" where it ended by itself.
            reasoned: whether it wrote reasoning that is not in the text.
            log_probability: of its tokens, their mean.
        """
        *thoughts, text = THINK_END.split(text)
        if THINK_START.match(text):
            thoughts, text = [text], ""  # it never came to the answer
        stopped = finish_reason == "stop"
        return cls(text.strip() if thoughts else text, stopped, reasoned or bool(thoughts), log_probability)

    @property
    def problem(self) -> str | None:
        """Why it is of no use, if that has to do with the server's settings: "reasoning", "cut off" or "empty"."""
        if self.text.strip() and (self.complete or SENTENCE_END.search(self.text)):
            return None
        if self.reasoned:
            return "reasoning"
        return "empty" if self.complete or not self.text.strip() else "cut off"


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


class AnswerCheck:
    """Counts answers that are of no use, and ends a run that would go on with them for hours."""

    def __init__(self) -> None:
        self.answers = 0
        self.problems: Counter[str] = Counter()

    def add(self, answer: Answer, address: str) -> None:
        """Counts an answer; after the first 50 it calls `check`.

        Args:
            answer: the answer.
            address: the servers', for the message.
        """
        self.answers += 1
        if answer.problem is not None:
            self.problems[answer.problem] += 1
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
        raise WordsightError(
            f"{bad} of {self.answers} answers from {address} are of no use. {REMEDIES[problem]} {AGAIN}"
        )


REMEDIES = {
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
