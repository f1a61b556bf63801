"""Runs the Hub in a thread of this process."""

from __future__ import annotations

import threading
import time

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from . import api, discussions, files
from .access import TOKENS
from .faults import Fault, Record, Watcher
from .storage import Storage, StorageError


def make_app(storage: Storage) -> FastAPI:
    """The app over a storage."""
    app = FastAPI()
    app.state.storage = storage
    app.include_router(discussions.router)  # first: the API's last route takes any verb
    app.include_router(api.router)
    app.include_router(files.router)

    @app.exception_handler(StorageError)
    async def refuse(_request: Request, error: StorageError) -> JSONResponse:
        headers = {"x-error-message": str(error)} | ({"x-error-code": error.code} if error.code else {}) | error.headers
        return JSONResponse({"error": str(error)}, error.status, headers)

    return app


class LoopbackHub:
    """A Hub on 127.0.0.1.

    Args:
        port: the port; 0 for a free one.
    """

    tokens = {"write": "hf_alicemaywrite", "read": "hf_alicemayread", "other": "hf_bobmaywrite"}

    def __init__(self, port: int = 0) -> None:
        assert set(self.tokens.values()) == set(TOKENS)
        self.storage = Storage()
        self._watcher = Watcher(make_app(self.storage))
        # h11 is uvicorn's own; the connection is the same object with it on every machine.
        config = uvicorn.Config(self._watcher, port=port, http="h11", log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> LoopbackHub:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()

    def __enter__(self) -> LoopbackHub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def faults(self) -> list[Fault]:
        """Faults to come; append to it, or clear it."""
        return self._watcher.faults

    @property
    def requests(self) -> list[Record]:
        """What was asked so far; may be cleared."""
        return self._watcher.requests

    def clear_log(self) -> None:
        """Forgets what was asked so far."""
        self.requests.clear()

    def uploaded_bytes(self) -> int:
        """Bytes of all requests' bodies so far."""
        return sum(record.request_bytes for record in self.requests)
