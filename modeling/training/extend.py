"""New categories for a trained model, which stays as it is for the old ones."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wordsight.description_gen.categories import Category, check_categories
from wordsight.description_gen.dataset import (
    Knowledge,
    knowledge_of,
    label_texts,
    multi_hot,
    normalize_texts,
    with_categories,
    with_knowledge,
)
from wordsight.utils.errors import InvalidInputError, check_not_empty, needs
from wordsight.utils.files import CARD, KNOWLEDGE, TRAINING_LOG, copy_side_files

from ..configuration_wordsight import WordsightConfig
from ..encoders import TextEncoder
from ..grouping import attribute_embeddings, cooccurrence_graph, cooccurring_categories
from ..loading import load_model
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..readable_names import warn_of_unreadable_names
from ..score_statistics import choose_compounds
from .checkpoints import drop
from .settings import SETTINGS, arguments_of
from .trainer import PromptTrainer

with needs("train"):
    from sklearn.metrics.pairwise import cosine_similarity


def extend_model(
    model_folder: Path | str,
    texts: Path | str,
    out: Path | str,
    *,
    epochs: int | None = None,
    mixed_precision: str | None = None,
) -> WordsightForMultiLabelImageClassification:
    """Adds the categories of sentences that a model does not know yet.

    A new category joins the attribute group whose members it looks most like and the co-occurrence group that it is
    most seen with. Its own tokens are learned from the sentences, against all categories; all other tokens, and the
    embeddings, thresholds and scores of the old categories, stay to the bit.

    Args:
        model_folder: a model's folder, with its `training_log.json`.
        texts: labeled sentences about the new categories (old ones may be among them): the folder that `wordsight
            describe` wrote, or whatever else `train_prompts` takes.
        out: folder for the extended model.
        epochs: passes over the sentences; all else as the model was trained.
        mixed_precision: "no", "fp16" or "bf16"; by default as the model was trained.

    Returns:
        The extended model, on the CPU.

    Raises:
        InvalidInputError: there is no new category, the model's scores depend on statistics of photos, or a folder
            can't be used.

    Example:
        >>> from wordsight import extend_model
        >>> model = extend_model("my-model", "new-texts", "my-larger-model", epochs=2)
        >>> model.config.category_names
        ['cat', 'dog', 'car', 'cup', 'rocket']
    """
    check_not_empty(model_folder, "model_folder")
    check_not_empty(out, "out")
    model_folder, out = Path(model_folder), Path(out)
    old = load_model(str(model_folder))
    option, classified = old.config.score_standardization, bool(old.config.photo_classifier_weight)
    if old.config.calibration_photos and (option != "none" or classified):
        depend = "a classifier of photos" if classified else f"statistics of photos (score standardization {option!r})"
        raise InvalidInputError(
            f"The scores of {model_folder} depend on {depend}, which new categories lack. Run "
            "`wordsight calibrate --use none` first, and calibrate again after this."
        )
    if old.config.head != "prompts" or old.config.memory_size:
        what = "a classifier in place of prompts" if old.config.head != "prompts" else "a memory of sentences"
        raise InvalidInputError(
            f"{model_folder} has {what}, which is made of all sentences at once. Train a new model on the old and the "
            "new sentences together."
        )
    if out.resolve() == model_folder.resolve():
        raise InvalidInputError("Name another folder for the extended model: --out.")
    log_path = model_folder / TRAINING_LOG
    if not log_path.is_file():
        raise InvalidInputError(f"{model_folder} lacks {TRAINING_LOG}, which says how its prompts were learned.")
    old_log = json.loads(log_path.read_text(encoding="utf-8"))
    dataset, told = normalize_texts(texts)
    known = {category.name for category in old.config.categories}
    categories = [*old.config.categories, *(category for category in told if category.name not in known)]
    check_categories(categories)
    if len(categories) == len(known):
        raise InvalidInputError(f"The model knows all categories of {texts} already.")
    own = Knowledge.load(model_folder / KNOWLEDGE) if (model_folder / KNOWLEDGE).is_file() else None
    knowledge = merge_knowledge(own, knowledge_of(dataset), categories)
    labels = labels_for_all(list(dataset["text"]), multi_hot(dataset, told), told, categories)

    settings = {name: value for name, value in old_log["training"].items() if name in SETTINGS}
    template, seed = settings.pop("template", None), settings.get("seed", 0)
    # Weight decay would change tokens that get no gradient.
    settings |= {"weight_decay": 0.0, "epochs": epochs or settings.get("epochs")}
    settings |= {"mixed_precision": mixed_precision or settings.get("mixed_precision")}
    args = arguments_of(settings, out)
    text_encoder = old.load_text_encoder()
    warn_of_unreadable_names(categories[len(known) :], text_encoder)
    config = extended_config(old.config, categories, knowledge, labels, text_encoder)
    model = WordsightForMultiLabelImageClassification(config, old.image_encoder, text_encoder)
    model.initialize_prompts(template or "", seed=seed)
    model.prompts.adopt(old.prompts)
    sentences = dataset.remove_columns("labels").add_column("labels", labels.tolist())
    sentences = with_knowledge(sentences, knowledge) if knowledge else with_categories(sentences, categories)
    drop(out)  # checkpoints of a run that was interrupted
    trainer = PromptTrainer(model=model, args=args, train_dataset=sentences)
    trainer.train()
    assert trainer.log_content is not None
    trainer.log_content["example_sentences"] |= old_log.get("example_sentences", {})
    model.config.provenance = old.config.provenance
    if trainer.args.should_save and not (out / CARD).exists():
        copy_side_files(model_folder, out, [CARD])  # with what a person wrote in it
    model.cpu()
    keep_old_categories(model, old.cpu())
    trainer.save_model()
    if trainer.args.should_save:
        drop(out)
    return model.eval()


def merge_knowledge(
    known: Knowledge | None, told: Knowledge | None, categories: Sequence[Category]
) -> Knowledge | None:
    """What was said of the old categories and of the new ones.

    Args:
        known: of the old categories.
        told: of the new ones, and perhaps of old ones too.
        categories: all of them, in the order of the logits.
    """
    if known is None or told is None:
        found = known or told
        return replace(found, categories=list(categories)) if found else None
    return replace(
        known,
        categories=list(categories),
        attributes=told.attributes | known.attributes,
        scenes=told.scenes | known.scenes,
        co_occurrence=told.co_occurrence | known.co_occurrence,
        attribute_values=told.attribute_values | known.attribute_values,
        companions=told.companions | known.companions,
    )


def labels_for_all(
    texts: Sequence[str], labels: NDArray[np.int8], told: Sequence[Category], categories: Sequence[Category]
) -> NDArray[np.int8]:
    """Labels (N, K) for old and new categories: the sentences' own where they have them, else what they mention.

    Args:
        texts: N sentences.
        labels: (N, T) their own labels.
        told: the T categories of those.
        categories: all K categories.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # most old categories are in no sentence
        all_labels = multi_hot(label_texts(list(texts), categories), categories)
    number = {category.name: index for index, category in enumerate(categories)}
    all_labels[:, [number[category.name] for category in told]] = labels
    return all_labels


def extended_config(
    old: WordsightConfig,
    categories: Sequence[Category],
    knowledge: Knowledge | None,
    labels: NDArray[np.int8],
    text_encoder: TextEncoder,
) -> WordsightConfig:
    """The old configuration with the new categories in it, each in an old group of either kind."""
    names, known = [category.name for category in categories], old.category_names
    similarity = cosine_similarity(attribute_embeddings(categories, knowledge, text_encoder))
    graph = cooccurrence_graph(names, knowledge.co_occurrence if knowledge else {}, labels)
    config = copy.deepcopy(old)
    assert config.attribute_groups is not None and config.cooccurrence_groups is not None
    assert old.attribute_groups is not None and old.cooccurrence_groups is not None
    for k, name in enumerate(names[len(known) :], start=len(known)):
        alike = [similarity[k, [known.index(member) for member in group]].mean() for group in old.attribute_groups]
        config.attribute_groups[int(np.argmax(alike))].append(name)
        ties = [
            sum(graph.get_edge_data(name, member, {"weight": 0.0})["weight"] for member in group)
            for group in old.cooccurrence_groups
        ]
        # Nothing known of what it is seen with: as the old category that looks most like it.
        nearest = known[int(similarity[k, : len(known)].argmax())]
        group = int(np.argmax(ties)) if any(ties) else old.group_index("cooccurrence_groups")[known.index(nearest)]
        config.cooccurrence_groups[group].append(name)
    compounds = [[names[k] for k in members] for members in choose_compounds(labels)]
    fresh = [members for members in compounds if set(members) - set(known)]
    return WordsightConfig(
        **config.to_dict()
        | {
            "id2label": dict(enumerate(names)),
            "label2id": None,
            "synonyms": {category.name: list(category.synonyms) for category in categories if category.synonyms},
            "descriptions": {category.name: category.description for category in categories if category.description},
            "cooccurring_categories": cooccurring_categories(graph) | (old.cooccurring_categories or {}),
            "compounds": [*(old.compounds or []), *fresh],
            "calibration_photos": 0,
            "score_scale": None,
            "score_threshold": None,
        }
    )


@torch.no_grad()
def keep_old_categories(
    model: WordsightForMultiLabelImageClassification, old: WordsightForMultiLabelImageClassification
) -> None:
    """Puts back what the mean shift and calibration over more categories changed for the old ones.

    Where a photo's level and spread are taken out of its scores, more categories change these: thresholds stay as they
    are fitted anew.
    """
    count = len(old.config.category_names)
    model.global_embeddings[:count] = old.global_embeddings
    model.local_embeddings[:count] = old.local_embeddings
    if old.config.score_standardization != "none":
        return
    for field in ("score_scale", "score_threshold"):
        setattr(model.config, field, getattr(old.config, field) + getattr(model.config, field)[count:])
