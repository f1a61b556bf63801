"""Pushes models and sentences: they are prepared in a temporary folder, then uploaded in one commit."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, HfApi

from wordsight.description_gen import load_texts
from wordsight.description_gen.dataset import note_published
from wordsight.model_cards import render_model_card, render_texts_card
from wordsight.model_cards.card import read_card
from wordsight.model_cards.edits import for_push, linked_datasets
from wordsight.modeling.checks import is_hub_name
from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.modeling.modeling_wordsight import WordsightForMultiLabelImageClassification
from wordsight.modeling.onnx.files import GRAPHS
from wordsight.utils.errors import InvalidInputError
from wordsight.utils.files import CARD, KNOWLEDGE, SIDE_FILES, TEXTS_PICTURES, copy_side_files
from wordsight.utils.progress import no_datasets_bars

from .errors import explained
from .folder import draw_pictures, draw_texts_pictures
from .remote_code import add_remote_code
from .requirements import requirements
from .side_files import IMAGE_PROCESSOR, fetch_side_files, stale_side_files
from .upload import Destination, Upload, push_files, retry

# Nothing else of a folder is pushed: it may hold checkpoints, or a user's own files.
MODEL_FILES = ("config.json", "model.safetensors", IMAGE_PROCESSOR)
DEFAULT_MESSAGE = "Upload {} with wordsight"


def push_model(
    model: WordsightForMultiLabelImageClassification,
    repo_id: str,
    *,
    private: bool | None = None,
    token: bool | str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
    tags: Sequence[str] = (),
) -> CommitInfo:
    """Pushes a model as it is in memory, with the files beside the checkpoint that it was loaded from or trained into.

    Args:
        model: the model.
        repo_id: "user/name"; created if it does not exist.
        private: whether the repository is private, if it is created.
        token: a token, by default the one of `hf auth login` or `HF_TOKEN`.
        revision: branch to push to; created if it does not exist.
        create_pr: whether to open a pull request instead.
        commit_message: of the commit.
        commit_description: of the commit.
        tags: for the card, beside wordsight's own.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the model's encoder is a folder on this machine, or the repository's name is not valid.
    """
    to = Destination(repo_id, "model", private, token, revision, create_pr)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        fetch_side_files(model, Path(folder), to.token)
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
    endpoint: bool = False,
    commit_message: str | None = None,
    commit_description: str | None = None,
) -> CommitInfo:
    """Pushes a model's folder, which stays as it is.

    With it go graphs of `wordsight export`, the code by which the model works where wordsight is not installed, and a
    card that keeps what was edited here and on the Hub.

    Args:
        folder: what `wordsight train` wrote.
        to: where to.
        encoder: Hub id of the encoder, where the model names it by a folder on this machine.
        datasets: Hub ids of the sentences, beside the one under which they were pushed before training.
        tags: for the card, beside wordsight's own.
        license: the Hub's id of a license for the prompts.
        endpoint: whether `handler.py` and `requirements.txt` go along, by which Inference Endpoints runs the model.
        commit_message: of the commit.
        commit_description: of the commit.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: the folder is not a complete model, its encoder is a folder here, or a name is not valid.
    """
    folder = Path(folder)
    config = _checked_config(folder, encoder, to)
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        code = _stage_model(folder, stage, config)
        if endpoint:
            code += _write_endpoint(stage, config)
        local = read_card(folder / CARD)

        def render(repo_id: str, linked: list[str]) -> str:
            return render_model_card(stage, repo_id, list(dict.fromkeys([*linked, *datasets])))

        names = [*MODEL_FILES, *SIDE_FILES, *(file.name for file in code)]
        files = {name: stage / name for name in names if name != CARD and (stage / name).is_file()}
        files |= {name: folder / name for name in GRAPHS if (folder / name).is_file()}
        upload = Upload(
            files,
            card_maker(render, local, {"license": license, "tags": list(tags)}),
            commit_message or DEFAULT_MESSAGE.format("model"),
            commit_description,
            find_stale=partial(_stale, stage, files),
        )
        return push_files(upload, to)


def push_texts(
    folder: Path | str,
    to: Destination,
    *,
    license: str | None = None,  # noqa: A002, the metadata's own name for it
    commit_message: str | None = None,
) -> CommitInfo:
    """Pushes sentences to a dataset repository, as parquet with card and pictures, and notes its name beside them.

    Cards of models that are trained on the folder from now on link to it.

    Args:
        folder: what `wordsight describe` wrote.
        to: where to; always a dataset.
        license: the Hub's id of a license.
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
        pictures = {path.name: path for path in draw_texts_pictures(dataset, Path(temporary))}

        def render(repo_id: str, _linked: list[str]) -> str:
            return render_texts_card(dataset, knowledge, repo_id, bool(pictures))

        upload = Upload(
            {"data/train-00000-of-00001.parquet": parquet, KNOWLEDGE: folder / KNOWLEDGE} | pictures,
            card_maker(render, None, {"license": license}),
            commit_message or DEFAULT_MESSAGE.format("sentences"),
            # Another tool's repository may hold files of these names.
            find_stale=lambda there, _download: TEXTS_PICTURES if KNOWLEDGE in there else [],
        )
        commit = push_files(upload, replace(to, repo_type="dataset"))
    note_published(folder, commit.repo_url.repo_id)
    return commit


def card_maker(
    render: Callable[[str, list[str]], str], local: str | None, given: dict[str, Any]
) -> Callable[[str, str | None], str]:
    """Makes the card once it is known what is on the Hub.

    Args:
        render: gives the fresh card, from the repository's id and the datasets that are linked already.
        local: the card in the folder.
        given: metadata that is asked for with this push.
    """

    def make(repo_id: str, published: str | None) -> str:
        linked = linked_datasets(published or local or "")
        card, conflict = for_push(
            render(repo_id, linked), local, published, {key: value for key, value in given.items() if value}
        )
        if conflict:
            warnings.warn(
                f"{CARD} was edited both here and on the Hub. The Hub keeps its text, and your folder keeps yours; "
                "merge them by hand, on the Hub.",
                stacklevel=2,
            )
        return card

    return make


def _stage_model(folder: Path, stage: Path, config: WordsightConfig) -> list[Path]:
    """Puts into an empty folder what is published of a model, but for the card; gives the files of code."""
    copy_side_files(folder, stage, [*MODEL_FILES[1:], *SIDE_FILES])
    config.save_pretrained(stage)
    draw_pictures(stage)
    return add_remote_code(stage)


def _write_endpoint(stage: Path, config: WordsightConfig) -> list[Path]:
    """Writes what Inference Endpoints runs, and what it has to install for that."""
    handler, needed = stage / "handler.py", stage / "requirements.txt"
    handler.write_text(
        (package_files("wordsight.hub") / "endpoint_handler.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    needed.write_text("\n".join(requirements(config)) + "\n", encoding="utf-8")
    return [handler, needed]


def _stale(
    stage: Path, files: Collection[str], there: Collection[str], download: Callable[[str, Path], Path | None]
) -> list[str]:
    """What in a repository tells of another model than the one in `stage`, whose files take its place."""
    graphs = [name for name in GRAPHS if name in there and name not in files]
    if not set(there) & set(SIDE_FILES) - {CARD, *files}:
        return graphs
    with tempfile.TemporaryDirectory() as temporary:
        for name in set(MODEL_FILES) & set(there):
            download(name, Path(temporary))
        return [*graphs, *stale_side_files(Path(temporary), stage)]


def _checked_config(folder: Path, encoder: str | None, to: Destination) -> WordsightConfig:
    """The config as it is published, of a folder that holds a whole model."""
    if missing := [name for name in MODEL_FILES if not (folder / name).is_file()]:
        raise InvalidInputError(
            f"{folder} is not a complete model ({', '.join(missing)} missing). Pass a folder that `wordsight train` or "
            "`save_pretrained` wrote."
        )
    model = WordsightForMultiLabelImageClassification.from_pretrained(folder, image_encoder=False)
    config = model.config
    if encoder is not None:
        api = HfApi(token=to.token)
        with explained(encoder, api.endpoint):
            config.encoder, config.encoder_revision = encoder, retry(lambda: api.model_info(encoder)).sha
    if not is_hub_name(config.encoder):
        raise InvalidInputError(
            f"This model's encoder is a folder on this machine, {config.encoder}, which nobody else has. Push the "
            "encoder too (`hf upload user/encoder FOLDER`) and add --encoder user/encoder."
        )
    return config
