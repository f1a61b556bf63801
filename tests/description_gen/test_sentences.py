"""Sentences out of answers, whatever a model puts around them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wordsight.description_gen.llm.answers import Answer
from wordsight.description_gen.sentences import clean_sentence


@pytest.mark.parametrize(
    ("answer", "complete", "sentence"),
    [
        ("A cat on a sofa.", True, "A cat on a sofa."),
        ('Caption: "A cat on a sofa." It is gray.', True, "A cat on a sofa."),
        ("A cat on a sofa\n\nObjects: dog", True, "A cat on a sofa"),
        ("A cat on a very", False, None),
        ("A cat on a sofa. The cat", False, "A cat on a sofa."),
        ("I'm sorry, I can't write about that.", True, None),
        ("I\u2019m sorry, I can\u2019t write about that.", True, None),
        ("I can\u2019t help with this photo.", True, None),
        ("A cat\u2019s bowl stands by the door.", True, "A cat\u2019s bowl stands by the door."),
        ("Es tut mir leid, ich kann das nicht beschreiben.", True, None),
        ("Als KI-Sprachmodell kann ich keine Fotos sehen.", True, None),
        ("Je suis désolée, je ne peux pas vous aider.", True, None),
        ("En tant qu\u2019IA, je n\u2019ai pas de photo.", True, None),
        ("Lo siento, pero no puedo ayudar con eso.", True, None),
        ("Mi dispiace, non posso scrivere questo.", True, None),
        ("Desculpe, mas não posso ajudar com isso.", True, None),
        ("Het spijt me, ik kan dat niet beschrijven.", True, None),
        ("对不起，我无法为这张照片写标题。", True, None),
        ("抱歉，作为一个人工智能，我看不到照片。", True, None),
        ("申し訳ありませんが、写真の説明はできません。", True, None),
        ("公園のベンチのそばを犬が走っている。", True, "公園のベンチのそばを犬が走っている。"),
        ("Ein Hund kann nicht über den Zaun springen.", True, "Ein Hund kann nicht über den Zaun springen."),
        ("Cat.", True, None),
        ("word " * 60, True, None),
        ("", True, None),
    ],
)
def test_cleaning(answer, complete, sentence):
    cleaned, reason = clean_sentence(answer, complete)
    assert (cleaned if reason is None else None) == sentence


@pytest.mark.parametrize(
    ("answer", "complete", "reason"),
    [
        (" \n", True, "empty"),
        ("A cat on a very", False, "cut off"),
        ("I'm sorry, I can't", False, "refusal"),
        ("Cat.", True, "too short"),
        ("word " * 60, True, "too long"),
        ("A cat on a sofa.", True, None),
    ],
)
def test_why_a_sentence_is_dropped(answer, complete, reason):
    assert clean_sentence(answer, complete)[1] == reason


# What models and servers put around a sentence. Each gives the text with it; none may change the sentence.
THOUGHT = "Okay, the user wants a caption with a cat. Let me think. A dog? No."
PREAMBLES = [
    "",
    "Sure! ",
    "Certainly! Here is a caption for your photo:\n\n",
    "Of course. Here's one: ",
    "Here are three captions:\n",
    "Here you go:\n",
    "**Caption:** ",
    "Caption 1: ",
    "The caption is: ",
    "### Answer:\n",
    "好的，以下是一句：",
]
NUMBERS = ["", "1. ", "1) ", "- ", "• "]
MARKS = ["{}", '"{}"', "**{}**", "\u201c{}\u201d", "*{}*", "`{}`", '**"{}"**']
AFTERS = ["", "\n", " It is sunny.", "\n2. Another caption.", "\n\nLet me know if you want another one!"]
FRAMES = [
    "{}",
    "{}<|im_end|>",
    "{}</s>",
    "{}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd a dog?",
    "{}<end_of_turn>\n<start_of_turn>user\nObject: dog",
    "<|im_start|>assistant\n{}<|im_end|>\n<|im_start|>user\nObject: dog.",
    f"<think>{THOUGHT}</think>\n\n{{}}",
    f"{THOUGHT}\n</think>\n\n{{}}",
    f"<thinking>{THOUGHT}</thinking>{{}}",
    f"[THINK]{THOUGHT}[/THINK]{{}}",
    f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{{}}<|return|>",
    f"analysis{THOUGHT}assistantfinal{{}}",
]
SENTENCES = [
    "A cat sleeps on a sofa.",
    "The man's dog, a puppy, runs at the beach!",
    "Two bottles stand beside a 3-tier cake on a table.",
    "Here is where a horse stands near a fence.",
    "Okapis and zebras graze in a field.",
]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(*map(st.sampled_from, (SENTENCES, PREAMBLES, NUMBERS, MARKS, AFTERS, FRAMES)))
def test_whatever_stands_around_a_sentence_is_taken_off(sentence, preamble, number, mark, after, frame):
    text = frame.format(preamble + number + mark.format(sentence) + after)
    answer = Answer.from_text(text, "stop")
    assert clean_sentence(answer.text, answer.complete) == (sentence, None)
    assert answer.problem is None
    assert answer.reasoned == (THOUGHT in text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(), st.booleans())
def test_any_text_is_a_sentence_or_a_reason(text, complete):
    sentence, reason = clean_sentence(text, complete)
    assert "\n" not in sentence
    assert reason is not None or len(sentence) >= 3
    assert clean_sentence(sentence, complete=True)[0] == sentence  # nothing is left to take off


@pytest.mark.parametrize(
    "sentence",
    [
        "Okay, the user wants a caption that mentions a cat.",
        "The user asked for a photo of a dog.",
        "First, I need to describe the cup.",
        "Hmm, let me think about cats.",
        "We should mention the dog and the cup.",
        "好的，用户要求写一句话。",
    ],
)
def test_thinking_aloud_is_no_caption(sentence):
    assert clean_sentence(sentence, True)[1] == "reasoning"
    assert Answer.from_text(sentence, "length").problem == "reasoning"


@pytest.mark.parametrize("sentence", ["The first prompt of the day is a cat.", "We sit by a dog.", "Let's dance, cat."])
def test_what_only_looks_like_it_is(sentence):
    assert clean_sentence(sentence, True) == (sentence, None)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{THOUGHT}",
        f"<|channel|>analysis<|message|>{THOUGHT}",
        f"analysis{THOUGHT}",
        f"{THOUGHT}</think>",
        f"◁think▷{THOUGHT}",
    ],
)
def test_thoughts_alone_are_no_answer(text):
    answer = Answer.from_text(text, "length")
    assert (answer.text, answer.reasoned, answer.problem) == ("", True, "reasoning")
