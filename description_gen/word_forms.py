"""Words of a text, and by which forms a word stands for a name: lemmas, words without particles, heads of compounds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache

from wordsight.utils.errors import MissingDependencyError

from .languages import ENGLISH, script_language, script_of
from .tokens import MARKS, UNSPACED

try:
    import simplemma
    from simplemma.strategies.dictionaries.dictionary_factory import SUPPORTED_LANGUAGES
except ImportError as error:
    raise MissingDependencyError("Labeling texts needs simplemma. Run `pip install 'wordsight[generate]'`.") from error

Forms = tuple[str, ...]
LETTERS = rf"[^\W_]+(?:[{MARKS}]+[^\W_]*)*"
SIGNS = r"(?:\+\+|#(?!\w))?"  # "C++" and "C#" are other words than "C"
WORD = re.compile(rf"{LETTERS}(?:['\u2019]{LETTERS})?{SIGNS}")
POSSESSIVE = re.compile(r"['\u2019]s?$")
# Words whose lemma would make a thing of an act: "building" and "trained" are no build and no train.
VERBAL = ("ing", "ed")
# The last part of a compound says what it is: a Hauskatze is a Katze. Parts are of so many letters at least, lest an
# ending be taken for a name. What is none of it (a Seehund is no dog) stands in `compounds.yaml`.
COMPOUNDING = {"de": (3, 4), "nl": (3, 4), "ko": (1, 2)}  # letters before the name, and of the name
CASED = {"de", "tr"}  # nouns have capitals; capitals of their own
ARABIC = {"ar", "fa", "ur"}
ELIDING = {"fr", "it", "ca"}  # "l'oiseau": an article or preposition before the apostrophe
# What follows a Korean noun without a space: one particle, or two.
_ANYWHERE = "의|에|에서|에게|한테|부터|까지|처럼|보다|마다|하고|밖에|조차|마저|입니다|이다"
KOREAN_ENDINGS = {
    kind: re.compile(f"(?:{own}|도|만|(?:{_ANYWHERE}|{toward})(?:는|도|만|의)?)")
    for kind, own, toward in (
        ("consonant", "이|은|을|과|이나|이랑|이며|이라도", "으로"),
        ("l", "이|은|을|과|이나|이랑|이며|이라도", "로"),
        ("vowel", "가|는|를|와|나|랑|라도", "로"),
    )
}
# Before an Arabic noun without a space: and, a preposition, the article.
ARABIC_PREFIX = re.compile(
    r"^(?:[\u0648\u0641]?(?:[\u0628\u0643]?\u0627\u0644|\u0644\u0644)|[\u0648\u0641]?[\u0628\u0643\u0644](?=...)|\u0648)(?=..)"
)
ARABIC_MARKS = re.compile(r"[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")
ARABIC_LETTERS = str.maketrans(
    "\u0623\u0625\u0622\u0671\u0649\u0629\u06cc\u06a9", "\u0627\u0627\u0627\u0627\u064a\u0647\u064a\u0643"
)
TURKISH_CAPITALS = str.maketrans({"\u0130": "i", "I": "\u0131"})


def normalize(text: str) -> str:
    """A text in Unicode's compatibility form (NFKC): full-width letters as usual ones, letters with their marks."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def words(text: str) -> list[str]:
    """A text's words in lower case; possessives and hyphens are gone."""
    return [POSSESSIVE.sub("", word) for word in WORD.findall(normalize(text).casefold())]


@lru_cache(maxsize=1 << 16)
def english_lemma(word: str) -> str:
    """The lemma of an English word in lower case."""
    return word if word.endswith(VERBAL) else simplemma.lemmatize(word, lang="en").casefold()


class WordForms:
    """Forms by which words are compared, for names in one language and, by their script, in others.

    Args:
        language: one of `LANGUAGES`; other languages' words count as that when they are in its script.
    """

    def __init__(self, language: str = ENGLISH) -> None:
        self.language = language
        self.keeps_case = language in CASED
        self._of_names: set[str] = set()
        self.of_name: Callable[[str], Forms] = cache(self._of_name)
        self.of_word: Callable[[str], Forms] = lru_cache(maxsize=1 << 16)(self._of_word)

    def split(self, text: str) -> list[str]:
        """A text's words as `of_name` and `of_word` take them: in lower case, unless that would lose what they are."""
        if not self.keeps_case:
            return words(text)
        return [POSSESSIVE.sub("", word) for word in WORD.findall(normalize(text))]

    def lower(self, word: str) -> str:
        """A word in lower case."""
        return word.translate(TURKISH_CAPITALS).lower() if self.language == "tr" else word.casefold()

    def _of_name(self, word: str) -> Forms:
        """The forms of a word of a name, its lemma first."""
        language = self._language_of(word)
        self._of_names.add(language)
        if language == ENGLISH:
            return (english_lemma(word),)
        forms = [*self._base(word, language)]
        if language == "de":  # a noun that was written small
            forms = [*self._base(word[0].upper() + word[1:], language), *forms]
        if language in ARABIC and word.startswith("\u0627\u0644") and len(word) > 3:
            forms += self._base(word[2:], language)
        return tuple(dict.fromkeys(forms))

    def _of_word(self, word: str) -> Forms:
        """The forms of a word of a sentence, the surest first."""
        language = self._language_of(word)
        if language == ENGLISH:
            return (english_lemma(word),)
        if language not in self._of_names:  # no name can be meant, and no dictionary is loaded in vain
            return (self.lower(word),)
        parts = [word, *_stripped(word, language)]
        forms = [form for part in parts for form in reversed(self._base(part, language))]
        if language in COMPOUNDING and (language != "de" or word[0].isupper()):
            before, least = COMPOUNDING[language]
            forms += [form[k:] for form in dict.fromkeys(forms) for k in range(before, len(form) - least + 1)]
        return tuple(dict.fromkeys(forms))

    def _language_of(self, word: str) -> str:
        found = script_language(word)
        if found is None:
            return self.language if script_of(self.language) is None else ENGLISH
        return self.language if script_of(self.language) == script_of(found) else found

    def _base(self, word: str, language: str) -> Forms:
        """A word's lemma, where there is a dictionary, and the word."""
        word = word.capitalize() if word.isupper() else word
        forms = [word]
        if language in SUPPORTED_LANGUAGES and not UNSPACED.search(word):
            bare = ARABIC_MARKS.sub("", word) if language in ARABIC else word
            forms.insert(0, simplemma.lemmatize(bare, lang=language))
        folded = [self.lower(form) for form in forms]
        if language in ARABIC:
            folded = [ARABIC_MARKS.sub("", form).translate(ARABIC_LETTERS) for form in folded]
        return tuple(dict.fromkeys(folded))


def _stripped(word: str, language: str) -> list[str]:
    """A word without what a language writes together with it: particles, articles, prepositions."""
    if language == "ko":
        ends = [k for k in range(len(word) - 1, 0, -1) if _is_korean_ending(word[k - 1], word[k:])]
        return [word[:k] for k in ends]
    if language == "ar":
        bare = ARABIC_MARKS.sub("", word)
        return [rest] if (rest := ARABIC_PREFIX.sub("", bare)) != bare else []
    if language in ELIDING and (mark := re.search("['\u2019]", word)):
        return [word[mark.end() :]]
    return []


def _is_korean_ending(last: str, ending: str) -> bool:
    """Whether an ending can stand behind a noun with this last syllable: particles go by how it ends."""
    number = ord(last) - 0xAC00
    if not 0 <= number < 11172:
        return False
    if ending.startswith("\ub4e4"):  # the plural, after which particles are those after a consonant
        return len(ending) == 1 or _is_korean_ending("\ub4e4", ending[1:])
    kind = "consonant" if number % 28 else "vowel"
    kind = "l" if number % 28 == 8 else kind
    return KOREAN_ENDINGS[kind].fullmatch(ending) is not None
