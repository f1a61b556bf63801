"""Discussions and pull requests over HTTP."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request

from .access import Access
from .api import REPO, kind_of, timestamp
from .storage import Discussion, Event, Repository, StorageError

router = APIRouter(prefix="/api")
DISCUSSIONS = REPO + "/discussions"


@router.get(DISCUSSIONS)
async def listing(request: Request, kinds: str, namespace: str, name: str) -> dict[str, Any]:
    repository = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}")
    wanted = request.query_params
    entries = [
        entry_of(repository, discussion)
        for discussion in reversed(repository.discussions.values())
        if wanted.get("type", "all") in ("all", "pull_request" if discussion.base else "discussion")
        and wanted.get("author", discussion.author) == discussion.author
        # A draft is open as far as the list is asked.
        and wanted.get("status", "all") in ("all", "closed" if discussion.status in ("closed", "merged") else "open")
    ]
    return {"discussions": entries, "count": len(entries), "start": 0}


@router.post(DISCUSSIONS)
async def create(request: Request, kinds: str, namespace: str, name: str) -> dict[str, Any]:
    access, body = Access.of(request), await request.json()
    repository = access.write(kind_of(kinds), f"{namespace}/{name}", pull_request=True)
    title, description, author = body["title"], body.get("description") or "", access.logged_in().name
    if not 3 <= len(title) <= 200:
        raise StorageError(400, None, "A title has 3 to 200 characters")
    if body.get("pullRequest"):
        return entry_of(repository, repository.open_pull_request(title, description, author, "main", draft=True))
    return entry_of(repository, repository.discuss(title, description, author))


@router.get(DISCUSSIONS + "/{num}")
async def details(request: Request, kinds: str, namespace: str, name: str, num: int) -> dict[str, Any]:
    repository = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}")
    discussion = repository.discussion(num)
    entry = entry_of(repository, discussion) | {"events": [event_of(event) for event in discussion.events]}
    if discussion.base is None:
        return entry
    changes = {"base": discussion.base, "mergeCommitId": discussion.merge_commit}
    conflicts = [] if discussion.status == "merged" else repository.proposed(discussion)[1]
    return entry | {"changes": changes, "filesWithConflicts": conflicts, "diff": ""}


@router.post(DISCUSSIONS + "/{num}/{what}")
async def change(request: Request, kinds: str, namespace: str, name: str, num: int, what: str) -> dict[str, Any]:
    """Everybody may comment; the repository's owner and who opened a discussion may close it; the owner may merge."""
    access, body = Access.of(request), json.loads(await request.body() or b"{}")
    kind, repo_id = kind_of(kinds), f"{namespace}/{name}"
    discussion = access.read(kind, repo_id).discussion(num)
    author = access.logged_in().name
    if what == "comment":
        access.write(kind, repo_id, pull_request=True)
        return {"newMessage": event_of(discussion.comment(author, body["comment"]))}
    repository = access.write(kind, repo_id, what == "status" and discussion.author == author)
    if what == "merge":
        repository.merge(num, author)
        return {}
    if what == "status" and body["status"] in ("open", "closed") and discussion.status != "merged":
        return {"newStatus": event_of(discussion.set_status(author, body["status"]))}
    raise StorageError(400 if what == "status" else 404, None, f"Nothing to do with {num}: {what}")


def entry_of(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": timestamp(discussion.date),
        "status": discussion.status,
        "repo": {"name": repository.id, "type": repository.kind},
        "isPullRequest": discussion.base is not None,
    }


def event_of(event: Event) -> dict[str, Any]:
    date = timestamp(event.date)
    data = event.data
    if event.kind == "comment":
        data = data | {"latest": data["latest"] | {"updatedAt": date}}
    author = {"name": event.author}
    return {"id": f"{event.num:024x}", "type": event.kind, "createdAt": date, "author": author, "data": data}
