"""Who may come in: the ``Host`` header, the token, the page that asks, and the request's body."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.connections import CROWDED
from service.failures import Refusal
from service.options import Options
from service.origins import is_foreign
from service.tokens import SAFE_METHODS, scope_needed
from service.visits import visit_of

# Method and path of what reads its body itself, piece by piece, within a limit of its own.
STREAMED: Final = frozenset({("POST", "/v1/networks")})


class Doorway:
    """ASGI middleware that turns away whoever may not come in.

    Parameters
    ----------
    options
        `hosts`, `tokens`, `origins`, `body_bytes` and `body_seconds` count here.
    """

    def __init__(self, app: ASGIApp, options: Options) -> None:
        self.app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            _check_room(scope)
            self._check_host(headers.get("host", ""))
            if self._options.tokens is not None:
                self._check_token(scope, headers.get("authorization", ""))
            else:
                self._check_origin(scope, headers)
            if (scope["method"], scope["path"]) in STREAMED:
                receive = self._timely(receive)
            else:
                receive = await self._whole_body(headers, receive)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check_host(self, header: str) -> None:
        """A page of another site may have its name point here (DNS rebinding): its browser then
        takes us for that site, but the Host header tells."""
        if self._options.hosts is not None and host_name(header) not in self._options.hosts:
            raise Refusal(
                400,
                "invalid_host",
                f"This service does not answer to the host name {header!r}; see --allow-host.",
            )

    def _check_token(self, scope: Scope, header: str) -> None:
        needed = scope_needed(scope["method"], scope["path"])
        if needed is None or self._options.tokens is None:
            return
        scheme, _, sent = header.partition(" ")
        # latin-1 is how the header was decoded.
        token = self._options.tokens.bearer(sent.strip().encode("latin-1"))
        if scheme.lower() != "bearer" or token is None:
            raise Refusal(
                401,
                "unauthorized",
                "This service wants its token, sent as 'Authorization: Bearer TOKEN'.",
                {"WWW-Authenticate": 'Bearer realm="weightome"'},
            )
        visit_of(scope).who = token.label
        if needed not in token.scopes:
            challenge = f'Bearer realm="weightome", error="insufficient_scope", scope="{needed}"'
            raise Refusal(
                403,
                "scope_missing",
                f"This token lacks the scope {needed!r}, which this address needs.",
                {"WWW-Authenticate": challenge},
            )

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Where no token is asked for, any page that the user visits could send what changes
        something; only reading the answer is what its browser keeps it from."""
        if scope["method"] in SAFE_METHODS:
            return
        if is_foreign(headers, scope["scheme"], self._options.origins):
            raise Refusal(
                403,
                "foreign_origin",
                "A page of another site sent this; its origin is not allowed, see --allow-origin.",
            )

    async def _whole_body(self, headers: Headers, receive: Receive) -> Receive:
        """Reads the body, up to its limit, before anything works on it."""
        limit = self._options.body_bytes
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            raise _too_large(limit)
        body = bytearray()
        more = True
        try:
            async with asyncio.timeout(self._options.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return _replay([message], receive)
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > limit:
                        raise _too_large(limit)
        except TimeoutError:
            raise _too_slow() from None
        return _replay([{"type": "http.request", "body": bytes(body)}], receive)

    def _timely(self, receive: Receive) -> Receive:
        """Reads on, as long as no piece of the body keeps us waiting too long."""
        more = True

        async def timely() -> Message:
            nonlocal more
            # After the body comes only that the client is gone, which may take any time.
            seconds = self._options.body_seconds if more else None
            try:
                async with asyncio.timeout(seconds):
                    message = await receive()
            except TimeoutError:
                raise _too_slow() from None
            more = message.get("more_body", False)
            return message

        return timely


def _check_room(scope: Scope) -> None:
    # Who watches whether we live must not take a crowd for a death.
    if CROWDED in scope["state"] and scope["path"] != "/health":
        raise Refusal(
            503,
            "busy",
            "As many connections as there may be are open; try again in a moment.",
            {"Retry-After": "1", "Connection": "close"},
        )


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"A request body may have {limit} bytes at most.",
        {"Connection": "close"},
    )


def _too_slow() -> Refusal:
    return Refusal(
        408,
        "body_too_slow",
        "The request body did not arrive in time.",
        {"Connection": "close"},
    )


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def host_name(header: str) -> str:
    """The name in a Host header, in lower case, without port; "" when there is none.

    Example
    -------
    >>> host_name("LocalHost:8080"), host_name("[::1]:8080"), host_name("a:b:c")
    ('localhost', '::1', '')
    """
    try:
        parts = urlsplit(f"//{header}")
        parts.port  # noqa: B018  (raises when it is no number)
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.path else parts.hostname or ""
