"""Category names and their synonyms, as a user gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wordsight.errors import InvalidInputError

MAX_NAME_LENGTH = 100  # characters; a longer line is a sentence, not a name


@dataclass(frozen=True)
class Category:
    """What a photo can show.

    Attributes:
        name: the category's name, used in prompts and as the label.
        synonyms: other names, by which sentences may mention it.
    """

    name: str
    synonyms: tuple[str, ...] = ()

    @property
    def all_names(self) -> tuple[str, ...]:
        """The name and the synonyms."""
        return (self.name, *self.synonyms)


def read_categories(path: Path | str) -> list[Category]:
    """Reads a file with one category a line, synonyms after it, comma-separated.

    Blank lines and lines that start with # don't count.

    Raises:
        InvalidInputError: the file can't be read or a line can't be used; names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The category file {path} can't be read: {error}. Give a UTF-8 text file.") from error
    categories, places = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *synonyms = (" ".join(part.split()) for part in line.split(","))
        categories.append(Category(name, tuple(filter(None, synonyms))))
        places.append(f"{path}, line {number}: ")
    check_categories(categories, places)
    return categories


def check_categories(categories: Sequence[Category], places: Sequence[str] | None = None) -> None:
    """Checks that categories can be told apart and asked about.

    Args:
        categories: the categories.
        places: where each comes from, for the messages.

    Raises:
        InvalidInputError: there is none, one has no name, a name is too long or holds control characters, or two
            categories share a name.
    """
    if not categories:
        raise InvalidInputError("The category list is empty. Give one category a line, such as 'cat, kitten'.")
    seen: dict[str, str] = {}
    for index, category in enumerate(categories):
        place = places[index] if places else ""
        if not category.name.strip():
            raise InvalidInputError(f"{place}A category has no name. Put the name first, then its synonyms.")
        for name in category.all_names:
            if len(name) > MAX_NAME_LENGTH:
                raise InvalidInputError(
                    f"{place}The name {name[:30] + '...'!r} has {len(name)} characters; at most {MAX_NAME_LENGTH} are "
                    "allowed. Use a short name and leave the description to the language model."
                )
            if not name.isprintable():
                raise InvalidInputError(f"{place}The name {name!r} holds a control character. Remove it.")
            key = name.casefold()
            if key in seen:
                whose = "" if name == category.name == seen[key] else f" (of {seen[key]!r} and {category.name!r})"
                raise InvalidInputError(f"{place}{name!r} is given twice{whose}. Each name may stand for one category.")
            seen[key] = category.name
