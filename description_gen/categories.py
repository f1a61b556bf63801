"""Category names and their synonyms, as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from wordsight.utils.errors import InvalidInputError

from .category_files import category_lines

# Benchmarks' categories that ship with the package, under the names by which `--categories` takes them.
CATEGORY_LISTS = {"voc2007": "voc2007.txt", "voc2012": "voc2007.txt", "coco": "coco.txt", "nuswide": "nuswide.txt"}
MAX_NAME_LENGTH = 100  # characters of a name or a description; a longer line is a sentence, not a name
# Commas of Latin, Chinese, Japanese and Arabic writing. A colon begins a description where a space follows, or where
# it is a full-width one: "12:30" is a name.
COMMA = re.compile("[,\uff0c\u3001\u060c]")
COLON = re.compile(r":\s+|\s*\uff1a\s*")

JOINERS = re.compile("[\u200c\u200d]")  # not printable, and part of words (Persian, Hindi) and of emoji
# What chat templates part messages by: in a name, it would let the rest of the name speak as somebody else.
MARKER = re.compile(
    r"<\|[^<>]{0,40}\|>|<\uff5c[^<>]{0,40}\uff5c>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|</?think(?:ing)?>"
    r"|\[/?INST\]|<</?SYS>>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Category:
    """What a photo can show.

    Attributes:
        name: the category's name, used in prompts and as the label.
        synonyms: other names, by which sentences may mention it.
        description: a few words that say what is meant where the name means several things; "" for none.

    Example:
        >>> from wordsight import Category
        >>> Category("cup", ("mug",)).all_names
        ('cup', 'mug')
        >>> Category.parse("crane, cranes: the bird")
        Category(name='crane', synonyms=('cranes',), description='the bird')
    """

    name: str
    synonyms: tuple[str, ...] = ()
    description: str = ""

    @property
    def all_names(self) -> tuple[str, ...]:
        """The name and the synonyms."""
        return (self.name, *self.synonyms)

    @property
    def in_full(self) -> str:
        """As people and language models are told of it: "crane (the bird)"."""
        return self.in_full_as(self.name)

    def in_full_as(self, name: str) -> str:
        """`in_full` by one of its synonyms."""
        return f"{name} ({self.description})" if self.description else name

    @property
    def in_prompt(self) -> str:
        """As text encoders are told of it: "crane, the bird" (CLIP, arXiv 2103.00020, section 3.1.4)."""
        return self.in_prompt_as(self.name)

    def in_prompt_as(self, name: str) -> str:
        """`in_prompt` by one of its synonyms."""
        return f"{name}, {self.description}" if self.description else name

    @classmethod
    def parse(cls, line: str) -> Self:
        """A category from a line such as "crane, cranes: the bird": the name, its synonyms, a description.

        Commas of Chinese, Japanese and Arabic writing part names, too. The description begins behind the first colon
        that a space follows, or that is a full-width one ("\uff1a").
        """
        named, *described = COLON.split(line, maxsplit=1)
        name, *synonyms = (" ".join(part.split()) for part in COMMA.split(named))
        return cls(name, tuple(filter(None, synonyms)), " ".join(" ".join(described).split()))

    def to_dict(self) -> dict[str, Any]:
        """As JSON files hold it."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, "synonyms": list(self.synonyms), **described}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The reverse of `to_dict`; files of before version 0.3 hold no descriptions."""
        return cls(content["name"], tuple(content["synonyms"]), content.get("description", ""))


def as_categories(categories: Sequence[Category | str]) -> list[Category]:
    """Categories from what a user passes: `Category` objects, or strings (see `Category.parse`).

    Args:
        categories: the K categories.

    Raises:
        InvalidInputError: they are not a list, or can't be used (see `check_categories`).

    Example:
        >>> [category.in_full for category in as_categories(["cat", "cup, mug", "crane: the bird"])]
        ['cat', 'cup', 'crane (the bird)']
    """
    if isinstance(categories, str):
        raise InvalidInputError(
            f"Categories must be a list, not the string {categories!r}. Pass ['cat', 'cup, mug'], or "
            "`read_categories(...)` of a file."
        )
    parsed = [Category.parse(item) if isinstance(item, str) else item for item in categories]
    for item in parsed:
        if not isinstance(item, Category):
            raise InvalidInputError(f"{item!r} is not a category. Pass strings or `Category` objects.")
    check_categories(parsed)
    return parsed


def read_categories(path: Path | str, known_synonyms: bool = True) -> list[Category]:
    """Reads a file with one category a line, such as "crane, cranes: the bird", or a list that ships with wordsight.

    Synonyms come after a name, parted by commas, and a description, if the name is ambiguous, after a colon. Blank
    lines and lines that start with # don't count. Lists of other tools are read as well (see `category_lines`).

    Args:
        path: the file, or one of `CATEGORY_LISTS` ("voc2007", "voc2012", "coco", "nuswide").
        known_synonyms: whether categories without synonyms get those that `with_known_synonyms` knows.

    Raises:
        InvalidInputError: the file can't be read or a line can't be used; names the line.

    Example:
        >>> from wordsight import read_categories
        >>> categories = read_categories("coco")
        >>> len(categories), categories[0].name
        (80, 'person')
    """
    if str(path) in CATEGORY_LISTS and not Path(path).is_file():
        return shipped_categories(str(path))
    categories = _read_file(Path(path))
    return with_known_synonyms(categories) if known_synonyms else categories


def shipped_categories(name: str) -> list[Category]:
    """The categories of one of `CATEGORY_LISTS`, whatever files there are of that name.

    Args:
        name: the list's name.
    """
    return _shipped_list(CATEGORY_LISTS[name])


def with_known_synonyms(categories: Sequence[Category]) -> list[Category]:
    """Adds known synonyms to categories that have none: those of the shipped lists for the same name.

    Sentences about a person mostly say "man", "girl" or "players": without synonyms they would teach that no person is
    there. A synonym that is another category's name or synonym is left out; a category with a description gets none,
    since it may mean another thing.
    """
    known: dict[str, list[str]] = {}
    for file in dict.fromkeys(CATEGORY_LISTS.values()):
        for category in _shipped_list(file):
            known.setdefault(category.name.casefold(), []).extend(category.synonyms)
    taken = {name.casefold() for category in categories for name in category.all_names}
    completed = []
    for category in categories:
        if not category.synonyms and not category.description:
            new = [name for name in known.get(category.name.casefold(), ()) if name.casefold() not in taken]
            category = replace(category, synonyms=tuple(dict.fromkeys(new)))
            taken.update(name.casefold() for name in new)
        completed.append(category)
    return completed


@cache
def _shipped_list(file: str) -> list[Category]:
    return _read_file(Path(str(files(__package__) / "category_lists" / file)))


def _read_file(path: Path) -> list[Category]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"The category file {path} can't be read: {error}. Use a UTF-8 text file, or "
            f"one of the lists {', '.join(CATEGORY_LISTS)}."
        ) from error
    return parse_categories(text, str(path))


def parse_categories(text: str, source: str) -> list[Category]:
    """Categories from a text as `read_categories` takes it.

    Args:
        text: one category a line, or one of the other forms (see `category_lines`).
        source: where it comes from, for the messages.

    Raises:
        InvalidInputError: a line can't be used; names it.
    """
    lines = category_lines(text, source)
    categories = [Category.parse(line.text) for line in lines]
    check_categories(categories, [f"{source}, line {line.number}: " for line in lines])
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
        raise InvalidInputError(
            "The category list is empty. Add at least one category, such as 'cat, kitten' (a name and its synonym)."
        )
    seen: dict[str, str] = {}
    for index, category in enumerate(categories):
        place = places[index] if places else ""
        if not JOINERS.sub("", category.name).strip():
            raise InvalidInputError(f"{place}A category has no name. Put the name first, then its synonyms.")
        _check_text(f"{place}The description", category.description)
        for name in category.all_names:
            _check_text(f"{place}The name", name)
            key = name.casefold()
            if key in seen:
                whose = "" if name == category.name == seen[key] else f" (of {seen[key]!r} and {category.name!r})"
                raise InvalidInputError(f"{place}{name!r} is given twice{whose}. Each name may stand for one category.")
            seen[key] = category.name


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_NAME_LENGTH:
        raise InvalidInputError(
            f"{what} {text[:30] + '...'!r} has {len(text)} characters; at most {MAX_NAME_LENGTH} are allowed. Use few "
            "words and leave the rest to the language model."
        )
    if not JOINERS.sub("", text).isprintable():
        raise InvalidInputError(f"{what} {text!r} holds a control character. Remove it.")
    if marker := MARKER.search(text):
        raise InvalidInputError(
            f"{what} {text!r} holds {marker[0]!r}, which language models take for the end of a message. Remove it."
        )
