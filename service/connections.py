"""Connections of clients: how many there may be, and how long one may keep us waiting.

Uvicorn limits neither by itself: a client that sends half a head, or does not read its answer,
keeps its connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from service.envelope import failure
from service.shield import HEADERS

CROWDED: Final = "weightome.crowded"
"""Stands in the state of a request whose connection is one too many: the doorway refuses it."""


class BoundedConnection(H11Protocol):
    """A connection of a client."""

    most: int = 500
    """How many there may be at once; below the 1,024 files that a process may usually open."""

    head_seconds: float = 10.0
    """How long a client may take for the head of a request, from its connection or its first
    byte on."""

    unread_seconds: float = 60.0
    """How long a client may leave unread what was sent to it."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self.app_state = {**self.app_state, CROWDED: True}
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Uvicorn says that there always is a cycle; before the first head there is none.
        cycle: RequestResponseCycle | None = vars(self)["cycle"]
        if cycle is not None and not cycle.response_complete:
            self._has_head()
        elif self._deadline is None:
            self._await_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_read()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_head()
        self._has_read()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        # Uvicorn's own is plain text, and fails where an answer is under way.
        refusal = failure(400, "invalid_request", msg, {**HEADERS, "Connection": "close"})
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            for event in (
                h11.Response(status_code=400, headers=refusal.raw_headers, reason=b"Bad Request"),
                h11.Data(data=bytes(refusal.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_head(self) -> None:
        # How uvicorn ends a connection on which nothing comes any more.
        self._deadline = self.loop.call_later(self.head_seconds, self.timeout_keep_alive_handler)

    def _has_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
