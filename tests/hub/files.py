"""Files: LFS upload, and download with the headers by which the client caches and resumes."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from fastapi import APIRouter, Request, Response

from .access import Access
from .api import base_url
from .storage import StorageError

router = APIRouter()


@router.post("/{prefix}/{namespace}/{name}.git/info/lfs/objects/batch")
@router.post("/{namespace}/{name}.git/info/lfs/objects/batch")
async def batch(request: Request, namespace: str, name: str, prefix: str = "models") -> dict[str, Any]:
    access = Access.of(request)
    access.write(prefix.removesuffix("s"), f"{namespace}/{name}", pull_request=True)
    objects = []
    for wanted in (await request.json())["objects"]:
        entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in access.storage.objects:
            address = f"{base_url(request)}/lfs/{wanted['oid']}"
            entry["actions"] = {
                "upload": {"href": f"{address}?size={wanted['size']}"},
                "verify": {"href": f"{address}/verify"},
            }
        objects.append(entry)
    return {"transfer": "basic", "objects": objects}


@router.put("/lfs/{oid}")
async def upload(request: Request, oid: str, size: int) -> Response:
    """What a signed address of the storage takes; it asks for no token."""
    content = await request.body()
    if len(content) != size or hashlib.sha256(content).hexdigest() != oid:
        raise StorageError(400, None, "The content is not what was announced")
    request.app.state.storage.objects[oid] = content
    return Response()


@router.post("/lfs/{oid}/verify")
async def verify(request: Request, oid: str) -> dict[str, Any]:
    Access.of(request).logged_in()
    if oid not in request.app.state.storage.objects:
        raise StorageError(404, None, "No such object")
    return {}


@router.api_route("/lfs/{oid}", methods=["GET", "HEAD"])
async def stored(request: Request, oid: str) -> Response:
    content = request.app.state.storage.objects.get(oid)
    if content is None:
        raise StorageError(404, None, "No such object")
    return ranged(request, content, {"etag": f'"{oid}"'})


@router.api_route("/{prefix}/{namespace}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
@router.api_route("/{namespace}/{name}/resolve/{revision}/{path:path}", methods=["GET", "HEAD"])
async def resolve(
    request: Request, namespace: str, name: str, revision: str, path: str, prefix: str = "models"
) -> Response:
    commit = Access.of(request).read(prefix.removesuffix("s"), f"{namespace}/{name}").at(revision)
    headers = {"x-repo-commit": commit.oid}
    blob = commit.files.get(path)
    if blob is None:
        raise StorageError(404, "EntryNotFound", "Entry not found", headers)
    if blob.sha256 is None:
        return ranged(request, blob.content, headers | {"etag": f'"{blob.etag}"'})
    # Another host name, as a CDN has one: the client must not take its token there.
    storage = base_url(request).replace("127.0.0.1", "localhost")
    headers |= {"x-linked-etag": f'"{blob.sha256}"', "x-linked-size": str(len(blob.content))}
    return Response(status_code=302, headers=headers | {"location": f"{storage}/lfs/{blob.sha256}"})


def ranged(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    headers = headers | {"accept-ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if wanted is None or not (wanted[1] or wanted[2]) or (all(wanted.groups()) and int(wanted[2]) < int(wanted[1])):
        return Response(content, headers=headers, media_type="application/octet-stream")
    if wanted[1]:
        start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
    else:  # the last bytes
        start, end = max(len(content) - int(wanted[2]), 0), len(content) - 1
    if start >= len(content):
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{len(content)}"})
    headers |= {"content-range": f"bytes {start}-{min(end, len(content) - 1)}/{len(content)}"}
    return Response(content[start : end + 1], 206, headers, media_type="application/octet-stream")
