"""What a text consists of in any script: words, or characters where no spaces are between words."""

import re
import unicodedata

# Vowel signs and diacritics belong to the letter before them, and joiners to the word.
MARKS = "".join(chr(c) for c in range(0x300, 0x1E00) if unicodedata.category(chr(c)).startswith("M")) + "\u200c\u200d"
# Scripts that are written without spaces between words.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_TOKEN = re.compile(rf"(?:(?!{UNSPACED.pattern})[^\W_][{MARKS}]*)+|{UNSPACED.pattern}[{MARKS}]*")


def tokens(text: str) -> list[str]:
    """A text's words in lower case, without punctuation; in scripts without spaces, its characters.

    Args:
        text: the text.

    Example:
        >>> tokens("A well-lit room."), tokens("犬とball")
        (['a', 'well', 'lit', 'room'], ['犬', 'と', 'ball'])
    """
    return _TOKEN.findall(text.casefold())
