"""Checks of a server's address and key, before anything is asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from wordsight.utils.errors import InvalidInputError

VERSION = "/v1"


def check_address(address: str) -> str:
    """An OpenAI-compatible server's address as requests take it: without white space around it and a slash behind it.

    Raises:
        InvalidInputError: it is none; says what is wrong with it.

    Example:
        >>> check_address("http://localhost:8000/v1/ ")
        'http://localhost:8000/v1'
    """
    found = address.strip().rstrip("/")
    if any(character.isspace() or not character.isprintable() for character in found):
        raise InvalidInputError(f"The server's address {address!r} holds white space. Pass one like {EXAMPLE}.")
    try:
        parts = urlsplit(found)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInputError(f"The server's address {address!r} can't be read: {error}.") from error
    if parts.scheme not in ("http", "https"):
        meant = f"http://{found.rpartition('://')[2] or 'localhost:8000/v1'}"
        raise InvalidInputError(f"The server's address {address!r} has no http:// or https://. Did you mean {meant}?")
    if not host:
        raise InvalidInputError(f"The server's address {address!r} names no host. Pass one like {EXAMPLE}.")
    return found


EXAMPLE = f"http://localhost:8000{VERSION}"


def without_version(address: str) -> bool:
    """Whether an address ends before the /v1 that most servers have."""
    return not urlsplit(address).path.rstrip("/").endswith(VERSION)


def check_key(key: str, source: str) -> str:
    """A key as a request's header can hold it: without white space around it, as a file's last line break.

    Args:
        key: the key, which no message shows.
        source: where it comes from, for the message.

    Raises:
        InvalidInputError: it can't be sent.
    """
    found = key.strip()
    if not found.isascii() or not found.isprintable() or " " in found:
        what = "a character that is not ASCII" if not found.isascii() else "white space"
        raise InvalidInputError(f"The key in {source} holds {what}, which no key does. Copy it again.")
    return found
