"""Whether a text encoder can read category names: an English vocabulary makes no sense of other scripts."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wordsight.utils.errors import shortened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from wordsight.description_gen.categories import Category

    from .encoders.base import TextEncoder

# A character of these is a syllable or a word: a vocabulary that knows it has a token for it.
SYLLABIC = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff]")
# In an alphabet: with more tokens a letter, a word is spelled, not read; of short words that says nothing.
MOST_TOKENS, FEWEST_LETTERS = 2 / 3, 3


def unreadable_names(names: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The names whose words a tokenizer does not know.

    Those are names with a token for unknown characters, and names in other alphabets than the Latin one that are
    spelled byte by byte or nearly letter by letter.

    Args:
        names: category names.
        tokenizer: of a text encoder.
    """
    return [name for name in names if not _is_readable(name, tokenizer)]


def _is_readable(name: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    ids = tokenizer(name, add_special_tokens=False)["input_ids"]
    # CLIP's unknown token is its end of text, which a name never has.
    if not ids or tokenizer.unk_token_id in ids:
        return False
    letters = [c for c in unicodedata.normalize("NFC", name) if c.isalpha()]
    if not letters or all(unicodedata.name(c, "").startswith("LATIN") for c in letters):
        return True
    tokens = sum(1 for token in tokenizer.convert_ids_to_tokens(ids) if token.strip("\u2581\u0120_ "))
    if any(map(SYLLABIC.match, letters)):
        return tokens <= len(letters)
    return tokens <= MOST_TOKENS * len(letters) or len(letters) < FEWEST_LETTERS


def warn_of_unreadable_names(categories: Sequence[Category], encoder: TextEncoder) -> None:
    """Says in one line which names an encoder can't read, and which encoder could.

    Args:
        categories: the K categories.
        encoder: the text encoder.
    """
    names = [category.name for category in categories]
    if unreadable := unreadable_names(names, encoder.tokenizer):
        warnings.warn(
            f"The text encoder can't read {len(unreadable)} of {len(names)} category names ({shortened(unreadable)}): "
            "its vocabulary lacks their words, so photos can hardly be told apart by them. Use a multilingual encoder, "
            "such as google/siglip2-base-patch16-224, or English names with yours as synonyms ('cat, 猫').",
            stacklevel=4,
        )
