"""Who asks, and what they may see and change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from .storage import Repository, Storage, StorageError


@dataclass(frozen=True)
class User:
    """The owner of a token."""

    name: str
    role: Literal["read", "write"] = "write"


TOKENS = {
    "hf_alicemaywrite": User("alice"),
    "hf_alicemayread": User("alice", "read"),
    "hf_bobmaywrite": User("bob"),
}


@dataclass(frozen=True)
class Access:
    """What the owner of a request's token, if there is one, may do."""

    storage: Storage
    user: User | None

    @classmethod
    def of(cls, request: Request) -> Access:
        header = request.headers.get("authorization")
        if header is None:
            return cls(request.app.state.storage, None)
        user = TOKENS.get(header.removeprefix("Bearer "))
        if user is None:
            raise StorageError(401, None, "Invalid credentials in Authorization header")
        return cls(request.app.state.storage, user)

    def read(self, kind: str, repo_id: str) -> Repository:
        """A repository that may be seen; one that may not looks like one that is not there."""
        repository = self.storage.find(kind, repo_id)
        if repository is None or (repository.private and not self._owns(repository)):
            status = 401 if self.user is None else 404
            raise StorageError(
                status, "RepoNotFound", "Repository not found" if self.user else "Invalid username or password."
            )
        return repository

    def write(self, kind: str, repo_id: str, pull_request: bool = False) -> Repository:
        """A repository that may be changed, or to which a pull request may be opened."""
        repository = self.read(kind, repo_id)
        user = self.logged_in()
        if user.role != "write" or not (pull_request or self._owns(repository)):
            raise StorageError(403, None, f"You don't have the rights to write to {repo_id}")
        return repository

    def write_ref(self, kind: str, repo_id: str, ref: str) -> Repository:
        """A repository whose ref may be changed: one's own, or that of a pull request that one opened."""
        discussion = self.read(kind, repo_id).discussions.get(int(ref[8:]) if re.fullmatch(r"refs/pr/\d+", ref) else 0)
        return self.write(kind, repo_id, discussion is not None and discussion.author == self.logged_in().name)

    def create(self, namespace: str) -> User:
        user = self.logged_in()
        if user.role != "write" or namespace != user.name:
            raise StorageError(403, None, f"You don't have the rights to create a repo under {namespace}")
        return user

    def logged_in(self) -> User:
        if self.user is None:
            raise StorageError(401, None, "Invalid username or password.")
        return self.user

    def _owns(self, repository: Repository) -> bool:
        return self.user is not None and repository.owner == self.user.name
