"""Puts files into a repository: in one commit, on top of what was read, tried again where that is safe."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_session
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RemoteEntryNotFoundError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential
from transformers.utils import logging

from wordsight.model_cards.card import read_card
from wordsight.utils.files import CARD
from wordsight.utils.progress import library_step

from .errors import explained, is_transient

logger = logging.get_logger(__name__)
Result = TypeVar("Result")
Operations = list[CommitOperationAdd | CommitOperationDelete]
FindStale = Callable[[Collection[str], Callable[[str, Path], Path | None]], Collection[str]]

REQUEST_TIMEOUT = 60.0  # seconds without a byte; the client itself would wait for ever
TRIES = 4
WAIT = wait_exponential(exp_base=3, max=10)  # 1, 3 and 9 seconds before each further try


@dataclass(frozen=True)
class Destination:
    """Where a push goes.

    Attributes:
        repo_id: "user/name", or "name" for the token's owner.
        repo_type: "model", "dataset" or "space".
        private: whether the repository is private, if it is created.
        token: a token; by default that of `hf auth login` or `HF_TOKEN`.
        revision: branch; created if it does not exist.
        create_pr: whether to open a pull request instead.
    """

    repo_id: str
    repo_type: Literal["model", "dataset", "space"] = "model"
    private: bool | None = None
    token: bool | str | None = None
    revision: str | None = None
    create_pr: bool = False


@dataclass(frozen=True)
class Upload:
    """What is to be in a repository.

    Attributes:
        files: path in the repository -> file.
        make_card: gives the card, from the repository's full id and the card that is there.
        commit_message: of the commit.
        commit_description: of the commit.
        find_stale: names what is to be removed from the repository, from the paths that are there and a function that
            downloads one of them into a folder.
    """

    files: Mapping[str, Path]
    make_card: Callable[[str, str | None], str]
    commit_message: str
    commit_description: str | None = None
    find_stale: FindStale | None = None


def push_files(upload: Upload, to: Destination) -> CommitInfo:
    """Pushes files and a card in one commit; the repository is created if it does not exist.

    A 5xx answer, too many requests and a lost connection are tried again: what was committed already is recognized and
    not committed twice. A pull request's commit is sent only once, since it could be opened twice.

    Args:
        upload: the files, and how the card is made.
        to: where to.

    Raises:
        HubError: the Hub refused or did not answer; says whether a retry is safe.
        InvalidInputError: the repository's name or the card is not valid.
    """
    api = HfApi(token=to.token)
    with _bounded_requests(), library_step(f"Pushing to {to.repo_id}"):
        with explained(to.repo_id, api.endpoint):
            repo_id = retry(lambda: _open(api, to))
            if not to.create_pr:
                # Whoever changed the repository since its card was read must not be overwritten: hence the parent.
                return retry(lambda: _commit(api, repo_id, upload, to, *_prepare(api, repo_id, upload, to)))
            operations = retry(lambda: _upload_large(api, repo_id, upload, to))
        with explained(repo_id, api.endpoint, landed_unknown=True):
            return _commit(api, repo_id, upload, to, operations, None)


def _prepare(api: HfApi, repo_id: str, upload: Upload, to: Destination) -> tuple[Operations, str | None]:
    """What a commit consists of, and the commit that it is made on."""
    info = api.repo_info(repo_id, repo_type=to.repo_type, revision=to.revision, timeout=REQUEST_TIMEOUT)
    there = {sibling.rfilename for sibling in getattr(info, "siblings", None) or ()}
    card = upload.make_card(repo_id, _read_card(api, repo_id, to.repo_type, info.sha) if CARD in there else None)
    operations: Operations = [CommitOperationAdd(name, path) for name, path in sorted(upload.files.items())]
    operations.append(CommitOperationAdd(CARD, card.encode()))
    if upload.find_stale is not None:

        def download(name: str, folder: Path) -> Path | None:
            return fetch(api, repo_id, name, folder, to.repo_type, info.sha)

        stale = there & set(upload.find_stale(there, download)) - set(upload.files)
        operations += [CommitOperationDelete(name) for name in sorted(stale)]
    return operations, info.sha


def _commit(
    api: HfApi, repo_id: str, upload: Upload, to: Destination, operations: Operations, parent: str | None
) -> CommitInfo:
    return api.create_commit(
        repo_id,
        operations,
        commit_message=upload.commit_message,
        commit_description=upload.commit_description,
        repo_type=to.repo_type,
        revision=to.revision,
        create_pr=to.create_pr,
        parent_commit=parent,
    )


def _upload_large(api: HfApi, repo_id: str, upload: Upload, to: Destination) -> Operations:
    """Uploads large files ahead of a pull request's commit, which then is one small request."""
    operations, _ = _prepare(api, repo_id, upload, to)
    additions = [operation for operation in operations if isinstance(operation, CommitOperationAdd)]
    api.preupload_lfs_files(
        repo_id, additions, repo_type=to.repo_type, revision=to.revision, create_pr=True, free_memory=False
    )
    return operations


def fetch(api: HfApi, repo_id: str, name: str, folder: Path, repo_type: str, revision: str | None) -> Path | None:
    """Downloads a file of a repository into a folder; None where it is not there, an error where that is not known."""
    try:
        return Path(api.hf_hub_download(repo_id, name, repo_type=repo_type, revision=revision, local_dir=folder))
    except RemoteEntryNotFoundError:
        return None
    except LocalEntryNotFoundError as error:
        # The client looked for a copy of its own when the Hub failed; what failed is the cause.
        raise error.__cause__ or error from None


def retry(call: Callable[[], Result]) -> Result:
    """Makes a call that is safe to make again until it succeeds, at most `TRIES` times.

    huggingface_hub itself tries only uploads of large files again, not commits.
    """
    transient = retry_if_exception(lambda error: isinstance(error, Exception) and is_transient(error))
    return Retrying(
        retry=transient, stop=stop_after_attempt(TRIES), wait=WAIT, before_sleep=_tell_of_retry, reraise=True
    )(call)


def _tell_of_retry(state: RetryCallState) -> None:
    assert state.outcome is not None
    lines = str(error).strip().splitlines() if (error := state.outcome.exception()) else []
    logger.warning(
        f"The Hub: {lines[0] if lines else type(error).__name__} Trying again in {state.upcoming_sleep:.0f} s."
    )


def _open(api: HfApi, to: Destination) -> str:
    """Makes repository and branch, where they are not there; the repository's full id."""
    sdk = "gradio" if to.repo_type == "space" else None
    made = api.create_repo(to.repo_id, repo_type=to.repo_type, private=to.private, space_sdk=sdk, exist_ok=True)
    repo_id = made.repo_id
    if to.revision and not to.revision.startswith("refs/"):
        try:
            api.create_branch(repo_id, branch=to.revision, repo_type=to.repo_type, exist_ok=True)
        except HfHubHTTPError as error:
            # Who may only propose changes can't make branches; if it is not there, the commit says so.
            if not (to.create_pr and error.response.status_code == 403):
                raise
    return repo_id


def _read_card(api: HfApi, repo_id: str, repo_type: str, revision: str | None) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        path = fetch(api, repo_id, CARD, Path(folder), repo_type, revision)
        return read_card(path) if path else None


@contextmanager
def _bounded_requests() -> Iterator[None]:
    """A request that hangs becomes an error."""
    session = get_session()
    before = session.timeout
    session.timeout = REQUEST_TIMEOUT
    try:
        yield
    finally:
        session.timeout = before
