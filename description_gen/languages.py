"""In which language categories are named: by their script, and for Latin script by dictionaries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from wordsight.utils.errors import InvalidInputError, MissingDependencyError

from .categories import Category

try:
    import simplemma
except ImportError as error:
    raise MissingDependencyError("Labeling texts needs simplemma. Run `pip install 'wordsight[generate]'`.") from error

ENGLISH = "en"
# Languages that can be told apart by themselves, or set: ISO 639-1 code -> name. Those with a dictionary in simplemma
# are matched by lemma, the others as their words are written.
LANGUAGES = {
    "en": "English", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "da": "Danish", "de": "German", "el": "Greek", "es": "Spanish", "et": "Estonian", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "km": "Khmer", "ko": "Korean",
    "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian", "my": "Burmese", "nb": "Norwegian", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian",
    "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
# The languages of a script, the first where nothing tells which; letters that only one of them has.
SCRIPTS: tuple[tuple[str, re.Pattern[str], dict[str, str]], ...] = tuple(
    (codes, re.compile(f"[{letters}]"), own)
    for codes, letters, own in (
        ("ja", "\u3040-\u30ff\uff66-\uff9f", {}),
        ("zh", "\u3400-\u9fff\uf900-\ufaff", {}),
        ("ko", "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3", {}),
        ("th", "\u0e00-\u0e7f", {}),
        ("lo", "\u0e80-\u0eff", {}),
        ("my", "\u1000-\u109f", {}),
        ("km", "\u1780-\u17ff", {}),
        (
            "ar fa ur",
            "\u0600-\u06ff\u0750-\u077f",
            {"fa": "\u067e\u0686\u0698\u06af", "ur": "\u0679\u0688\u0691\u06d2"},
        ),
        ("ru uk bg", "\u0400-\u052f", {"uk": "\u0456\u0457\u0454\u0491"}),
        ("he", "\u0590-\u05ff", {}),
        ("el", "\u0370-\u03ff", {}),
        ("hi", "\u0900-\u097f", {}),
        ("bn", "\u0980-\u09ff", {}),
        ("ta", "\u0b80-\u0bff", {}),
        ("hy", "\u0530-\u058f", {}),
        ("ka", "\u10a0-\u10ff", {}),
    )
)
LATIN = re.compile(r"[a-z\u00df-\u024f\u1e00-\u1eff]")
# Letters of Vietnamese, for which there is no dictionary.
VIETNAMESE = re.compile(r"[\u01a1\u01b0\u0111\u1ea0-\u1ef9]")
# Tried group by group, since dictionaries take seconds to load, until one knows the words; the second group only where
# names have letters of such a language.
LATIN_LANGUAGES = (
    ("de", "fr", "es", "it", "pt", "nl", "id"),
    ("sv", "da", "nb", "cs", "ro", "ca", "pl", "tr", "hu", "fi"),
)
KNOWN = 0.7  # share of words
KNOWN_OF_FEW, FEW = 0.5, 4  # enough for English where there are few words


def check_language(language: str | None) -> str | None:
    """A language's code as a user gives it.

    Args:
        language: one of `LANGUAGES`; None to find it.

    Raises:
        InvalidInputError: it is none.
    """
    if language is not None and language not in LANGUAGES:
        raise InvalidInputError(
            f"The language {language!r} is not known. Known are {', '.join(LANGUAGES)}; omit it to have it found from "
            "the category names."
        )
    return language


def script_language(text: str) -> str | None:
    """The likeliest language of a text that is not in Latin letters, by its script; None for Latin letters.

    Args:
        text: a word, a name, or names.
    """
    for codes, letters, own in SCRIPTS:
        if letters.search(text):
            return next((code for code, only in own.items() if any(c in text for c in only)), codes.split()[0])
    return None


def script_of(language: str) -> str | None:
    """The languages that share a language's script, as `SCRIPTS` has them; None for Latin letters."""
    return next((codes for codes, _, _ in SCRIPTS if language in codes.split()), None)


def detect_language(categories: Sequence[Category]) -> str:
    """The language of category names, as one of `LANGUAGES`: that of most of them; English where nothing tells.

    Args:
        categories: the K categories; their names count, not their synonyms.

    Example:
        >>> detect_language([Category("Katze"), Category("Hund"), Category("Baum")])
        'de'
    """
    names = [category.name.casefold() for category in categories]
    everything = " ".join(names)
    foreign = [name for name in names if script_language(name) is not None]
    if 2 * len(foreign) > len(names):
        # By all names together: those that could be of several languages are of the one that others are of.
        return script_language(" ".join(foreign)) or ENGLISH
    if VIETNAMESE.search(everything):
        return "vi"
    return _latin_language(tuple(word for word in re.findall(r"[^\W\d_]{2,}", everything) if LATIN.match(word)))


@lru_cache(maxsize=100)
def _latin_language(words: tuple[str, ...]) -> str:
    def known(language: str) -> float:
        return sum(simplemma.is_known(word, language) for word in words) / len(words)

    if not words or known(ENGLISH) >= (KNOWN if len(words) >= FEW else KNOWN_OF_FEW):
        return ENGLISH
    for languages in LATIN_LANGUAGES if any(not word.isascii() for word in words) else LATIN_LANGUAGES[:1]:
        shares = {language: known(language) for language in languages}
        best = max(shares, key=lambda language: shares[language])
        if shares[best] >= KNOWN:
            return best
    return ENGLISH
