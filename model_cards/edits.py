"""A card that is written anew keeps what a person changed in it.

Generated text stands in blocks, `<!-- wordsight:begin NAME HASH -->` to `<!-- wordsight:end -->`; what lies between
them is a person's. The hash tells a block that was left alone, and is replaced, from one that was edited, and is kept.
A comment at the end, the record, holds such hashes of the metadata's values.
"""

from __future__ import annotations

import json
import re
from typing import Any

from huggingface_hub import CardData, RepoCard

from wordsight.cache import fingerprint

BLOCK = re.compile(
    r"<!-- wordsight:begin (?P<name>[\w-]+)(?: (?P<hash>[0-9a-f]+))? -->\n(?P<text>.*?)<!-- wordsight:end -->",
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

    A block that was edited stays as it is, one that was deleted stays away, and so it is with each key of the metadata;
    tags of both are joined. A card with text but without a block is all a person's: only metadata is added to it.

    Args:
        existing: a card as it is found.
        fresh: a card as `sign` gives it.

    Raises:
        ValueError, yaml.YAMLError: the metadata of `existing` is no YAML mapping.
    """
    old_metadata, old_text = _parse(existing)
    new_metadata, new_text = _parse(fresh)
    known = _record(existing)
    metadata = _merge_metadata(old_metadata, new_metadata, known.get("metadata", {}))
    if not old_text.strip():
        return _compose(metadata, new_text, _record(fresh))
    if not BLOCK.search(old_text):
        return _compose(metadata, old_text)
    return _compose(metadata, _merge_blocks(old_text, new_text, known.get("blocks", [])), _record(fresh))


def for_push(fresh: str, local: str | None, published: str | None) -> tuple[str, bool]:
    """The card to publish, of what was generated, what was edited here and what was edited on the Hub.

    Args:
        fresh: a card as `sign` gives it.
        local: the card in the model's folder.
        published: the card that is on the Hub.

    Returns:
        The card, and whether both were edited since the last push, so that the Hub's was kept and edits in the folder
        wait for a person.

    Raises:
        ValueError, yaml.YAMLError: the metadata of a card is no YAML mapping.
    """
    mine = keep_edits(local, fresh) if local is not None else fresh
    card, conflict = mine, False
    if published is not None:
        # What a person had written here when the published card was pushed.
        pushed = _record(published).get("local")
        changed_here = _edits(mine) != (pushed or _edits(fresh))
        changed_there = _edits(published) != pushed and bool(_parse(published)[1].strip())
        conflict = changed_here and changed_there
        if conflict or not changed_here:
            card = keep_edits(published, fresh)
        elif pushed is None:  # a repository made on the Hub, with metadata alone
            card = keep_edits(published, mine)
    metadata, text = _parse(card)
    record = _record(card) | {"local": _edits(mine)} if BLOCK.search(text) else None
    return _compose(metadata, text, record), conflict


def is_own_words(card: str) -> bool:
    """Whether a card has text, and none of it is wordsight's."""
    return bool(card.strip()) and not BLOCK.search(card.replace("\r\n", "\n"))


def _edits(card: str) -> str:
    """A hash of what a person wrote in a card: it does not change when blocks or metadata are generated anew."""

    def name_if_untouched(block: re.Match[str]) -> str:
        return f"<{block['name']}>" if _hash(block["text"]) == block["hash"] else block["text"]

    metadata, text = _parse(card)
    known = _record(card).get("metadata", {})
    changed = {key: value for key, value in metadata.items() if known.get(key) != _hash(value)}
    return _hash([BLOCK.sub(name_if_untouched, text).strip(), changed, sorted(known.keys() - metadata.keys())])


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
    """Metadata, and text without the record."""
    parsed = RepoCard(card.replace("\r\n", "\n"), ignore_metadata_errors=True)
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
