"""A model's folder, completed: the pictures that the card shows, and the card itself."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wordsight.model_cards import write_model_card
from wordsight.utils.errors import MissingDependencyError
from wordsight.utils.files import (
    CATEGORIES_PICTURE,
    CURVE_PICTURE,
    TEXTS_PICTURES,
    TRAINING_LOG,
    read_evaluations,
    read_json,
)

if TYPE_CHECKING:
    from datasets import Dataset

PICTURE_DPI = 80  # a picture of some 20 kB, beside a model of some hundred


def write_card_and_pictures(folder: str | os.PathLike[str]) -> Path:
    """Writes `README.md` and its pictures beside a model, from the files there; edits of a person in it are kept.

    `PromptTrainer` and `wordsight calibrate`, `evaluate` and `extend` call it when they have changed the folder.

    Args:
        folder: a model's folder, as `save_pretrained` or `PromptTrainer.save_model` writes it.

    Returns:
        The card's path.

    Raises:
        InvalidInputError: the metadata of the card that is there is not valid YAML.

    Example:
        >>> from wordsight.hub.folder import write_card_and_pictures
        >>> write_card_and_pictures("demo-output/model")  # doctest: +SKIP
        PosixPath('demo-output/model/README.md')
    """
    folder = Path(folder)
    draw_pictures(folder)
    return write_model_card(folder)


def draw_pictures(folder: Path) -> None:
    """Draws training curve and average precisions, as far as the folder's files have them and matplotlib is there.

    Args:
        folder: a model's folder.
    """
    from wordsight.plotting import plot_average_precision, plot_training_curves

    log, evaluations = read_json(folder / TRAINING_LOG), read_evaluations(folder)
    try:
        if log.get("history"):
            plot_training_curves(log).savefig(folder / CURVE_PICTURE, dpi=PICTURE_DPI)
        if evaluations:
            plot_average_precision({"evaluations": evaluations}).savefig(folder / CATEGORIES_PICTURE, dpi=PICTURE_DPI)
        elif on_sentences := log.get("validation_ap"):
            figure = plot_average_precision({"held-out sentences": on_sentences})
            figure.savefig(folder / CATEGORIES_PICTURE, dpi=PICTURE_DPI)
    except MissingDependencyError as error:
        warnings.warn(f"The model card has no pictures. {error}", stacklevel=2)


def draw_texts_pictures(dataset: Dataset, folder: Path) -> list[Path]:
    """Draws which categories of sentences are seen together, if any are and what it takes is installed.

    Args:
        dataset: sentences that know their categories.
        folder: where the pictures go.

    Returns:
        Their paths: those of `TEXTS_PICTURES`, or none.
    """
    from wordsight.plotting import plot_cooccurrence_graph, plot_cooccurrence_matrix
    from wordsight.plotting.cooccurrence import seen_together

    paths = [folder / name for name in TEXTS_PICTURES]
    try:
        graph, communities = seen_together(dataset)
        if not graph.number_of_edges():
            return []
        for plot, path in zip((plot_cooccurrence_matrix, plot_cooccurrence_graph), paths, strict=True):
            plot(graph, communities).savefig(path, dpi=PICTURE_DPI)
    except MissingDependencyError as error:
        warnings.warn(f"The texts' card has no pictures. {error}", stacklevel=2)
        return []
    return paths
