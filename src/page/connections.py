"""How long a connection may keep the server waiting, and how many there may be.

uvicorn waits for ever for a request that doesn't come, or comes a byte at a time, and for whoever doesn't read answers.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEAD_SECONDS = 10
"""From the opening, or from the first byte of a further request, to the end of its headers."""

BODY_SECONDS = 120
"""For an upload, and again for its answer: 10 MB may come through a tunnel from far away."""

MOST_CONNECTIONS = 200
"""A browser opens up to seven for a page."""


class Impatient(H11Protocol):
    """A connection that is cut off when its time is over. One that becomes a websocket is `Pinged` from then on."""

    _deadline: asyncio.TimerHandle | None = None
    _stage = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._enter("head", HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self._stage == "idle":
            self._enter("head", HEAD_SECONDS)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        self._enter("idle", BODY_SECONDS)  # uvicorn ends it sooner, unless the answer isn't taken
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Give the request at hand the time that it has at its stage."""
        if self.transport.get_protocol() is not self:
            self._stop()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._enter("body" if self.cycle.more_body else "answer", BODY_SECONDS)

    def _enter(self, stage: str, seconds: float) -> None:
        if stage != self._stage:
            self._stop()
            self._stage = stage
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        self._stage = ""
        if self._deadline is not None:
            self._deadline.cancel()


class Pinged(WebSocketsSansIOProtocol):
    """A websocket: as long-lived as it answers uvicorn's pings, then cut off, though it may not read a farewell."""

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()
