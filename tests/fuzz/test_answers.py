"""Answers of servers and language models, whatever they are: text without markers, or a failure that has a name."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from wordsight.description_gen.llm.addresses import check_address, check_key
from wordsight.description_gen.llm.answer_text import said
from wordsight.description_gen.llm.answers import Answer, excerpt, read_json
from wordsight.description_gen.sentences import clean_sentence
from wordsight.utils.errors import InvalidInputError

from .strategies import anything, damaged_json, texts, tried

COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "A cat sleeps.", "reasoning_content": None, "refusal": None},
            "logprobs": {"content": [{"token": "A", "logprob": -0.5, "bytes": None, "top_logprobs": []}]},
        }
    ],
}
PARTS = [
    "A cat sleeps on a table.",
    "<think>A cat, then.</think>",
    "<think>",
    "</think>",
    "Sure! Here is a caption:",
    "**Caption:**",
    "1. ",
    "- ",
    "<|im_end|>",
    "<|channel|>analysis<|message|>",
    "<|channel|>final<|message|>",
    "<|start|>assistant",
    "[INST]",
    "```json",
    '{"scenes": ["a zoo"]}',
    "```",
    "Okay, the user wants a caption.",
    "I'm sorry, but I can't do that.",
    "\n",
    '"',
]
mixtures = st.lists(st.sampled_from(PARTS) | texts, max_size=6).map("".join)


@tried
@given(mixtures, st.sampled_from(["stop", "length", None, "content_filter", ""]))
def test_any_text_is_an_answer_or_has_a_problem(text, reason):
    answer = Answer.from_text(text, reason)
    assert answer.problem in (None, "reasoning", "refusal", "cut off", "empty")
    assert said(answer.text)[0] == answer.text, "what was taken out is gone"
    sentence, why = clean_sentence(answer.text, answer.complete)
    assert why is not None or (sentence and "\n" not in sentence and "<|" not in sentence and "<think>" not in sentence)


@tried
@given(damaged_json(COMPLETION))
def test_any_completion_is_an_answer(content):
    completion = ChatCompletion.construct(**content) if isinstance(content, dict) else content
    answer = Answer.from_completion(completion)
    assert isinstance(answer.text, str) and (answer.error is None or answer.problem == "error")
    assert "\n" not in excerpt(completion) and len(excerpt(completion)) <= 123


@tried
@given(mixtures, anything)
def test_json_among_words_is_found(text, content):
    with suppress(ValueError):
        read_json(text)
    whole = json.dumps({"scenes": content})
    assert json.dumps(read_json(whole)[0]) == whole


@tried
@given(texts, texts)
def test_addresses_and_keys_are_taken_or_told_of(address, key):
    for check in (lambda: check_address(address), lambda: check_key(key, "--api-key")):
        try:
            assert isinstance(check(), str)
        except InvalidInputError as error:
            assert "\n" not in str(error)
