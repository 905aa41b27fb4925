"""Who may come in: the ``Host`` header, the bearer token and the length of the body."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.failures import Refusal
from service.options import Options

# They say nothing that is not in the source code, and a browser cannot send a token for a page.
OPEN = frozenset({"/", "/health", "/docs", "/openapi.json"})


class Doorway:
    """ASGI middleware that turns away whoever may not come in.

    Parameters
    ----------
    options
        `hosts`, `token` and `body_bytes` count here.
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
            self._check_host(headers.get("host", ""))
            if scope["path"] not in OPEN:
                self._check_token(headers.get("authorization", ""))
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

    def _check_token(self, header: str) -> None:
        if self._options.token is None:
            return
        expected = self._options.token.get_secret_value().encode()
        scheme, _, sent = header.partition(" ")
        # latin-1 is how the header was decoded; comparing takes equally long for every token.
        right = hmac.compare_digest(sent.strip().encode("latin-1"), expected)
        if scheme.lower() != "bearer" or not right:
            raise Refusal(
                401,
                "unauthorized",
                "This service wants its token, sent as 'Authorization: Bearer TOKEN'.",
                {"WWW-Authenticate": 'Bearer realm="weightome"'},
            )

    async def _whole_body(self, headers: Headers, receive: Receive) -> Receive:
        """Reads the body, up to its limit, before anything works on it."""
        limit = self._options.body_bytes
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            raise _too_large(limit)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _replay([message], receive)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise _too_large(limit)
        return _replay([{"type": "http.request", "body": bytes(body)}], receive)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"A request body may have {limit} bytes at most.",
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
