"""Puts files into a repository: in one commit, on top of what was read, tried again where that is safe."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, get_session
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from transformers.utils import logging

from .errors import explained, is_transient

logger = logging.get_logger(__name__)
Result = TypeVar("Result")

REQUEST_TIMEOUT = 60.0  # seconds without a byte; the client itself would wait for ever
WAITS = (1.0, 4.0, 10.0)  # seconds before each further try
CARD = "README.md"


@dataclass(frozen=True)
class Destination:
    """Where a push goes.

    Attributes:
        repo_id: "user/name", or "name" for the token's owner.
        repo_type: "model" or "dataset".
        private: whether the repository is private, if it is made.
        token: a token; by default that of `hf auth login` or `HF_TOKEN`.
        revision: branch; made if it is not there.
        create_pr: whether to open a pull request instead.
    """

    repo_id: str
    repo_type: Literal["model", "dataset"] = "model"
    private: bool | None = None
    token: bool | str | None = None
    revision: str | None = None
    create_pr: bool = False


def push_files(
    files: Mapping[str, Path],
    make_card: Callable[[str, str | None], str],
    to: Destination,
    commit_message: str,
    commit_description: str | None = None,
) -> CommitInfo:
    """Pushes files and a card in one commit; the repository is made if it is not there.

    A 5xx answer, too many requests and a lost connection are tried again: what was committed already is recognised and
    not committed twice. A pull request is not tried again once its commit was sent, since it could be opened twice.

    Args:
        files: path in the repository -> file.
        make_card: gives the card, from the repository's full id and the card that is there.
        to: where to.
        commit_message: of the commit.
        commit_description: of the commit.

    Raises:
        HubError: the Hub refused or did not answer; says whether a retry is safe.
        InvalidInputError: the repository's name or the card is not valid.
    """
    api = HfApi(token=to.token)
    with explained(to.repo_id, api.endpoint), _bounded_requests():
        repo_id = _retry(lambda: _open(api, to))

    def commit() -> CommitInfo:
        head = api.repo_info(repo_id, repo_type=to.repo_type, revision=to.revision).sha
        card = make_card(repo_id, _read_card(api, repo_id, to.repo_type, head))
        operations = [CommitOperationAdd(name, path) for name, path in sorted(files.items())]
        return api.create_commit(
            repo_id,
            [*operations, CommitOperationAdd(CARD, card.encode())],
            commit_message=commit_message,
            commit_description=commit_description,
            repo_type=to.repo_type,
            revision=to.revision,
            create_pr=to.create_pr,
            # Whoever changed the repository since its card was read must not be overwritten.
            parent_commit=None if to.create_pr else head,
        )

    with explained(repo_id, api.endpoint, landed_unknown=to.create_pr), _bounded_requests():
        return commit() if to.create_pr else _retry(commit)


def _open(api: HfApi, to: Destination) -> str:
    """Makes repository and branch, where they are not there; the repository's full id."""
    repo_id = api.create_repo(to.repo_id, repo_type=to.repo_type, private=to.private, exist_ok=True).repo_id
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
        try:
            path = api.hf_hub_download(repo_id, CARD, repo_type=repo_type, revision=revision, local_dir=folder)
        except EntryNotFoundError:
            return None
        return Path(path).read_text(encoding="utf-8")


def _retry(call: Callable[[], Result]) -> Result:
    for wait in WAITS:
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                raise
            logger.warning(f"The Hub: {_first_line(error)} Trying again in {wait:.0f} s.")
            time.sleep(wait)
    return call()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
