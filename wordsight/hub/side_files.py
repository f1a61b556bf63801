"""The files beside a model that tell where it comes from and how good it is: fetched with it, removed when stale."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi

from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.files import (
    CATEGORIES_PICTURE,
    CURVE_PICTURE,
    EVALUATION,
    KNOWLEDGE,
    SIDE_FILES,
    TRAINING_LOG,
    copy_side_files,
)

from .errors import explained
from .upload import fetch, retry

if TYPE_CHECKING:
    from wordsight.modeling.modeling_inference import WordsightInferenceModel

IMAGE_PROCESSOR = "preprocessor_config.json"
OF_TRAINING = (KNOWLEDGE, TRAINING_LOG, CURVE_PICTURE)  # true as long as the prompts are the same
OF_SCORES = (EVALUATION, CATEGORIES_PICTURE)  # true as long as photos get the same scores
# What a config says of itself, not of how photos are scored.
NOTES = (
    "_name_or_path",
    "architectures",
    "dtype",
    "format_version",
    "provenance",
    "transformers_version",
    "wordsight_version",
)


def fetch_side_files(
    model: WordsightInferenceModel, folder: Path, token: bool | str | None = None, *, replace: bool = False
) -> None:
    """Brings the files beside the checkpoint that a model was loaded from, be it a folder or a repository on the Hub.

    Args:
        model: the model.
        folder: where they go.
        token: a token, by default that of `hf auth login` or `HF_TOKEN`.
        replace: whether files that are in the folder already give way to the model's own, and those that the model
            does not have are removed. By default they stay.

    Raises:
        HubError: the Hub refused or did not answer.
    """
    source = model.config.name_or_path or ""
    is_local = model.revision is None
    if replace and not (is_local and Path(source).resolve() == folder.resolve()):
        for name in SIDE_FILES:
            (folder / name).unlink(missing_ok=True)
    # A model without its encoder can't write what turns photos into pixels.
    wanted = [name for name in (IMAGE_PROCESSOR, *SIDE_FILES) if not (folder / name).exists()]
    if is_local:
        if source:
            copy_side_files(Path(source), folder, wanted)
        return
    api = HfApi(token=token)
    with explained(source, api.endpoint):
        for name in wanted:
            retry(partial(fetch, api, source, name, folder, "model", model.revision))


def stale_side_files(published: Path, pushed: Path) -> list[str]:
    """The side files that no longer hold, once a model takes another one's place in a repository.

    Those of the same training hold as long as the prompts are the same, figures as long as photos get the same scores.
    So a folder that lacks some of them, such as one that `save_pretrained` wrote, does not take them from the Hub.

    Args:
        published: a folder with what the repository has of the model's own files.
        pushed: the folder of the model that takes its place.
    """
    old, new = _load(published), _load(pushed)
    if old is None or new is None:
        return [*OF_TRAINING, *OF_SCORES]
    prompts = [{key: value for key, value in m.state_dict().items() if key.startswith("prompts.")} for m in (old, new)]
    if old.config.categories != new.config.categories or not _same_tensors(*prompts):
        return [*OF_TRAINING, *OF_SCORES]
    scores_alike = _scoring(old) == _scoring(new) and _same_tensors(old.state_dict(), new.state_dict())
    return [] if scores_alike else [*OF_SCORES]


def _load(folder: Path) -> WordsightForMultiLabelImageClassification | None:
    """A model without its encoder; None for what is no model of wordsight's that can be read."""
    try:
        return WordsightForMultiLabelImageClassification.from_pretrained(folder, image_encoder=False)
    except (InvalidInputError, OSError, ValueError):
        return None


def _scoring(model: WordsightInferenceModel) -> dict[str, Any]:
    """What of the config decides about scores."""
    return {key: value for key, value in model.config.to_dict().items() if key not in NOTES}


def _same_tensors(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
