"""What XML can hold: not every character of a name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wordsight.utils.errors import InvalidInputError

# Production 2 of https://www.w3.org/TR/xml: all others can't be written, not even as a number.
NOT_ALLOWED = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_xml(text: str, what: str) -> None:
    """Refuses a text that would make the whole file unreadable.

    Args:
        text: the text.
        what: what it is, for the message.

    Raises:
        InvalidInputError: it has such a character; names it.
    """
    if found := NOT_ALLOWED.search(text):
        raise InvalidInputError(f"{what} {text!r} has the character {found[0]!r}, which XML does not allow")


def check_xml_names(categories: Iterable[str]) -> None:
    """Raises `InvalidInputError` if XML does not allow a category's name."""
    for name in categories:
        try:
            check_xml(name, "The category")
        except InvalidInputError as error:
            raise InvalidInputError(f"{error}. Pass --format jsonl.") from error
