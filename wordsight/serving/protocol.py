"""uvicorn's HTTP protocol, with an end to the wait for a request's headers.

uvicorn itself waits for ever for the first request of a connection, so that a client that sends its headers byte by
byte, or none at all, would hold its connection as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADER_SECONDS = 10.0

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Base
else:
    _Base = AutoHTTPProtocol


class PatientProtocol(_Base):
    """Closes connections whose headers take longer than `HEADER_SECONDS`."""

    _timer: asyncio.TimerHandle | None = None
    _seen: Any = None  # the request that was read last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A client has sent something."""
        super().data_received(data)
        if self.cycle is not self._seen:  # headers are complete: the app has the request
            self._seen = self.cycle
            self._stop_waiting()
        elif self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
