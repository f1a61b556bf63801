"""Repositories with their history, branches and pull requests. No HTTP in here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
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


@dataclass(frozen=True)
class Event:
    """What somebody did in a discussion, and its number there; `data` is as the client reads it."""

    num: int
    kind: Literal["comment", "status-change"]
    author: str
    date: datetime
    data: dict[str, Any]


@dataclass
class Discussion:
    """A discussion, or a pull request: then it has a base branch, and the commit at which it left it."""

    num: int
    title: str
    author: str
    date: datetime
    base: str | None = None
    start: str | None = None
    status: Literal["draft", "open", "closed", "merged"] = "open"
    merge_commit: str | None = None
    events: list[Event] = field(default_factory=list)

    def add(self, kind: Literal["comment", "status-change"], author: str, data: dict[str, Any]) -> Event:
        """Notes what somebody did."""
        event = Event(len(self.events), kind, author, self.date + timedelta(minutes=len(self.events)), data)
        self.events.append(event)
        return event

    def comment(self, author: str, text: str) -> Event:
        """Notes what somebody said."""
        latest = {"raw": text, "html": text, "updatedAt": None, "author": {"name": author}}
        return self.add("comment", author, {"edited": False, "hidden": False, "latest": latest, "history": []})

    def set_status(self, author: str, status: Literal["open", "closed", "merged"]) -> Event:
        """Opens, closes or merges it."""
        self.status = status
        return self.add("status-change", author, {"status": status})


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
        """Puts a new state on a branch or on a pull request's ref."""
        if ref in self.tags or ref in self.commits:
            raise StorageError(400, None, f"{ref} is no branch: nothing can be committed to it")
        parent = self.refs.get(ref)
        number = len(self.commits)
        listing = "".join(f"{path} {blob.oid}\n" for path, blob in sorted(files.items()))
        oid = hashlib.sha1(f"{self.kind}/{self.id} {number} {parent} {title}\n{listing}".encode()).hexdigest()
        date = START + timedelta(seconds=number)
        commit = Commit(oid, parent, dict(files), title, message, author, date)
        self.commits[oid] = commit
        self.refs[ref] = oid
        return commit

    def discuss(self, title: str, description: str, author: str) -> Discussion:
        """A new discussion."""
        num = len(self.discussions) + 1
        discussion = Discussion(num, title, author, START + timedelta(days=num))
        discussion.comment(author, description)
        self.discussions[num] = discussion
        return discussion

    def open_pull_request(self, title: str, description: str, author: str, base: str, draft: bool) -> Discussion:
        """A pull request whose ref starts at the base branch."""
        start = self.at(base).oid
        discussion = self.discuss(title, description, author)
        discussion.base, discussion.start = base, start
        discussion.status = "draft" if draft else "open"
        self.refs[f"refs/pr/{discussion.num}"] = start
        return discussion

    def discussion(self, num: int) -> Discussion:
        """A discussion that is there."""
        if num not in self.discussions:
            raise StorageError(404, None, f"No discussion {num}")
        return self.discussions[num]

    def proposed(self, discussion: Discussion) -> tuple[dict[str, Blob], list[str]]:
        """The base branch's files with a pull request's changes, and the paths that both changed since it started."""
        assert discussion.start is not None and discussion.base is not None
        before, ours = self.commits[discussion.start].files, self.at(discussion.base).files
        theirs = self.at(f"refs/pr/{discussion.num}").files
        changed = {path for path in before.keys() | theirs.keys() if before.get(path) != theirs.get(path)}
        conflicts = [path for path in sorted(changed) if ours.get(path) not in (before.get(path), theirs.get(path))]
        kept = {path: blob for path, blob in ours.items() if path not in changed}
        return kept | {path: theirs[path] for path in changed if path in theirs}, conflicts

    def merge(self, num: int, author: str) -> None:
        """Puts a pull request's changes on its base branch, which may have moved since."""
        discussion = self.discussion(num)
        if discussion.base is None or discussion.status not in ("draft", "open"):
            raise StorageError(400, None, f"{num} is no open pull request")
        files, conflicts = self.proposed(discussion)
        if conflicts:
            raise StorageError(409, None, f"Conflicts in {', '.join(conflicts)}")
        discussion.merge_commit = self.commit(discussion.base, files, discussion.title, "", author).oid
        discussion.set_status(author, "merged")

    def delete_ref(self, ref: str, is_tag: bool) -> None:
        """Takes away a branch or a tag; the commits stay."""
        if ref not in self.refs or ref.startswith("refs/") or (ref in self.tags) != is_tag:
            raise StorageError(404, "RevisionNotFound", f"Invalid rev id: {ref}")
        if ref == "main":
            raise StorageError(400, None, "The main branch can't be deleted")
        del self.refs[ref]
        self.tags.discard(ref)


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
