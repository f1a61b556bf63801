"""Where categories are seen: which scenes a language model finds likely, and which suit several categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .co_occurrence import Weights
from .plausibility import FILLERS
from .tokens import tokens

LIKELY_SCENES = 5  # of a category


def likely_scenes(scores: Weights, categories: int, scenes: Sequence[str]) -> list[list[str]]:
    """Each category's likeliest scenes, in comparison with other things: the most telling first.

    A scene's log-probability after a category, less its mean over all things: "in a park" is likely after any.

    Args:
        scores: (things, scenes) log-probabilities of texts about a thing that end with a scene; the categories' rows
            come first, and those of other things after them.
        categories: how many are categories.
        scenes: the scenes.

    Example:
        >>> likely_scenes(np.array([[-1.0, -2.0], [-1.0, -5.0], [-1.0, -5.0]]), 1, ["in a park", "in a barn"])
        [['in a barn', 'in a park']]
    """
    telling = (scores - scores.mean(axis=0))[:categories]
    return [[scenes[index] for index in np.argsort(-row, kind="stable")[:LIKELY_SCENES]] for row in telling]


def scene_weights(scenes: Iterable[Sequence[str]]) -> dict[str, float]:
    """A weight for each scene: one, divided by the number of categories that it suits by the words of theirs.

    Args:
        scenes: each category's scenes.

    Example:
        >>> scene_weights([["a sofa", "a large park"], ["a park"]])
        {'a sofa': 1.0, 'a large park': 0.5, 'a park': 0.5}
    """
    return {scene: 1 / max(1, categories) for scene, categories in _suited(list(scenes)).items()}


def common_scenes(scenes: Sequence[Sequence[str]]) -> list[str]:
    """The scenes that suit most members of a group, by the words that members' scenes share; else the first one's.

    Args:
        scenes: each member's scenes, the first member's first.

    Example:
        >>> common_scenes([["a sofa", "a kitchen table"], ["a kitchen"]])
        ['a kitchen table', 'a kitchen']
    """
    suits = _suited(scenes)
    most = max(suits.values(), default=0)
    return [scene for scene, members in suits.items() if members == most] if most > 1 else list(scenes[0])


def _suited(scenes: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many categories each scene suits: those that have a scene with a word of it."""
    words = [{word for scene in of for word in _content(scene)} for of in scenes]
    return {scene: sum(bool(_content(scene) & known) for known in words) for of in scenes for scene in of}


def _content(scene: str) -> set[str]:
    return set(tokens(scene)) - FILLERS
