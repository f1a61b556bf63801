"""`wordsight push` and `wordsight push-texts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wordsight.utils.errors import InvalidInputError

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

Private = Annotated[
    bool | None,
    typer.Option("--private/--public", help="Visibility of the repository, if it is created.", show_default=False),
]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing to the branch.")]
Revision = Annotated[str | None, typer.Option(help="Branch to push to; created if it does not exist.")]
License = Annotated[str | None, typer.Option(help="License as the Hub names it, such as apache-2.0.")]
Message = Annotated[str | None, typer.Option(help="Commit message.")]


def push(
    model: Annotated[str, typer.Argument(help="Folder of a trained model; with --space, also the Hub id of one.")],
    repo: Annotated[str | None, typer.Argument(help="Repository on the Hub: user/name.")] = None,
    space: Annotated[
        str | None, typer.Option(help="Space to push as well: user/name. A page where everybody can try the model.")
    ] = None,
    private: Private = None,
    create_pr: CreatePr = False,
    revision: Revision = None,
    encoder: Annotated[
        str | None, typer.Option(help="Hub id of the encoder, if the model was trained with a local folder.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Hub id of the training sentences (see push-texts); the card links to it."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag for the card; can be repeated.")] = None,
    license: License = None,  # noqa: A002, the option's name
    endpoint: Annotated[
        bool, typer.Option("--endpoint", help="Push handler.py and requirements.txt for Inference Endpoints, too.")
    ] = False,
    message: Message = None,
) -> None:
    """Push a model to the Hub: prompts, config, card and the code to use it without wordsight; never the encoder.

    The token is that of `hf auth login` or HF_TOKEN. Your edits of the card, here or on the Hub, are kept.

    With --space, a Space is pushed as well: app.py, requirements.txt and a card. For a model that is on the Hub
    already, pass its id as MODEL and omit REPO.

    Example: wordsight push my-model user/my-model --dataset user/my-texts

    Example: wordsight push my-model user/my-model --space user/my-space

    Example: wordsight push user/my-model --space user/my-space

    Example: wordsight push my-model user/my-model --endpoint
    """
    from wordsight.hub import Destination, push_checkpoint, push_space

    if repo is None and (space is None or Path(model).is_dir()):
        raise InvalidInputError(
            f"REPO is missing: wordsight push {model} user/name. It can be omitted only with --space and a model that "
            "is on the Hub."
        )
    if space is not None and (revision or create_pr):
        raise InvalidInputError(
            "A Space shows the model on the branch main: omit --revision and --create-pr, or push the Space later by "
            "itself."
        )
    if repo is None and (encoder or dataset or tag or license or endpoint):
        raise InvalidInputError(
            f"{model} is on the Hub already: omit --encoder, --dataset, --tag, --license and --endpoint, or push its "
            "folder."
        )
    if repo is not None:
        to = Destination(repo, "model", private, None, revision, create_pr)
        commit = push_checkpoint(
            model,
            to,
            encoder=encoder,
            datasets=dataset or (),
            tags=tag or (),
            license=license,
            endpoint=endpoint,
            commit_message=message,
        )
        _report(commit, revision, 'pipeline("multi-label-image-classification", model="{}"{})')
        model = commit.repo_url.repo_id
    if space is not None:
        page = push_space(model, Destination(space, "space", private), commit_message=message)
        typer.echo(f"Space: {page.repo_url}")
        if private:
            typer.echo("To read a private model, it needs a token, as the secret HF_TOKEN in the Space's settings.")


def push_texts(
    texts: Annotated[Path, typer.Argument(help="Folder that `wordsight describe` wrote.")],
    repo: Annotated[str, typer.Argument(help="Dataset repository on the Hub: user/name.")],
    private: Private = None,
    create_pr: CreatePr = False,
    revision: Revision = None,
    license: License = None,  # noqa: A002, the option's name
    message: Message = None,
) -> None:
    """Push sentences to the Hub as a dataset: parquet, what the language model said, and a card.

    Cards of models that are trained on the folder afterwards link to it; for a model that is trained already, use
    `wordsight push --dataset`.

    Example: wordsight push-texts my-texts user/my-texts
    """
    from wordsight.hub import Destination
    from wordsight.hub import push_texts as push_folder

    to = Destination(repo, "dataset", private, None, revision, create_pr)
    commit = push_folder(texts, to, license=license, commit_message=message)
    _report(commit, revision, 'datasets.load_dataset("{}", split="train"{})')


def _report(commit: CommitInfo, revision: str | None, use: str) -> None:
    """Prints where it is and how to use it from there."""
    typer.echo(f"{'Pull request' if commit.pr_url else 'Pushed'}: {commit.pr_url or commit.commit_url}")
    where = commit.pr_revision or revision
    at = f', revision="{where}"' if where else ""
    typer.echo(f"Use: {use.format(commit.repo_url.repo_id, at)}")
