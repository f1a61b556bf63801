"""What a language model said about the categories."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wordsight.utils.errors import InvalidInputError

from .categories import Category

FORMAT_VERSION = 2  # of knowledge.json; 1 had no attribute_values and no companions


@dataclass(frozen=True)
class Knowledge:
    """What a language model said about K categories.

    Attributes:
        categories: the categories, in the order of the labels.
        model: the language model.
        seed: seed of the questions and of sampling.
        attributes: name -> visible attributes, as phrases ("made of wax").
        attribute_values: name -> kind of attribute -> value ("material" -> "wax"); what `attributes` was made from.
        scenes: name -> the places where it is seen.
        companions: name -> what else is in such photos, whether a category or not.
        co_occurrence: name -> other name -> how often both are in the same photo, in [0, 1]; absent means 0.
        language: in which it was said; "" where that was not kept.
        found_by: how scenes and co-occurrence were found: by "answers", "likelihood" or "both"; "" where that was not
            kept.

    Example:
        >>> from wordsight import Category, Knowledge
        >>> knowledge = Knowledge([Category("cat")], "Qwen/Qwen3-8B", seed=0, attributes={"cat": ["pointed ears"]})
        >>> Knowledge.from_dict(knowledge.to_dict()) == knowledge
        True
    """

    categories: list[Category]
    model: str
    seed: int
    attributes: dict[str, list[str]] = field(default_factory=dict)
    scenes: dict[str, list[str]] = field(default_factory=dict)
    co_occurrence: dict[str, dict[str, float]] = field(default_factory=dict)
    attribute_values: dict[str, dict[str, str]] = field(default_factory=dict)
    companions: dict[str, list[str]] = field(default_factory=dict)
    language: str = ""
    found_by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The content of `knowledge.json`."""
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "seed": self.seed,
            "categories": [category.to_dict() for category in self.categories],
            "attributes": self.attributes,
            "attribute_values": self.attribute_values,
            "scenes": self.scenes,
            "companions": self.companions,
            "co_occurrence": self.co_occurrence,
            "language": self.language,
            "found_by": self.found_by,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Knowledge:
        """The reverse of `to_dict`."""
        fields = ("model", "seed", "attributes", "scenes", "co_occurrence")
        categories = [Category.from_dict(category) for category in content["categories"]]
        newer = {name: content.get(name, {}) for name in ("attribute_values", "companions")}
        kept = {name: content.get(name, "") for name in ("language", "found_by")}
        return cls(categories=categories, **{name: content[name] for name in fields}, **newer, **kept)

    def save(self, path: Path) -> None:
        """Writes `knowledge.json`, whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Knowledge:
        """Reads `knowledge.json`.

        Raises:
            InvalidInputError: it is missing, damaged, or of a newer format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["format_version"]
            if version <= FORMAT_VERSION:
                return cls.from_dict(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"{path} can't be read as wordsight's knowledge ({type(error).__name__}: {error}). Run "
                "`wordsight describe` again to write it."
            ) from error
        raise InvalidInputError(
            f"{path} has format {version}; this wordsight reads up to {FORMAT_VERSION}. Upgrade wordsight."
        )
