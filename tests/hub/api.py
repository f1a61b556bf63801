"""The Hub's JSON API: repositories, trees, refs, commits, pull requests."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from . import cards
from .access import Access
from .storage import Blob, Commit, Repository, StorageError, is_lfs

router = APIRouter(prefix="/api")
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
REPO = "/{kinds}/{namespace}/{name}"


def kind_of(kinds: str) -> str:
    if kinds not in KINDS:
        raise StorageError(404, None, "Not Found")
    return KINDS[kinds]


@router.get("/whoami-v2")
async def whoami(request: Request) -> dict[str, Any]:
    user = Access.of(request).logged_in()
    token = {"accessToken": {"displayName": "test", "role": user.role}}
    return {"type": "user", "name": user.name, "fullname": user.name, "orgs": [], "auth": token}


@router.post("/validate-yaml")
async def validate_yaml(request: Request) -> Any:
    body = await request.json()
    if found := cards.problems(body["content"]):
        return JSONResponse({"errors": [{"message": message} for message in found], "warnings": []}, 400)
    empty = [] if cards.metadata(body["content"]) else [{"message": "empty or missing yaml metadata in repo card"}]
    return {"errors": [], "warnings": empty}


@router.post("/repos/create")
async def create(request: Request) -> Any:
    access, body = Access.of(request), await request.json()
    namespace = body.get("organization") or access.logged_in().name
    user = access.create(namespace)
    kind, repo_id = body.get("type", "model"), f"{namespace}/{body['name']}"
    prefix = "" if kind == "model" else f"{kind}s/"
    answer = {"url": f"{base_url(request)}/{prefix}{repo_id}", "name": repo_id}
    if kind == "space" and body.get("sdk") not in ("gradio", "docker", "static"):
        raise StorageError(400, None, '"sdk" must be one of gradio, docker, static')
    if access.storage.find(kind, repo_id):
        return JSONResponse(answer | {"error": "You already created this repo"}, 409)
    access.storage.create(kind, repo_id, body.get("visibility") == "private", user.name)
    return answer


@router.delete("/repos/delete")
async def delete(request: Request) -> dict[str, str]:
    access, body = Access.of(request), await request.json()
    namespace = body.get("organization") or access.logged_in().name
    repository = access.write(body.get("type", "model"), f"{namespace}/{body['name']}")
    del access.storage.repositories[repository.kind, repository.id]
    return {"name": repository.id}


@router.get(REPO)
async def info(request: Request, kinds: str, namespace: str, name: str, blobs: bool = False) -> dict[str, Any]:
    return describe(Access.of(request).read(kind_of(kinds), f"{namespace}/{name}"), "main", blobs)


@router.get(REPO + "/revision/{revision:path}")
async def info_at(
    request: Request, kinds: str, namespace: str, name: str, revision: str, blobs: bool = False
) -> dict[str, Any]:
    return describe(Access.of(request).read(kind_of(kinds), f"{namespace}/{name}"), revision, blobs)


@router.put(REPO + "/settings")
async def settings(request: Request, kinds: str, namespace: str, name: str) -> dict[str, Any]:
    repository = Access.of(request).write(kind_of(kinds), f"{namespace}/{name}")
    visibility = (await request.json()).get("visibility")
    if visibility not in ("private", "public"):
        raise StorageError(400, None, '"visibility" must be "private" or "public"')
    repository.private = visibility == "private"
    return {"private": repository.private}


def describe(repository: Repository, revision: str, blobs: bool) -> dict[str, Any]:
    commit = repository.at(revision)
    card = commit.files.get("README.md")
    try:
        data = cards.metadata(card.content.decode()) if card else {}
    except ValueError:
        data = {}
    entry: dict[str, Any] = {
        "_id": repository.id,
        "id": repository.id,
        "author": repository.owner,
        "sha": commit.oid,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "createdAt": timestamp(repository.created),
        "lastModified": timestamp(commit.date),
        "tags": cards.derived_tags(data),
        "cardData": data,
        "siblings": [sibling(path, blob, blobs) for path, blob in sorted(commit.files.items())],
    }
    if repository.kind == "model":
        entry |= {key: data[key] for key in ("pipeline_tag", "library_name") if key in data}
    return entry


def sibling(path: str, blob: Blob, blobs: bool) -> dict[str, Any]:
    """A file as a repository's description lists it: its size only where `blobs` asks for it."""
    if not blobs:
        return {"rfilename": path}
    entry: dict[str, Any] = {"rfilename": path, "size": len(blob.content), "blobId": blob.oid}
    if blob.sha256:
        entry["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return entry


@router.get(REPO + "/tree/{revision}")
@router.get(REPO + "/tree/{revision}/{path:path}")
async def tree(
    request: Request, kinds: str, namespace: str, name: str, revision: str, path: str = "", recursive: bool = False
) -> list[dict[str, Any]]:
    commit = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}").at(revision)
    path = unquote(path)
    prefix = f"{path}/" if path else ""
    inside = {file: blob for file, blob in sorted(commit.files.items()) if file.startswith(prefix)}
    if path and not inside:
        raise StorageError(404, "EntryNotFound", f"{path} does not exist on {revision!r}")
    folders: dict[str, dict[str, Any]] = {}
    files = []
    for file, blob in inside.items():
        steps = file.removeprefix(prefix).split("/")
        for depth in range(1, len(steps)):
            folder = prefix + "/".join(steps[:depth])
            folders[folder] = {"type": "directory", "path": folder, "oid": blob.oid, "size": 0}
            if not recursive:
                break
        if recursive or len(steps) == 1:
            files.append(entry_of(file, blob))
    return [*folders.values(), *files]


def entry_of(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    if blob.sha256:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}
    return entry


@router.post(REPO + "/paths-info/{revision}")
async def paths_info(request: Request, kinds: str, namespace: str, name: str, revision: str) -> list[dict[str, Any]]:
    commit = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}").at(revision)
    if "json" in request.headers.get("content-type", ""):
        paths = (await request.json())["paths"]
    else:
        paths = (await request.form()).getlist("paths")
    found = [entry_of(path, commit.files[path]) for path in paths if path in commit.files]
    folders = [path for path in paths if any(file.startswith(f"{path}/") for file in commit.files)]
    return [*found, *({"type": "directory", "path": path, "oid": commit.oid, "size": 0} for path in folders)]


@router.get(REPO + "/refs")
async def refs(request: Request, kinds: str, namespace: str, name: str) -> dict[str, Any]:
    repository = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}")

    def entry(ref: str, full: str) -> dict[str, str]:
        return {"name": ref, "ref": full, "targetCommit": repository.refs[ref]}

    pulls = [ref for ref in repository.refs if ref.startswith("refs/pr/")]
    branches = [ref for ref in repository.refs if ref not in pulls and ref not in repository.tags]
    return {
        "branches": [entry(ref, f"refs/heads/{ref}") for ref in branches],
        "tags": [entry(ref, f"refs/tags/{ref}") for ref in repository.tags],
        "pullRequests": [entry(ref, ref) for ref in pulls],
        "converts": [],
    }


@router.delete(REPO + "/branch/{ref:path}")
async def delete_branch(request: Request, kinds: str, namespace: str, name: str, ref: str) -> dict[str, Any]:
    Access.of(request).write(kind_of(kinds), f"{namespace}/{name}").delete_ref(unquote(ref), is_tag=False)
    return {}


@router.delete(REPO + "/tag/{ref:path}")
async def delete_tag(request: Request, kinds: str, namespace: str, name: str, ref: str) -> dict[str, Any]:
    Access.of(request).write(kind_of(kinds), f"{namespace}/{name}").delete_ref(unquote(ref), is_tag=True)
    return {}


@router.post(REPO + "/{what}/{ref:path}", include_in_schema=False)
async def change(request: Request, kinds: str, namespace: str, name: str, what: str, ref: str) -> Any:
    """All that changes a repository, by the verb in the address."""
    repo_id, ref = f"{namespace}/{name}", unquote(ref)
    access, kind = Access.of(request), kind_of(kinds)
    proposed = request.query_params.get("create_pr") == "1"
    if what == "branch":
        return make_branch(access.write(kind, repo_id), ref, await request.body())
    if what == "tag":
        return make_tag(access.write(kind, repo_id), ref, await request.json())
    if what == "preupload":
        repository = access.write(kind, repo_id, True) if proposed else access.write_ref(kind, repo_id, ref)
        return preupload(repository, ref, await request.json())
    if what == "commit":
        repository = access.write(kind, repo_id, True) if proposed else access.write_ref(kind, repo_id, ref)
        return commit_to(request, access, repository, ref, await request.body())
    raise StorageError(404, None, "Not Found")


def make_branch(repository: Repository, branch: str, body: bytes) -> dict[str, str]:
    if branch in repository.refs:
        raise StorageError(409, None, f"Reference already exists: {branch}")
    start = json.loads(body or b"{}").get("startingPoint", "main")
    repository.refs[branch] = repository.at(start).oid
    return {}


def make_tag(repository: Repository, revision: str, body: dict[str, Any]) -> dict[str, str]:
    if body["tag"] in repository.refs:
        raise StorageError(409, None, f"Reference already exists: {body['tag']}")
    repository.refs[body["tag"]] = repository.at(revision).oid
    repository.tags.add(body["tag"])
    return {}


def preupload(repository: Repository, revision: str, body: dict[str, Any]) -> dict[str, Any]:
    there = repository.at(revision).files
    return {
        "files": [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_lfs(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
                "oid": there[file["path"]].etag if file["path"] in there else None,
            }
            for file in body["files"]
        ]
    }


def commit_to(request: Request, access: Access, repository: Repository, revision: str, body: bytes) -> dict[str, Any]:
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        header, operations = lines[0]["value"], lines[1:]
    except (IndexError, TypeError, ValueError) as error:
        raise StorageError(400, None, "A commit is lines of JSON, the first of them its header") from error
    author, base = access.logged_in().name, repository.at(revision)
    as_pull_request = request.query_params.get("create_pr") == "1"
    if header.get("parentCommit") not in (None, base.oid) and not as_pull_request:
        raise StorageError(412, None, "A commit has happened since. Please refresh and try again.")
    # Everything is checked before anything is changed.
    files = changed_files(access, base, operations)
    ref, url = revision, None
    if as_pull_request:
        discussion = repository.open_pull_request(
            header["summary"], header["description"], author, revision, draft=False
        )
        ref = f"refs/pr/{discussion.num}"
        url = f"{base_url(request)}/{web_path(repository)}/discussions/{discussion.num}"
    commit = repository.commit(ref, files, header["summary"], header["description"], author)
    answer = {"success": True, "commitOid": commit.oid}
    answer["commitUrl"] = f"{base_url(request)}/{web_path(repository)}/commit/{commit.oid}"
    return answer | ({"pullRequestUrl": url} if url else {})


def changed_files(access: Access, base: Commit, operations: list[dict[str, Any]]) -> dict[str, Blob]:
    files = dict(base.files)
    for operation in operations:
        key, value = operation["key"], operation["value"]
        if key in ("file", "lfsFile") and not {"", ".", "..", ".git"}.isdisjoint(value["path"].split("/")):
            raise StorageError(400, None, f"Invalid path: {value['path']}")
        if key == "file":
            files[value["path"]] = Blob(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            if value["oid"] not in access.storage.objects:
                raise StorageError(400, None, f"LFS object {value['oid']} was never uploaded")
            files[value["path"]] = Blob(access.storage.objects[value["oid"]], value["oid"])
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise StorageError(404, "EntryNotFound", "A file with this name doesn't exist")
        elif key == "deletedFolder":
            folder = value["path"].rstrip("/") + "/"
            kept = {path: blob for path, blob in files.items() if not path.startswith(folder)}
            if len(kept) == len(files):
                raise StorageError(404, "EntryNotFound", "A folder with this name doesn't exist")
            files = kept
        else:
            raise StorageError(400, None, f"Unknown operation {key}")
    return files


@router.get(REPO + "/commits/{revision:path}")
async def commits(request: Request, kinds: str, namespace: str, name: str, revision: str) -> list[dict[str, Any]]:
    repository = Access.of(request).read(kind_of(kinds), f"{namespace}/{name}")
    return [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "date": timestamp(commit.date),
            "authors": [{"user": commit.author}],
        }
        for commit in repository.history(revision)
    ]


def web_path(repository: Repository) -> str:
    return repository.id if repository.kind == "model" else f"{repository.kind}s/{repository.id}"


def base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def timestamp(date: Any) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")
