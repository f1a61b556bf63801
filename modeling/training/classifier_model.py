"""From sentences to a saved model whose category embeddings are a classifier of sentences (CoMC), in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import PartialState

from wordsight.description_gen.dataset import knowledge_of, normalize_texts, published_as
from wordsight.utils.errors import check_not_empty, writing

from ..calibration import fit_calibration
from ..imagenet_variants import DEFAULT_ENCODER
from ..metrics import average_precisions
from ..modeling_wordsight import WordsightForMultiLabelImageClassification
from .arguments import TOKEN_FIELDS
from .batches import InOrder, SentenceLoader, Sentences
from .classifier import MEMORY_WEIGHT, train_classifier
from .data import check_sentences, example_sentences, hold_out, read_sentences, with_templates
from .features import cached_features
from .labeled_features import LabeledFeatures
from .side_files import training_log, write_side_files

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from ..encoders import TextEncoder

VALIDATION_SHARE = 0.1
# Of the configuration: no prompts, photos pulled towards sentences, the best patch in place of a mean over patches.
FIELDS: dict[str, Any] = {
    "head": "comc",
    "memory_weight": MEMORY_WEIGHT,
    "local_temperature_image": 0.0,
    "prior_weight": 0.0,
    "mean_shift": False,
    **dict.fromkeys(TOKEN_FIELDS, 0),
}


def train_classifier_model(
    texts: Dataset | DatasetDict | Path | str,
    out: Path | str,
    encoder: str = DEFAULT_ENCODER,
    *,
    revision: str | None = None,
    seed: int = 0,
    text_encoder: TextEncoder | None = None,
    config_fields: Mapping[str, Any] | None = None,
    feature_cache: Path | None = None,
    **options: Any,
) -> WordsightForMultiLabelImageClassification:
    """Trains CoMC's classifier on sentences and saves it as a model; see `train_classifier`.

    The model is used, evaluated, calibrated and pushed as one with prompts. There is nothing to go on from: the
    features of sentences come from the cache, and the rest takes seconds.

    Args:
        texts: sentences with `text` and `labels`, as for `train_prompts`.
        out: folder for the model.
        encoder: Hub id or path of the encoder, "imagenet-lite2" or "imagenet".
        revision: the encoder's revision on the Hub.
        seed: of the split, the noise and the order.
        text_encoder: the text half of `encoder`, if it is loaded already.
        config_fields: fields of `WordsightConfig`, such as `{"memory_weight": 0.5}`.
        feature_cache: folder for the sentences' features; by default in wordsight's own cache.
        options: of `train_classifier`, such as `steps` and `noise`.

    Returns:
        The trained model, on the CPU.

    Raises:
        InvalidInputError: something given can't be used; the message says what to do.

    Example:
        >>> from wordsight.modeling.training.classifier_model import train_classifier_model
        >>> model = train_classifier_model("my-texts", "pets", steps=100)
        >>> model.config.head, model.config.memory_weight
        ('comc', 0.3)
    """
    check_not_empty(out, "out")
    out, (dataset, _) = Path(out), normalize_texts(texts)
    model = WordsightForMultiLabelImageClassification.from_encoder(
        encoder,
        dataset,
        revision=revision,
        text_encoder=text_encoder,
        seed=seed,
        **FIELDS | dict(config_fields or {}),
    )
    config, encoder_of_texts = model.config, model.load_text_encoder()
    sentences = read_sentences(dataset, config.categories)
    check_sentences(sentences, config.categories, templates=True)
    sentences, held_out = hold_out(sentences, VALIDATION_SHARE, seed)
    sentences = with_templates(sentences, config.categories)
    for part in (sentences, held_out):
        part.features = cached_features(part.texts, encoder_of_texts, feature_cache)
    learned_from = LabeledFeatures.of(sentences)
    options = {"logit_scale": config.logit_scale, "margin": config.margin, "seed": seed} | options
    weight = train_classifier(learned_from, **options)
    model.set_embeddings(weight, weight)
    if config.memory_weight:
        model.set_memory(learned_from.memory(seed=seed))
    similarities = _similarities(model, held_out)
    model.set_calibration(*fit_calibration(similarities, held_out.labels))
    knowledge = knowledge_of(dataset)
    known = {"language_model": knowledge.model, "language_model_seed": knowledge.seed} if knowledge else {}
    published = published_as(Path(texts)) if isinstance(texts, str | Path) and Path(texts).is_dir() else None
    counts = {"training_sentences": len(sentences), "validation_sentences": len(held_out)}
    config.provenance = {**(published or {}), **known, **counts}
    state = PartialState()
    if state.is_main_process:
        ap = dict(zip(config.category_names, average_precisions(similarities, held_out.labels), strict=True))
        log = training_log({"head": "comc"} | options, [], ap, example_sentences(sentences, config.categories))
        with writing(out, "run the same command again"):
            model.save_pretrained(out)
            write_side_files(out, log, knowledge)
    state.wait_for_everyone()
    config.name_or_path = str(out)
    return model.cpu().eval()


@torch.no_grad()
def _similarities(model: WordsightForMultiLabelImageClassification, sentences: Sentences) -> np.ndarray[Any, Any]:
    """Similarities (N, K) of sentences."""
    rows = []
    for batch in SentenceLoader(sentences, InOrder(len(sentences), 256)):
        rows.append(model(**batch | {"labels": None}).similarities.numpy())
    return np.concatenate(rows)
