"""Words of messages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun, in agreement.

    Args:
        number: the number.
        noun: in the singular.
        plural: in the plural, by default with an "s".

    Example:
        >>> counted(1, "category", "categories"), counted(2, "sentence")
        ('1 category', '2 sentences')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
