"""A card that is generated anew keeps what a person changed in it.

Generated text is in blocks, `<!-- wordsight:begin NAME HASH -->` to `<!-- wordsight:end -->`; all text between them is
a person's. The hash tells a block that nobody touched, and is replaced, from one that was edited, and is kept. A
comment at the end, the record, holds such hashes of the metadata's values. huggingface_hub reads and writes the card;
what its own `metadata_update` lacks is a second author, whose edits are kept.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import yaml
from huggingface_hub import CardData, RepoCard

from wordsight.utils.cache import fingerprint
from wordsight.utils.errors import InvalidInputError

BLOCK = re.compile(
    r"<!-- wordsight:begin (?P<name>[\w-]+)(?: (?P<hash>[0-9a-f]+))? -->\n(?P<text>.*?)<!-- wordsight:end -->",
    re.DOTALL,
)
RECORD = re.compile(r"\n*<!-- wordsight:record (?P<json>\{.*?\}) -->\n*")
# The card that wordsight 0.1 wrote, which had no blocks.
_OF_FORMAT_1 = re.compile(
    r"# Multi-label image classification into \d+ categories, learned from texts\n.*"
    r"corrected them\. Measure on photos of your own before you rely on it\.",
    re.DOTALL,
)


class Card:
    """A card taken apart.

    Attributes:
        metadata: what is at the top, as YAML.
        text: the rest, without the record.
        record: "metadata" and "blocks" as generated; on the Hub also "local" and "pushed" (see `for_push`).

    Raises:
        InvalidInputError: the metadata is not a YAML mapping of names.
    """

    def __init__(self, content: str) -> None:
        try:
            parsed = RepoCard(content.replace("\r\n", "\n"), ignore_metadata_errors=True)
        except (ValueError, TypeError, yaml.YAMLError) as error:
            raise InvalidInputError(
                f"The metadata at the top of README.md is not valid YAML: {error}. Correct it."
            ) from error
        self.metadata: dict[str, Any] = parsed.data.to_dict()
        self.text = RECORD.sub("\n", parsed.text)
        self.record: dict[str, Any] = {}
        if match := RECORD.search(content):
            with suppress(ValueError):  # a person edited it: as if there were none
                self.record = dict(json.loads(match["json"]))

    def __str__(self) -> str:
        comment = f"\n<!-- wordsight:record {json.dumps(self.record)} -->\n" if self.record else ""
        return f"---\n{CardData(**self.metadata).to_yaml()}\n---\n\n{self.text.strip()}\n{comment}"

    @property
    def blocks(self) -> dict[str, re.Match[str]]:
        """The blocks by name."""
        return {block["name"]: block for block in BLOCK.finditer(self.text)}

    @property
    def is_own_words(self) -> bool:
        """Whether there is text, and all of it is a person's."""
        return bool(self.text.strip()) and not self.blocks and not _OF_FORMAT_1.fullmatch(self.text.strip())

    @property
    def edited_metadata(self) -> dict[str, Any]:
        """The keys whose values are not as they were generated."""
        known = self.record.get("metadata", {})
        return {key: value for key, value in self.metadata.items() if known.get(key) != _hash(value)}

    @property
    def edits(self) -> str:
        """A hash of what a person changed; generating blocks or metadata anew does not change it."""
        words = BLOCK.sub(lambda block: "" if _is_untouched(block) else block["text"], self.text).split()
        deleted = [
            *sorted(self.record.get("metadata", {}).keys() - self.metadata.keys()),
            *sorted({*self.record.get("blocks", [])} - self.blocks.keys()),
        ]
        return _hash([words, self.edited_metadata, deleted])

    def renew(self, fresh: Card) -> Card:
        """The card with what is generated of `fresh`.

        A block that was edited stays as it is, one that was deleted stays away, and so it is with each key of the
        metadata. A card that is all a person's gets metadata only.
        """
        renewed = Card("")
        renewed.metadata = self._renewed_metadata(fresh.metadata)
        renewed.text, renewed.record = fresh.text, fresh.record
        if self.is_own_words:
            renewed.text, renewed.record = self.text, {}
        elif self.blocks:
            renewed.text = self._renewed_text(fresh.blocks)
        return renewed

    def _renewed_metadata(self, fresh: dict[str, Any]) -> dict[str, Any]:
        known, edited = self.record.get("metadata", {}), self.edited_metadata
        merged = {}
        for key in dict.fromkeys([*fresh, *self.metadata]):
            if key in edited:
                merged[key] = edited[key]
                if key == "tags" and key not in known and isinstance(edited[key], list):
                    merged[key] = list(dict.fromkeys([*fresh.get(key, []), *edited[key]]))
            elif key in fresh and (key in self.metadata or key not in known):
                merged[key] = fresh[key]
        return merged

    def _renewed_text(self, fresh: dict[str, re.Match[str]]) -> str:
        """The text with its untouched blocks as they are in the fresh one; blocks that are new come last."""

        def renew(block: re.Match[str]) -> str:
            new = fresh[block["name"]].group() if block["name"] in fresh else ""
            return new if _is_untouched(block) else block.group()

        known = {*self.blocks, *self.record.get("blocks", [])}
        added = [block.group() for name, block in fresh.items() if name not in known]
        return "\n\n".join([BLOCK.sub(renew, self.text).rstrip(), *added]) + "\n"


def sign(content: str) -> str:
    """A freshly rendered card with the hashes by which later edits are seen."""
    card = Card(content)
    card.record = {
        "metadata": {key: _hash(value) for key, value in card.metadata.items()},
        "blocks": [*card.blocks],
    }
    card.text = BLOCK.sub(
        lambda block: (
            f"<!-- wordsight:begin {block['name']} {_hash(block['text'])} -->\n{block['text']}<!-- wordsight:end -->"
        ),
        card.text,
    )
    return str(card)


def keep_edits(existing: str, fresh: str) -> str:
    """A card with what is generated of `fresh` and what a person wrote of `existing` (see `Card.renew`).

    Args:
        existing: a card as it is found.
        fresh: a card as `sign` gives it.

    Raises:
        InvalidInputError: the metadata of `existing` is not a YAML mapping.
    """
    return str(Card(existing).renew(Card(fresh)))


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
        InvalidInputError: the metadata of a card is not a YAML mapping.
    """
    new = Card(fresh)
    mine = Card(str(Card(local).renew(new))) if local is not None else new
    theirs = Card(published or "")
    changed_here = mine.edits != theirs.record.get("local", new.edits)
    changed_there = published is not None and theirs.edits != theirs.record.get("pushed")
    conflict = changed_here and changed_there and bool(theirs.text.strip()) and mine.edits != theirs.edits
    is_theirs = published is not None and (conflict or not changed_here)
    card = Card(str(theirs.renew(new))) if is_theirs else Card(str(mine))
    if not is_theirs:  # those keys that a person set there, and nobody set here
        here = mine.edited_metadata
        card.metadata |= {key: value for key, value in theirs.edited_metadata.items() if key not in here}
    for key, value in (given or {}).items():
        added = [*card.metadata.get(key, []), *value] if isinstance(value, list) else value
        card.metadata[key] = list(dict.fromkeys(added)) if isinstance(value, list) else added
    if not card.blocks:
        card.record = {}
    # Edits that are on the Hub alone stay different from what this side knows.
    pushed = theirs.record.get("pushed", "") if changed_there and is_theirs else card.edits
    card.record |= {"local": mine.edits, "pushed": pushed}
    return str(card), conflict


def linked_datasets(content: str) -> list[str]:
    """The datasets that a card's metadata names."""
    named = Card(content).metadata.get("datasets") or []
    return [named] if isinstance(named, str) else list(named)


def _is_untouched(block: re.Match[str]) -> bool:
    return _hash(block["text"]) == block["hash"]


def _hash(value: Any) -> str:
    return fingerprint(json.dumps(value, sort_keys=True, default=str).encode())
