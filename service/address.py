"""Addresses are split before they are decoded, so a name may hold a slash.

Servers decode a path first: ``/v1/networks/a%2Flayers/layers`` would reach the routes as
``/v1/networks/a/layers/layers``, and a layer ``b/neurons`` of one network could not be told from
one of another. RFC 3986 (section 2.2) has it the other way round, and so do we: between two
slashes stands one name, percent-encoded. :mod:`service.parameters` decodes it.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from service.failures import Refusal


class Addresses:
    """ASGI middleware that hands the routes the path as it was sent, and refuses broken ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: bytes = scope["raw_path"]
        try:
            for part in (path, scope["query_string"]):
                unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            refusal = Refusal(400, "invalid_address", "The address is not valid UTF-8.")
            await refusal.response()(scope, receive, send)
            return
        # In place: what the routes add to the scope is read further out.
        scope["path"] = path.decode("ascii")
        await self.app(scope, receive, send)
