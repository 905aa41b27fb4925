"""Security headers on every response, and no unexpected error gets out."""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.failures import Refusal
from service.visits import visit_of

_log = logging.getLogger("weightome.service")

HEADERS = {
    # An answer is data: a browser shall neither guess its type, nor run, frame or keep it.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Shield:
    """ASGI middleware: adds what `HEADERS` says where a response does not say it itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def shielded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, shielded)
        except Exception:
            _log.exception(
                "Unexpected error at %s %r (request %s)",
                scope["method"],
                scope["path"],
                visit_of(scope).id,
            )
            if started:
                raise
            refusal = Refusal(
                500, "internal_error", "The service failed; its log says more about this."
            )
            await refusal.response()(scope, receive, shielded)
        except asyncio.CancelledError:
            # The server stops, and its patience with this answer is over.
            if started:
                raise
            refusal = Refusal(503, "stopping", "The service stops; ask again when it is back.")
            await refusal.response()(scope, receive, shielded)
