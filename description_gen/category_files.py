"""Category lists as people have them, as lines of one category each: "crane, cranes: the bird"."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from xml.etree import ElementTree

import yaml

from wordsight.utils.errors import InvalidInputError


class Line(NamedTuple):
    """A category as a line of `Category.parse`, and the number of the line, or of the entry, where it stands."""

    number: int
    text: str


HEADERS = {"name", "names", "label", "labels", "category", "categories", "class", "classes", "class_name", "class name"}
HEADERS |= {"display_name", "类别", "标签", "名称"}
NUMBERED = re.compile(r"(\d+)(?:[.)]\s+|:\s+|\t+|\s*;\s*)(?=\S)")
BULLET = re.compile(r"[-*\u2022\u00b7]\s+(?=\S)")
SEPARATOR = re.compile(r"\s*[\t;\uff1b]\s*")
FORMS = 'Put one category on each line, such as "cup, mug" (a name and its synonym).'


def category_lines(text: str, source: str) -> list[Line]:
    """The categories in a file's text.

    Plain lines, which may be numbered ("1. cat", "0: cat"), bulleted or quoted, with a header or without; tables parted
    by commas, semicolons or tabs; JSON and YAML lists, id-to-name tables and `data.yaml` of YOLO; Label Studio's XML.

    Args:
        text: the file's text.
        source: the file, for messages.

    Raises:
        InvalidInputError: it is of none of these forms; names the line and what stands there.
    """
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")  # "\r" alone is old Macs'
    suffix, start = source.rpartition(".")[2].lower(), text.lstrip()[:1]
    if suffix == "json" or start in ("[", "{"):
        return _entries(_loaded(json.loads, text, source, "JSON"), source)
    if suffix in ("yaml", "yml"):
        return _entries(_loaded(yaml.safe_load, text, source, "YAML"), source)
    if start == "<":
        return _label_studio(text, source)
    lines = [Line(number, line.lstrip()) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [line for line in lines if line.text and not line.text.startswith("#")]
    if suffix in ("csv", "tsv") or any(line.text.count('"') >= 2 for line in lines):
        return _table(lines, "\t" if suffix == "tsv" else None, source)
    return _plain(lines, source)


def _plain(lines: list[Line], source: str) -> list[Line]:
    """Lines of a text file, without what all of them begin with."""
    if len(lines) > 1 and lines[0].text.strip().casefold() in HEADERS:
        lines = lines[1:]
    found = [NUMBERED.match(line.text) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) == len(lines) > 0 and numbers == [*range(numbers[0], numbers[0] + len(numbers))] and numbers[0] < 2:
        lines = [Line(line.number, line.text[match.end() :]) for line, match in zip(lines, found, strict=True) if match]
    elif lines and all(BULLET.match(line.text) for line in lines):
        lines = [Line(line.number, BULLET.sub("", line.text, count=1)) for line in lines]
    if len(lines) == 1 and len(parts := SEPARATOR.split(lines[0].text)) > 2:
        raise InvalidInputError(
            f"{source}, line {lines[0].number}: {lines[0].text[:80]!r} looks like {len(parts)} categories. {FORMS}"
        )
    return [Line(number, SEPARATOR.sub(", ", text)) for number, text in lines]


def _table(lines: list[Line], delimiter: str | None, source: str) -> list[Line]:
    """Rows of a table: the column of names and, behind it, synonyms; numbers in front of it don't count."""
    if delimiter is None:
        heads = "".join(line.text for line in lines)
        delimiter = max(",;\t", key=heads.count) if lines else ","
    try:
        rows = [next(csv.reader([line.text], delimiter=delimiter, skipinitialspace=True)) for line in lines]
    except csv.Error as error:
        raise InvalidInputError(f"{source} is no valid table: {error}. {FORMS}") from error
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    name, synonyms = 0, slice(1, None)
    if rows and any(cell.casefold() in HEADERS for cell in rows[0]):
        header = [cell.casefold() for cell in rows[0]]
        name = next(column for column, cell in enumerate(header) if cell in HEADERS)
        known = header.index("synonyms") if "synonyms" in header else None
        synonyms = slice(known, known + 1) if known is not None else slice(0, 0)
        rows, lines = rows[1:], lines[1:]
    elif rows and all(len(row) > 1 and row[0].isdigit() for row in rows):
        name, synonyms = 1, slice(2, None)
    names = [[*row[name : name + 1], *row[synonyms]] for row in rows]
    return [Line(line.number, ", ".join(filter(None, cells))) for line, cells in zip(lines, names, strict=True)]


def _loaded(load: Any, text: str, source: str, kind: str) -> Any:
    try:
        return load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{source} is no valid {kind}: {' '.join(str(error).split())}. {FORMS}") from error


def _entries(content: Any, source: str) -> list[Line]:
    """The names in a list, in a table from ids to names or back, or under `names`, `categories`, `id2label`."""
    if isinstance(content, Mapping):
        for key in ("names", "categories", "labels", "classes", "id2label"):
            if isinstance(content.get(key), list | Mapping):
                return _entries(content[key], source)
        if content and all(isinstance(value, int) for value in content.values()):
            content = sorted(content, key=lambda name: content[name])
        elif content and all(str(key).isdigit() for key in content):
            content = [content[key] for key in sorted(content, key=int)]
        else:
            raise InvalidInputError(f"{source} holds no list of names, but {', '.join(map(str, content))}. {FORMS}")
    if not isinstance(content, list):
        raise InvalidInputError(f"{source} holds no list of names, but {content!r:.80}. {FORMS}")
    return [Line(number, _entry(entry, source, number)) for number, entry in enumerate(content, start=1)]


def _entry(entry: Any, source: str, number: int) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        synonyms = entry.get("synonyms")
        names = [entry["name"], *(synonyms if isinstance(synonyms, list) else [])]
        described = f": {entry['description']}" if entry.get("description") else ""
        return ", ".join(map(str, names)) + described
    raise InvalidInputError(f"{source}, entry {number}: {entry!r:.80} is no name. {FORMS}")


def _label_studio(text: str, source: str) -> list[Line]:
    """The values of the labels in a labeling interface of Label Studio."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidInputError(f"{source} is no valid XML: {error}. {FORMS}") from error
    values: Iterable[str | None] = (
        element.get("value") for element in root.iter() if element.tag in ("Label", "Choice", "RectangleLabels")
    )
    found = [value for value in values if value and not value.startswith("$")]
    if not found:
        raise InvalidInputError(f"{source} holds no <Label> or <Choice> with a value. {FORMS}")
    return [Line(number, value) for number, value in enumerate(found, start=1)]
