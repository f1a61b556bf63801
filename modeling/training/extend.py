"""New categories for a trained model, which stays as it is for the old ones."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed

from wordsight.description_gen import Category, Knowledge, SentenceLabeler, check_categories, load_texts
from wordsight.utils.errors import InvalidInputError, needs, writing
from wordsight.utils.files import TRAINING_LOG

from ..configuration_wordsight import WordsightConfig
from ..encoders import TextEncoder, load_text_encoder
from ..grouping import attribute_embeddings, cooccurrence_graph
from ..loading import load_model, make_accelerator
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from ..score_statistics import choose_compounds
from .arguments import TrainingConfig
from .data import TrainingTexts, split_texts
from .train import save_model
from .trainer import PromptTrainer, checkpoints

with needs("train"):
    from sklearn.metrics.pairwise import cosine_similarity


def extend_model(
    model_folder: Path | str, texts: Path | str, out: Path | str, *, epochs: int | None = None
) -> WordsightForMultiLabelImageClassification:
    """Adds the categories of a folder of sentences that a model does not know yet.

    A new category joins the attribute group whose members it looks most like and the co-occurrence group that it is
    most seen with. Its own tokens are learned from the sentences, against all categories; all other tokens, and the
    embeddings, thresholds and scores of the old categories, stay to the bit.

    Args:
        model_folder: a model's folder, with its `knowledge.json`.
        texts: folder that `wordsight describe` wrote for the new categories (old ones may be among them).
        out: folder for the extended model.
        epochs: passes over the sentences; all else as the model was trained.

    Raises:
        InvalidInputError: there is no new category, the model's scores depend on statistics of photos, or a folder
            can't be used.
    """
    model_folder, out = Path(model_folder), Path(out)
    old = load_model(str(model_folder))
    if old.config.score_standardization != "none":
        raise InvalidInputError(
            f"The scores of {model_folder} depend on statistics of photos "
            f"(score standardization {old.config.score_standardization!r}), which new categories lack. Run "
            "`wordsight calibrate --use none` first, and calibrate again after this."
        )
    if out.resolve() == model_folder.resolve():
        raise InvalidInputError("Name another folder for the extended model: --out.")
    log_path = model_folder / TRAINING_LOG
    if not log_path.is_file():
        raise InvalidInputError(f"{model_folder} lacks {TRAINING_LOG}, which says how its prompts were learned.")
    old_log = json.loads(log_path.read_text(encoding="utf-8"))
    config = TrainingConfig(**old_log["training"])
    # Weight decay would change tokens that get no gradient.
    config = replace(config, weight_decay=0.0, epochs=epochs or config.epochs)
    dataset, told = load_texts(texts)
    knowledge = merge_knowledge(Knowledge.load(model_folder / "knowledge.json"), told, old.config.categories)
    if len(knowledge.categories) == len(old.config.categories):
        raise InvalidInputError(f"The model knows all categories of {texts} already.")
    set_seed(config.seed)
    sentences = list(dataset["text"])
    labels = SentenceLabeler(knowledge.categories).label_batch(sentences)
    data = split_texts(sentences, labels, knowledge, config.validation_share, config.template_sentences, config.seed)
    text_encoder = load_text_encoder(old.config.encoder, revision=old.config.encoder_revision)
    model_config = extended_config(old.config, data, text_encoder)
    out.mkdir(parents=True, exist_ok=True)
    for checkpoint in checkpoints(out):  # of a run that was interrupted
        shutil.rmtree(checkpoint)
    trainer = PromptTrainer(model_config, config, data, text_encoder, make_accelerator(), out, base=old.prompts)
    log = trainer.train()
    log["example_sentences"] |= old_log.get("example_sentences", {})
    model = trainer.model()
    keep_old_categories(model, old)
    with writing(out, "run the same command again"):
        save_model(model, data.knowledge, log, out)
    return model


def merge_knowledge(known: Knowledge, told: Knowledge, categories: list[Category]) -> Knowledge:
    """What was said of the old categories, and of those in `told` that are new.

    Args:
        known: of the old categories.
        told: of the new ones, and perhaps of old ones too.
        categories: the old categories, in the order of the logits.

    Raises:
        InvalidInputError: a new category's name or synonym is an old one's.
    """
    names = {category.name for category in categories}
    new = [category for category in told.categories if category.name not in names]
    check_categories([*categories, *new])
    return replace(
        known,
        categories=[*categories, *new],
        attributes=told.attributes | known.attributes,
        scenes=told.scenes | known.scenes,
        co_occurrence=told.co_occurrence | known.co_occurrence,
    )


def extended_config(old: WordsightConfig, data: TrainingTexts, text_encoder: TextEncoder) -> WordsightConfig:
    """The old configuration with the new categories in it, each in an old group of either kind."""
    knowledge, names = data.knowledge, data.names
    known = old.category_names
    embeddings = attribute_embeddings(knowledge.categories, knowledge, text_encoder)
    similarity = cosine_similarity(embeddings)
    graph = cooccurrence_graph(names, knowledge.co_occurrence, data.train_labels)
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
        # Nothing said of its company: that of the old category that looks most like it.
        nearest = known[int(similarity[k, : len(known)].argmax())]
        group = int(np.argmax(ties)) if any(ties) else old.group_index("cooccurrence_groups")[known.index(nearest)]
        config.cooccurrence_groups[group].append(name)
    compounds = [[names[k] for k in members] for members in choose_compounds(data.train_labels)]
    fresh = [members for members in compounds if set(members) - set(known)]
    return WordsightConfig(
        **config.to_dict()
        | {
            "id2label": dict(enumerate(names)),
            "label2id": None,
            "synonyms": {c.name: list(c.synonyms) for c in data.categories if c.synonyms},
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
    """Puts back what the mean shift and calibration over more categories changed for the old ones."""
    count = len(old.config.category_names)
    model.global_embeddings[:count] = old.global_embeddings
    model.local_embeddings[:count] = old.local_embeddings
    for field in ("score_scale", "score_threshold"):
        setattr(model.config, field, getattr(old.config, field) + getattr(model.config, field)[count:])
