"""From what a model wrote to what it said: without chat templates' markers and without its reasoning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Reasoning between tags; the first is missing where the chat template writes it. Magistral and Kimi have brackets of
# their own.
THINK = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|seed:think)"
THINK_END = re.compile(rf"</{THINK}>|\[/THINK\]|\u25c1/think\u25b7", re.IGNORECASE)
THINK_START = re.compile(rf"\s*(?:<{THINK}>|\[THINK\]|\u25c1think\u25b7)", re.IGNORECASE)
# gpt-oss writes to channels; some servers leave the markers in, others the channels' names alone.
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
BARE_CHANNELS = re.compile(r"\s*(?:analysis|commentary)(?=[A-Z\"'])(.*?)(?:assistantfinal(.*))?\Z", re.DOTALL)
# What a turn begins with, and what ends it: behind it a model goes on with both sides of the conversation.
TURN_START = re.compile(
    r"\s*(?:<s>|<bos>|<\|begin_of_text\|>|\[/INST\]|<\|start\|>\s*assistant|<\|im_start\|>\s*(?:assistant\b)?"
    r"|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>|<\|assistant\|>|<start_of_turn>\s*(?:model\b)?"
    r"|<\uff5cAssistant\uff5c>)\s*"
)
TURN_END = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|<eos>|<pad>|<(?:end|start)_of_turn>|\[/?INST\]|<\uff5c[^<>\uff5c]{1,40}\uff5c>"
)


def said(text: str) -> tuple[str, bool]:
    """A model's answer without markers and reasoning, and whether there was reasoning.

    Args:
        text: what the model wrote.

    Example:
        >>> said("<think>A cat, then.</think>A cat sleeps.<|im_end|>")
        ('A cat sleeps.', True)
    """
    text, reasoned = _of_channels(text)
    *thoughts, rest = THINK_END.split(text)
    if start := THINK_START.search(rest):
        # It never came to an end; what it said before is its answer, if anything is.
        thoughts, rest = [*thoughts, rest[start.end() :]], rest[: start.start()]
    changed = rest != text
    while start := TURN_START.match(rest):
        rest, changed = rest[start.end() :], True
    if end := TURN_END.search(rest):
        rest, changed = rest[: end.start()], True
    return rest.strip() if changed or reasoned else rest, reasoned or bool(thoughts)


def _of_channels(text: str) -> tuple[str, bool]:
    """The final channel of a gpt-oss answer, and whether it had others; any other text as it is."""
    found = list(CHANNEL.finditer(text))
    if found:
        final = next((channel for channel in reversed(found) if channel[1] == "final"), None)
        return (text[final.end() :] if final else ""), len(found) > 1 or final is None
    if bare := BARE_CHANNELS.match(text):
        return bare[2] or "", True
    return text, False


def message_text(message: Any) -> str:
    """The text of an OpenAI server's message, whose content may be a list of parts, null, or missing."""
    content = getattr(message, "content", None)
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [_field(part, "text") for part in content if _field(part, "type") not in ("reasoning", "thinking")]
        return "".join(text for text in texts if isinstance(text, str))
    refusal = getattr(message, "refusal", None)
    return refusal if isinstance(refusal, str) else ""


def has_reasoning(message: Any) -> bool:
    """Whether a message has its reasoning in a field of its own, or in a part of its content."""
    if any(getattr(message, name, None) for name in ("reasoning", "reasoning_content", "reasoning_details")):
        return True
    content = getattr(message, "content", None)
    parts = content if isinstance(content, list) else []
    return any(_field(part, "type") in ("reasoning", "thinking") for part in parts)


def _field(part: Any, name: str) -> Any:
    return part.get(name) if isinstance(part, Mapping) else getattr(part, name, None)
