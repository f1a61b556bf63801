"""What a model is before it is trained: its configuration, by categories, groups and encoder, and first thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from transformers.utils.hub import resolve_revision

from wordsight.description_gen.categories import Category, as_categories, check_categories
from wordsight.description_gen.dataset import knowledge_of, normalize_texts
from wordsight.utils.errors import InvalidInputError

from .calibration import fit_calibration
from .category_embeddings import compound_text
from .configuration_wordsight import WordsightConfig
from .encoders.loading import hub_id
from .grouping import GroupsGiven, cooccurrence_graph, cooccurring_categories, find_groups
from .imagenet_variants import IMAGENET_VARIANTS
from .readable_names import warn_of_unreadable_names
from .score_statistics import choose_compounds
from .standardization import FEWEST_CATEGORIES
from .text_features import encode_sentences, tokenize

if TYPE_CHECKING:
    from .encoders.base import TextEncoder
    from .modeling_wordsight import WordsightForMultiLabelImageClassification

# Sentences that first thresholds are fitted on.
SENTENCES_PER_CATEGORY, MIN_SENTENCES, MAX_SENTENCES = 10, 200, 1000
MAX_NAMED = 3  # categories in one of them


def untrained_config(
    categories_or_texts: Any,
    text_encoder: TextEncoder,
    groups: GroupsGiven | None,
    seed: int,
    config_fields: Mapping[str, Any],
) -> tuple[WordsightConfig, tuple[list[str], NDArray[np.int8]] | None]:
    """The configuration that follows from categories or texts, and an encoder.

    Args:
        categories_or_texts: see `WordsightForMultiLabelImageClassification.from_encoder`.
        text_encoder: the frozen text encoder.
        groups: groups to use instead of those found.
        seed: of the search for groups.
        config_fields: fields that are set by the caller.

    Returns:
        The configuration, and the texts with their labels (N, K) where there are any.

    Raises:
        InvalidInputError: something given can't be used.
    """
    sentences, knowledge = None, None
    if _are_categories(categories_or_texts):
        categories = as_categories(categories_or_texts)
        labels = np.zeros((0, len(categories)), np.int8)
    else:
        dataset, categories = normalize_texts(categories_or_texts)
        knowledge = knowledge_of(dataset)
        labels = np.asarray(dataset["labels"], dtype=np.int8).reshape(len(dataset), -1)
        sentences = list(dataset["text"]), labels
    check_categories(categories)
    warn_of_unreadable_names(categories, text_encoder)
    found = find_groups(categories, text_encoder, knowledge, labels, groups, seed)
    names = [category.name for category in categories]
    together = cooccurrence_graph(names, knowledge.co_occurrence if knowledge else {}, labels)
    defaults: dict[str, Any] = {
        "id2label": dict(enumerate(names)),
        "synonyms": {category.name: list(category.synonyms) for category in categories if category.synonyms},
        "descriptions": {category.name: category.description for category in categories if category.description},
        "prompt_width": text_encoder.width,
        "projection_dim": text_encoder.projection_dim,
        "cooccurring_categories": cooccurring_categories(together),
        "compounds": [[names[k] for k in members] for members in choose_compounds(labels)],
        **found,
        **text_encoder.embedding_defaults,
        **text_encoder.photo_defaults,
    }
    if len(categories) < FEWEST_CATEGORIES:
        defaults["score_standardization"] = "none"
    if unknown := set(config_fields) - set(WordsightConfig().to_dict()):
        raise InvalidInputError(f"WordsightConfig has no field {', '.join(sorted(unknown))}.")
    try:
        return WordsightConfig(**defaults | dict(config_fields)), sentences
    except StrictDataclassError as error:
        raise InvalidInputError(f"These settings can't be used: {str(error).splitlines()[-1].strip()}") from error


def _are_categories(given: Any) -> bool:
    """Whether names or `Category` objects were given, and not texts."""
    is_list = isinstance(given, Sequence) and not isinstance(given, str | Path)
    return is_list and all(isinstance(entry, str | Category) for entry in given)


@torch.no_grad()
def fit_thresholds(
    model: WordsightForMultiLabelImageClassification,
    sentences: tuple[list[str], NDArray[np.int8]] | None,
    seed: int = 0,
) -> None:
    """Fits a model's calibration to sentences, by its category embeddings as they are.

    Args:
        model: the model; changed.
        sentences: texts and labels (N, K), of which a sample is taken. None makes sentences that name some categories.
        seed: of the sample.
    """
    texts, labels = sentences if sentences is not None else _naming_sentences(model.config.categories, seed)
    most = min(MAX_SENTENCES, max(MIN_SENTENCES, SENTENCES_PER_CATEGORY * labels.shape[1]))
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:most])
    encoder, was_training = model.load_text_encoder(), model.training
    tokenized = tokenize([texts[row] for row in rows], encoder)
    similarities = np.zeros((len(rows), labels.shape[1]), np.float32)
    model.eval()
    for batch, pooled, tokens in encode_sentences(tokenized, encoder, tokenized.batches):
        output = model(
            text_embeds=pooled.to(model.device),
            token_embeds=torch.cat(tokens).float().to(model.device),
            token_counts=torch.tensor([len(line) for line in tokens], device=model.device),
        )
        similarities[batch] = output.similarities.cpu().numpy()
    model.train(was_training)
    model.set_calibration(*fit_calibration(similarities, labels[rows]))


def _naming_sentences(categories: Sequence[Category], seed: int) -> tuple[list[str], NDArray[np.int8]]:
    """Sentences that name 1 to 3 categories each, and their labels, as photos show several things at once."""
    rng = np.random.default_rng(seed)
    count = min(MAX_SENTENCES, max(MIN_SENTENCES, SENTENCES_PER_CATEGORY * len(categories)))
    texts, labels = [], np.zeros((count, len(categories)), np.int8)
    for row in range(count):
        members = rng.permutation(len(categories))[: 1 + row % MAX_NAMED]
        texts.append(compound_text([categories[k].in_full for k in members]))
        labels[row, members] = 1
    return texts, labels


def encoder_reference(encoder: str, revision: str | None) -> tuple[str, str | None]:
    """How a model names its encoder: by Hub id and commit, or by an absolute path.

    Prompts fit the weights that they were learned for, and no others; and a model loads from any working directory.

    Args:
        encoder: Hub id, path, "imagenet-lite2" or "imagenet".
        revision: the encoder's revision on the Hub.
    """
    if encoder in IMAGENET_VARIANTS:
        return IMAGENET_VARIANTS[encoder].name, None
    encoder = hub_id(encoder)
    if Path(encoder).is_dir():
        return str(Path(encoder).resolve()), revision
    found = resolve_revision(encoder, revision)
    return encoder, getattr(found, "resolved", found)
