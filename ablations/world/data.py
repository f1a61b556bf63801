"""Writes a world's sentences and photos as wordsight reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordsight import label_texts
from wordsight.modeling.evaluation.datasets import EvaluationDataset, load_labeled_photos
from wordsight.utils.files import KNOWLEDGE

from .captions import describe
from .scenes import Scene, draw_scene
from .truth import NAMES, World

HIDDEN = -1  # of labels: the photo does not count for the category


@dataclass(frozen=True)
class Photos:
    """Held-out photos of a world.

    Attributes:
        dataset: as `wordsight evaluate` reads them.
        scenes: the truth of each.
    """

    dataset: EvaluationDataset
    scenes: list[Scene]

    def labels_of(self, size: str | None = None, at_edge: bool | None = None) -> NDArray[np.int8]:
        """Labels (N, K) in which only some things count as present; photos with others of a category don't count.

        Args:
            size: of `SIZES`.
            at_edge: whether a centre crop loses them.
        """
        labels = np.zeros((len(self.scenes), len(NAMES)), dtype=np.int8)
        for row, scene in enumerate(self.scenes):
            for thing in scene.things:
                fits = size in (None, thing.size) and at_edge in (None, thing.at_edge)
                labels[row, thing.category] = 1 if fits else HIDDEN
        return labels


def write_texts(world: World, count: int, out: Path, seed: int = 0) -> Path:
    """Writes descriptions as `wordsight describe` does; labels are what wordsight's labeler finds in them.

    Args:
        world: what they are about.
        count: how many; the same text comes once.
        out: the folder.
        seed: of the descriptions.
    """
    if (out / KNOWLEDGE).is_file():
        return out
    kinds: dict[str, str] = {}
    for number in range(count):
        text, _, kind = describe(world, number, seed)
        kinds.setdefault(text, kind)
    dataset = label_texts(list(kinds), world.categories).add_column("kind", list(kinds.values()))
    dataset.save_to_disk(str(out))
    world.knowledge().save(out / KNOWLEDGE)
    return out


def write_photos(world: World, count: int, out: Path, seed: int) -> Photos:
    """Draws photos, and writes them with their labels as `wordsight evaluate --format jsonl` takes them.

    Args:
        world: what is on them.
        count: how many.
        out: the folder; files that are there are those of an earlier run.
        seed: of the photos; 0 and 1 are those that encoders are trained with.
    """
    rng = np.random.default_rng([seed, 2])
    scenes = [draw_scene(world, rng) for _ in range(count)]
    labels = out / "labels.jsonl"
    if not labels.is_file():
        out.mkdir(parents=True, exist_ok=True)
        lines = []
        for row, scene in enumerate(scenes):
            name = f"{row:05}.png"
            Image.fromarray(scene.pixels).save(out / name)
            lines.append(json.dumps({"file_name": name, "labels": [NAMES[thing.category] for thing in scene.things]}))
        (out / "classes.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
        labels.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Photos(load_labeled_photos(out, "jsonl", world.categories), scenes)
