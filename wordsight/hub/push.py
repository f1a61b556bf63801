"""Pushes models and sentences: what goes along is put together in a folder aside, then uploaded in one commit."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import CommitInfo, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from transformers.utils.hub import resolve_revision

from wordsight.description_gen import load_texts
from wordsight.description_gen.generation import KNOWLEDGE
from wordsight.description_gen.published import note_published
from wordsight.errors import InvalidInputError
from wordsight.model_cards import render_model_card, render_texts_card
from wordsight.model_cards.card import draw_pictures, read_card
from wordsight.model_cards.edits import for_push
from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.side_files import SIDE_FILES, copy_side_files
from wordsight.progress import no_datasets_bars

from .errors import explained
from .remote_code import CONFIG_ENTRIES, write_remote_code
from .upload import CARD, Destination, push_files

# Nothing else of a folder goes along: it may hold checkpoints, peers of an evaluation, or a user's own files.
MODEL_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
DEFAULT_MESSAGE = "Upload {} with wordsight"


def push_model(
    model: WordsightForMultiLabelImageClassification,
    to: Destination,
    *,
    commit_message: str | None = None,
    commit_description: str | None = None,
    tags: Sequence[str] = (),
) -> CommitInfo:
    """Pushes a model as it is in memory, with the files beside the checkpoint that it was loaded from or saved to.

    Args:
        model: the model.
        to: where to.
        commit_message: of the commit.
        commit_description: of the commit.
        tags: for the card, beside wordsight's own.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the model's encoder is a folder on this machine, or the repository's name is not valid.
    """
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with explained(model.config.name_or_path or to.repo_id, "the Hub"):
            _fetch_side_files(model, Path(folder), to.token)
        return push_checkpoint(
            Path(folder), to, commit_message=commit_message, commit_description=commit_description, tags=tags
        )


def push_checkpoint(
    folder: Path | str,
    to: Destination,
    *,
    encoder: str | None = None,
    datasets: Sequence[str] = (),
    tags: Sequence[str] = (),
    license: str | None = None,  # noqa: A002, the metadata's own name for it
    commit_message: str | None = None,
    commit_description: str | None = None,
) -> CommitInfo:
    """Pushes a model's folder, which stays as it is.

    With it go the code by which the model works where wordsight is not installed, and a card that keeps what was edited
    here and on the Hub.

    Args:
        folder: what `wordsight train` wrote.
        to: where to.
        encoder: Hub id of the encoder, where the model names it by a folder on this machine.
        datasets: Hub ids of the sentences, beside the one under which they were pushed before training.
        tags: for the card, beside wordsight's own.
        license: the Hub's id of a licence for the prompts.
        commit_message: of the commit.
        commit_description: of the commit.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the folder is no whole model, its encoder is a folder here, or a name is not valid.
    """
    folder = Path(folder)
    config = _checked_config(folder, encoder, to)
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        for name in MODEL_FILES[1:]:
            if (folder / name).is_file():
                (stage / name).write_bytes((folder / name).read_bytes())
        copy_side_files(folder, stage)
        config.save_pretrained(stage)
        path = stage / MODEL_FILES[0]
        entries = json.loads(path.read_text(encoding="utf-8")) | CONFIG_ENTRIES
        path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        code = write_remote_code(stage)
        draw_pictures(stage)
        local = read_card(folder / CARD)

        def render(repo_id: str) -> str:
            return render_model_card(stage, repo_id, datasets=datasets, tags=tags, license=license)

        names = [*MODEL_FILES, *SIDE_FILES, *(file.name for file in code)]
        files = {name: stage / name for name in names if name != CARD and (stage / name).is_file()}
        return push_files(
            files,
            _card_maker(render, local),
            to,
            commit_message or DEFAULT_MESSAGE.format("model"),
            commit_description,
        )


def push_texts(
    folder: Path | str,
    to: Destination,
    *,
    license: str | None = None,  # noqa: A002, the metadata's own name for it
    commit_message: str | None = None,
) -> CommitInfo:
    """Pushes sentences to a data set repository, as parquet with a card, and notes its name beside them.

    Models trained on the folder from now on link to it.

    Args:
        folder: what `wordsight describe` wrote.
        to: where to; always a data set.
        license: the Hub's id of a licence.
        commit_message: of the commit.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the folder holds no sentences, or the repository's name is not valid.
    """
    folder = Path(folder)
    dataset, knowledge = load_texts(folder)
    with tempfile.TemporaryDirectory() as temporary:
        parquet = Path(temporary) / "train.parquet"
        with no_datasets_bars():
            dataset.to_parquet(parquet)

        def render(repo_id: str) -> str:
            return render_texts_card(dataset, knowledge, repo_id, license)

        pushed_to: list[str] = []

        def make_card(repo_id: str, published: str | None) -> str:
            pushed_to.append(repo_id)
            return _card_maker(render, None)(repo_id, published)

        files = {"data/train-00000-of-00001.parquet": parquet, KNOWLEDGE: folder / KNOWLEDGE}
        message = commit_message or DEFAULT_MESSAGE.format("sentences")
        commit = push_files(files, make_card, replace(to, repo_type="dataset"), message)
    note_published(folder, pushed_to[-1])
    return commit


def _card_maker(render: Callable[[str], str], local: str | None) -> Callable[[str, str | None], str]:
    """Makes the card once it is known what is on the Hub."""

    def make(repo_id: str, published: str | None) -> str:
        try:
            card, conflict = for_push(render(repo_id), local, published)
        except (ValueError, yaml.YAMLError) as error:
            raise InvalidInputError(f"The metadata at the top of {CARD} is no valid YAML: {error}. Mend it.") from error
        if conflict:
            warnings.warn(
                f"{CARD} was edited both here and on the Hub. The Hub's text is kept there and yours here; put them "
                "together by hand, on the Hub.",
                stacklevel=2,
            )
        return card

    return make


def _checked_config(folder: Path, encoder: str | None, to: Destination) -> WordsightConfig:
    """The config as it is published, of a folder that holds a whole model."""
    if not (folder / MODEL_FILES[0]).is_file():
        raise InvalidInputError(f"{folder} holds no model (no {MODEL_FILES[0]}). Give a folder of `wordsight train`.")
    model = WordsightForMultiLabelImageClassification.from_pretrained(folder, image_encoder=False)
    config = model.config
    if encoder is not None:
        with explained(encoder, "the Hub"):
            found = resolve_revision(encoder, None, token=to.token)
        config.encoder, config.encoder_revision = encoder, getattr(found, "resolved", None)
    if config.encoder.startswith(".") or Path(config.encoder).is_absolute():
        raise InvalidInputError(
            f"This model's encoder is a folder on this machine, {config.encoder}, which nobody else has. Push the "
            "encoder too (`hf upload user/encoder FOLDER`) and name it: --encoder user/encoder."
        )
    return config


def _fetch_side_files(model: WordsightForMultiLabelImageClassification, folder: Path, token: Any) -> None:
    """The files beside the checkpoint that a model comes from, be it a folder or a repository."""
    source = model.config.name_or_path or ""
    if not source:
        return
    if Path(source).is_dir():
        copy_side_files(Path(source), folder)
        return
    for name in SIDE_FILES:
        try:
            path = hf_hub_download(source, name, revision=model.revision, token=token)
        except (EntryNotFoundError, HFValidationError):  # not there, or a folder that is gone
            continue
        (folder / name).write_bytes(Path(path).read_bytes())
