"""What not every OpenAI-compatible server takes, and how to ask without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

NO_SCHEMA = "does not hold answers to a JSON schema (structured outputs); the JSON is taken out of its texts."
MOST_AT_ONCE = 3  # that a server is thought to lack; then all of them
Arguments = dict[str, Any]  # of openai's `chat.completions.create`


@dataclass(frozen=True)
class Feature:
    """Something in a request that a server may refuse.

    Attributes:
        used: whether a request has it.
        without: the request without it.
        remark: what to tell the user where a server does not take it, after the server's address.
    """

    used: Callable[[Arguments], bool]
    without: Callable[[Arguments], Arguments]
    remark: str


def _without(key: str) -> Callable[[Arguments], Arguments]:
    return lambda arguments: {name: value for name, value in arguments.items() if name != key}


def _fold_system(arguments: Arguments) -> Arguments:
    """The system message goes to the head of the first user message."""
    system, first, *others = arguments["messages"]
    first = first | {"content": f"{system['content']}\n\n{first['content']}"}
    return arguments | {"messages": [first, *others]}


def _rename_limit(arguments: Arguments) -> Arguments:
    return _without("max_tokens")(arguments) | {"max_completion_tokens": arguments["max_tokens"]}


FEATURES = (
    Feature(
        lambda arguments: "extra_body" in arguments,
        _without("extra_body"),
        "does not take chat_template_kwargs, by which thinking is turned off; going on without. If the model reasons "
        "before it answers, start the server with thinking off.",
    ),
    Feature(
        lambda arguments: arguments.get("response_format", {}).get("type") == "json_schema",
        lambda arguments: arguments | {"response_format": {"type": "json_object"}},
        "takes no JSON schema (structured outputs); it is asked for JSON of any form.",
    ),
    Feature(
        lambda arguments: "response_format" in arguments,
        _without("response_format"),
        NO_SCHEMA,
    ),
    Feature(
        lambda arguments: "max_tokens" in arguments,
        _rename_limit,
        "takes no max_tokens; the limit is given as max_completion_tokens.",
    ),
    Feature(
        lambda arguments: "logprobs" in arguments,
        _without("logprobs"),
        "gives no log-probabilities of its answers; what needs them is off.",
    ),
    Feature(
        lambda arguments: arguments["messages"][0]["role"] == "system" and len(arguments["messages"]) > 1,
        _fold_system,
        "takes no system message; it goes to the head of the first question.",
    ),
)


def reduced(arguments: Arguments, lacking: Sequence[Feature]) -> Arguments:
    """A request without what a server is known to refuse."""
    for feature in lacking:
        if feature.used(arguments):
            arguments = feature.without(arguments)
    return arguments


def guesses(arguments: Arguments, lacking: Sequence[Feature]) -> Iterator[list[Feature]]:
    """What a server that refuses a request may lack besides, the fewest first."""
    used = [feature for feature in FEATURES if feature not in lacking and feature.used(reduced(arguments, lacking))]
    for number in (*range(1, min(len(used), MOST_AT_ONCE + 1)), len(used)):
        for guess in combinations(used, number):
            yield [*guess]
