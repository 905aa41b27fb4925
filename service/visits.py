"""What each request was and what became of it: one record, for the log and the metrics."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-ID"
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATE = "weightome.visit"


@dataclass
class Visit:
    """One request, from its head to the end of its answer.

    Parameters
    ----------
    id
        The client's own `X-Request-ID`, where it can be used, or a new one.
    method, path, query
        As they were sent.
    begun
        When its head was read.
    who
        Label of its token; None where it needed none or had none.
    route
        Template of the address that answered it; None where there is none.
    status
        Of the answer; None while there is none.
    bytes
        Length of the answer's body so far.
    seconds
        How long it took.
    complete
        Whether the answer was sent to its end.
    """

    id: str
    method: str
    path: str
    query: str
    begun: datetime = field(default_factory=lambda: datetime.now(UTC))
    who: str | None = None
    route: str | None = None
    status: int | None = None
    bytes: int = 0
    seconds: float = 0.0
    complete: bool = False


class Observer(Protocol):
    """Who is told of visits."""

    def begun(self, visit: Visit) -> None:
        """A request came."""
        ...

    def ended(self, visit: Visit) -> None:
        """Its answer was sent, or never will be."""
        ...


class Visits:
    """ASGI middleware, the outermost: records each request and gives its answer an id.

    Parameters
    ----------
    observers
        Who is told.
    """

    def __init__(self, app: ASGIApp, observers: Iterable[Observer]) -> None:
        self.app = app
        self._observers = tuple(observers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = Visit(
            _id(Headers(scope=scope).get(REQUEST_ID, "")),
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
        )
        scope.setdefault("state", {})[_STATE] = visit
        started = time.perf_counter()

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = visit.id
            await send(message)
            if message["type"] == "http.response.body":
                visit.bytes += len(message.get("body", b""))
                visit.complete = not message.get("more_body", False)

        for observer in self._observers:
            observer.begun(visit)
        try:
            await self.app(scope, receive, recorded)
        finally:
            visit.seconds = time.perf_counter() - started
            visit.route = _template(scope)
            for observer in self._observers:
                observer.ended(visit)


def visit_of(scope: Scope) -> Visit:
    """The record of the request that a scope is of."""
    visit: Visit = scope["state"][_STATE]
    return visit


def _id(sent: str) -> str:
    # Whatever a client sends goes into our log and its own answer: only what cannot break them.
    return sent if _USABLE_ID.fullmatch(sent) else uuid.uuid4().hex


def _template(scope: Scope) -> str | None:
    """The route's own text, which is one of a few, unlike the path that a client chose."""
    route: Any = scope.get("route")
    return getattr(route, "path", None)
