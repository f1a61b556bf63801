"""Repositories with their history, branches and pull requests. No HTTP in here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import unquote

# What the Hub's default .gitattributes has, as far as anybody here pushes it.
LFS_EXTENSIONS = """
7z arrow bin bz2 ckpt ftz gz h5 joblib jpg jpeg msgpack npy npz onnx ot parquet pb pickle pkl png pt pth safetensors tar
tflite tgz wasm xz zip zst
""".split()  # noqa: SIM905, a list of words reads better so
LFS_SIZE = 10 * 1024 * 1024
GITATTRIBUTES = "".join(f"*.{extension} filter=lfs diff=lfs merge=lfs -text\n" for extension in LFS_EXTENSIONS)
START = datetime(2026, 1, 1, tzinfo=UTC)


class StorageError(Exception):
    """What the Hub refuses: an HTTP status, the code that its client looks at, and a message."""

    def __init__(self, status: int, code: str | None, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}


@dataclass(frozen=True)
class Blob:
    """A file's content; `sha256` is set for files that are kept as LFS objects."""

    content: bytes
    sha256: str | None = None

    @property
    def oid(self) -> str:
        """git's hash of what is in git: the content, or the pointer to it."""
        data = self.content if self.sha256 is None else self.pointer
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def pointer(self) -> bytes:
        """The LFS pointer file."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def etag(self) -> str:
        """What the client takes for the content's identity."""
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Commit:
    """A state of a repository."""

    oid: str
    parent: str | None
    files: dict[str, Blob]
    title: str
    message: str
    author: str
    date: datetime


@dataclass
class Discussion:
    """A pull request."""

    num: int
    title: str
    description: str
    author: str
    base: str
    date: datetime
    status: Literal["draft", "open", "closed", "merged"] = "open"
    merge_commit: str | None = None


@dataclass
class Repository:
    """One repository, its commits and its refs."""

    kind: str
    id: str
    private: bool
    created: datetime
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)  # "main", "refs/pr/1" or a tag -> oid
    tags: set[str] = field(default_factory=set)
    discussions: dict[int, Discussion] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a pull request's ref or an oid."""
        revision = unquote(revision)  # "refs/pr/1" comes as one step of an address
        oid = self.refs.get(revision, revision)
        if oid not in self.commits:
            raise StorageError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """All commits behind a revision, newest first."""
        found, commit = [], self.at(revision)
        while True:
            found.append(commit)
            if commit.parent is None:
                return found
            commit = self.commits[commit.parent]

    def commit(self, ref: str, files: dict[str, Blob], title: str, message: str, author: str) -> Commit:
        """Puts a new state on a ref."""
        parent = self.refs.get(ref)
        number = len(self.commits)
        listing = "".join(f"{path} {blob.oid}\n" for path, blob in sorted(files.items()))
        oid = hashlib.sha1(f"{self.kind}/{self.id} {number} {parent} {title}\n{listing}".encode()).hexdigest()
        date = START + timedelta(seconds=number)
        commit = Commit(oid, parent, dict(files), title, message, author, date)
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def open_pull_request(self, title: str, description: str, author: str, base: str, draft: bool) -> Discussion:
        """A pull request whose ref starts at the base branch."""
        num = len(self.discussions) + 1
        status: Literal["draft", "open"] = "draft" if draft else "open"
        discussion = Discussion(num, title, description, author, base, START + timedelta(days=num), status)
        self.refs[f"refs/pr/{num}"] = self.at(base).oid
        self.discussions[num] = discussion
        return discussion

    def merge(self, num: int, author: str) -> None:
        """Puts a pull request's state on its base branch."""
        discussion = self.discussions[num]
        files = self.at(f"refs/pr/{num}").files
        discussion.merge_commit = self.commit(discussion.base, files, discussion.title, "", author).oid
        discussion.status = "merged"


class Storage:
    """All repositories, and the LFS objects that were uploaded."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}  # sha256 -> content

    def create(self, kind: str, repo_id: str, private: bool, author: str) -> Repository:
        repository = Repository(kind, repo_id, private, START + timedelta(hours=len(self.repositories)))
        repository.commit("main", {".gitattributes": Blob(GITATTRIBUTES.encode())}, "initial commit", "", author)
        self.repositories[kind, repo_id] = repository
        return repository

    def find(self, kind: str, repo_id: str) -> Repository | None:
        return self.repositories.get((kind, repo_id))


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub wants a file as an LFS object."""
    return size > LFS_SIZE or path.rpartition(".")[2].lower() in LFS_EXTENSIONS
