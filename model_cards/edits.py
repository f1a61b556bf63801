"""A card that is written anew keeps what a person changed in it.

Generated text stands in blocks, `<!-- wordsight:begin NAME HASH -->` to `<!-- wordsight:end -->`; what lies between
them is a person's. The hash tells a block that was left alone, and is replaced, from one that was edited, and is kept.
A comment at the end, the record, holds such hashes of the metadata's values.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from huggingface_hub import CardData, RepoCard

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError

BLOCK = re.compile(
    r"<!-- wordsight:begin (?P<name>[\w-]+)(?: (?P<hash>[0-9a-f]+))? -->\n(?P<text>.*?)<!-- wordsight:end -->",
    re.DOTALL,
)
# The card that wordsight 0.1 wrote, which had no blocks.
_OF_FORMAT_1 = re.compile(
    r"# Multi-label image classification into \d+ categories, learned from texts\n.*"
    r"corrected them\. Measure on photos of your own before you rely on it\.",
    re.DOTALL,
)
RECORD = re.compile(r"\n*<!-- wordsight:record (?P<json>\{.*?\}) -->\n*")


def sign(card: str) -> str:
    """A freshly rendered card with the hashes by which later edits are seen."""
    metadata, text = _parse(card)
    record = {
        "metadata": {key: _hash(value) for key, value in metadata.items()},
        "blocks": [block["name"] for block in BLOCK.finditer(text)],
    }

    def signed(block: re.Match[str]) -> str:
        name, text = block["name"], block["text"]
        return f"<!-- wordsight:begin {name} {_hash(text)} -->\n{text}<!-- wordsight:end -->"

    return _compose(metadata, BLOCK.sub(signed, text), record)


def keep_edits(existing: str, fresh: str) -> str:
    """A card with what is generated of `fresh` and what a person wrote of `existing`.

    A block that was edited stays as it is, one that was deleted stays away, and so it is with each key of the metadata.
    A card with text but without a block is all a person's: only metadata is added to it.

    Args:
        existing: a card as it is found.
        fresh: a card as `sign` gives it.

    Raises:
        InvalidInputError: the metadata of `existing` is no YAML mapping.
    """
    old_metadata, old_text = _parse(existing)
    new_metadata, new_text = _parse(fresh)
    known = _record(existing)
    metadata = _merge_metadata(old_metadata, new_metadata, known.get("metadata", {}))
    if not old_text.strip() or _OF_FORMAT_1.fullmatch(old_text.strip()):
        return _compose(metadata, new_text, _record(fresh))
    if not BLOCK.search(old_text):
        return _compose(metadata, old_text)
    return _compose(metadata, _merge_blocks(old_text, new_text, known.get("blocks", [])), _record(fresh))


def for_push(
    fresh: str, local: str | None, published: str | None, given: dict[str, Any] | None = None
) -> tuple[str, bool]:
    """The card to publish, of what was generated, what was edited here and what was edited on the Hub.

    Its record says what a person had written here ("local"), and what is published if nobody edits it there ("pushed").

    Args:
        fresh: a card as `sign` gives it.
        local: the card in the model's folder.
        published: the card that is on the Hub.
        given: metadata that is asked for with this push; it counts as a person's, and is added to lists.

    Returns:
        The card, and whether both were edited since the last push, so that the Hub's was kept and edits in the folder
        wait for a person.

    Raises:
        InvalidInputError: the metadata of a card is no YAML mapping.
    """
    mine = keep_edits(local, fresh) if local is not None else fresh
    card, is_theirs, changed_there, conflict, record = mine, False, False, False, {}
    if published is not None:
        record = _record(published)
        changed_here = _edits(mine) != record.get("local", _edits(fresh))
        changed_there = _edits(published) != record.get("pushed")
        has_words = bool(_parse(published)[1].strip())
        conflict = changed_here and changed_there and has_words and _edits(mine) != _edits(published)
        is_theirs = conflict or not changed_here
        card = keep_edits(published, fresh) if is_theirs else _with_metadata_of(mine, published)
    metadata, text = _parse(card)
    for key, value in (given or {}).items():
        metadata[key] = list(dict.fromkeys([*metadata.get(key, []), *value])) if isinstance(value, list) else value
    own = _record(card) if BLOCK.search(text) else {}
    card = _compose(metadata, text, own)
    # Edits that are on the Hub alone stay different from what this side knows.
    pushed = record.get("pushed", "") if changed_there and is_theirs else _edits(card)
    return _compose(metadata, text, own | {"local": _edits(mine), "pushed": pushed}), conflict


def linked_datasets(card: str) -> list[str]:
    """The data sets that a card's metadata names."""
    named = _parse(card)[0].get("datasets") or []
    return [named] if isinstance(named, str) else list(named)


def is_own_words(card: str) -> bool:
    """Whether a card has text, and none of it is wordsight's."""
    _, text = _parse(card)
    return bool(text.strip()) and not BLOCK.search(text) and not _OF_FORMAT_1.fullmatch(text.strip())


def _with_metadata_of(mine: str, published: str) -> str:
    """A card with those keys that a person set in the published one, and nobody set here."""
    metadata, text = _parse(mine)
    theirs, here = _changed_metadata(published), _changed_metadata(mine)
    merged = metadata | {key: value for key, value in theirs.items() if key not in here}
    return _compose(merged, text, _record(mine))


def _changed_metadata(card: str) -> dict[str, Any]:
    """The keys whose values are not as they were generated."""
    known = _record(card).get("metadata", {})
    return {key: value for key, value in _parse(card)[0].items() if known.get(key) != _hash(value)}


def _edits(card: str) -> str:
    """A hash of what a person wrote in a card: it does not change when blocks or metadata are generated anew."""
    metadata, text = _parse(card)
    record = _record(card)
    words = BLOCK.sub(lambda block: "" if _hash(block["text"]) == block["hash"] else block["text"], text).split()
    left = {block["name"] for block in BLOCK.finditer(text)}
    deleted = [
        *sorted(record.get("metadata", {}).keys() - metadata.keys()),
        *sorted({*record.get("blocks", [])} - left),
    ]
    return _hash([words, _changed_metadata(card), deleted])


def _merge_blocks(old: str, new: str, known: list[str]) -> str:
    """The old text with its untouched blocks as they are in the new one; blocks that were not known then come last."""
    blocks = {block["name"]: block.group() for block in BLOCK.finditer(new)}
    found = {block["name"] for block in BLOCK.finditer(old)}

    def renew(block: re.Match[str]) -> str:
        return blocks.get(block["name"], "") if _hash(block["text"]) == block["hash"] else block.group()

    added = [block for name, block in blocks.items() if name not in found and name not in known]
    return "\n\n".join([BLOCK.sub(renew, old).rstrip(), *added]) + "\n"


def _merge_metadata(old: dict[str, Any], new: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    merged = {}
    for key in dict.fromkeys([*new, *old]):
        if key in old and _hash(old[key]) != known.get(key):  # a person's
            merged[key] = old[key]
            if key == "tags" and key not in known and isinstance(old[key], list):
                merged[key] = list(dict.fromkeys([*new.get(key, []), *old[key]]))
        elif key in new and (key in old or key not in known):
            merged[key] = new[key]
    return merged


def _parse(card: str) -> tuple[dict[str, Any], str]:
    """Metadata, and text without the record.

    Raises:
        InvalidInputError: the metadata is no YAML mapping of names.
    """
    try:
        parsed = RepoCard(card.replace("\r\n", "\n"), ignore_metadata_errors=True)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise InvalidInputError(f"The metadata at the top of README.md is no valid YAML: {error}. Mend it.") from error
    return parsed.data.to_dict(), RECORD.sub("\n", parsed.text)


def _record(card: str) -> dict[str, Any]:
    match = RECORD.search(card)
    try:
        return dict(json.loads(match["json"])) if match else {}
    except ValueError:  # a person's hand was in it: as if there were none
        return {}


def _compose(metadata: dict[str, Any], text: str, record: dict[str, Any] | None = None) -> str:
    comment = f"\n<!-- wordsight:record {json.dumps(record)} -->\n" if record else ""
    return f"---\n{CardData(**metadata).to_yaml()}\n---\n\n{text.strip()}\n{comment}"


def _hash(value: Any) -> str:
    return fingerprint(json.dumps(value, sort_keys=True, default=str).encode())
