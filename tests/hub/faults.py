"""Faults as networks and servers have them, made at the connection itself, and a log of what was asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from .access import TOKENS

DEFAULT_MESSAGE = "This server was told to fail"


@dataclass
class Fault:
    """What goes wrong, with which requests, and how often.

    Attributes:
        method: of the requests, or "" for any.
        path: regular expression that is found in their paths.
        times: how many requests; None for all.
        status: answer with it.
        headers: of that answer.
        cut: cut the connection "before" the request is looked at, "after" it was carried out and before it is answered,
            or in the answer's body after so many bytes.
        delay: seconds to wait before anything else.
    """

    method: str
    path: str
    times: int | None = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: Literal["before", "after"] | int | None = None
    delay: float = 0.0


@dataclass
class Record:
    """One request: never its token."""

    method: str
    path: str
    range: str | None
    authorized: bool
    user: str | None = None
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0


class Watcher:
    """Stands before the app: logs requests, and lets faults happen."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.faults: list[Fault] = []
        self.requests: list[Record] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        owner = TOKENS.get(headers.get("authorization", "").removeprefix("Bearer "))
        record = Record(scope["method"], scope["path"], headers.get("range"), "authorization" in headers)
        record.user = owner.name if owner else None
        self.requests.append(record)
        fault = self._next_fault(record)
        # A quoted slash is part of a name: "refs%2Fpr%2F1" is one step, which is unquoted where names are looked up.
        scope = scope | {"path": unquote(scope["raw_path"].decode().replace("%2F", "%252F"))}
        # uvicorn's `send` belongs to the exchange, which holds the connection.
        transport = send.__self__.transport

        async def counted_receive() -> Any:
            message = await receive()
            record.request_bytes += len(message.get("body", b""))
            return message

        async def watched_send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            body = message.get("body", b"")
            if fault is not None and fault.cut == "after":
                return
            if fault is not None and isinstance(fault.cut, int) and record.response_bytes + len(body) > fault.cut:
                await send(message | {"body": body[: fault.cut - record.response_bytes], "more_body": True})
                record.response_bytes = fault.cut
                await asyncio.sleep(0.05)  # the bytes are on their way before the connection goes
                transport.close()
                return
            record.response_bytes += len(body)
            await send(message)

        if fault is not None:
            await asyncio.sleep(fault.delay)
            if fault.cut == "before":
                transport.abort()
                await asyncio.sleep(0.05)
                return
            if fault.status is not None:
                while (await counted_receive()).get("more_body"):  # a server that fails has read what was sent
                    pass
                await self._answer(fault, record, send)
                return
        await self.app(scope, counted_receive, watched_send)
        if fault is not None and fault.cut == "after":
            transport.abort()
            await asyncio.sleep(0.05)

    def _next_fault(self, record: Record) -> Fault | None:
        for fault in self.faults:
            if fault.method in ("", record.method) and re.search(fault.path, record.path) and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def _answer(self, fault: Fault, record: Record, send: Any) -> None:
        assert fault.status is not None
        record.status = fault.status
        body = json.dumps({"error": DEFAULT_MESSAGE}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))} | fault.headers
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": fault.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
