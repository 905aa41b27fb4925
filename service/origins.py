"""Pages of other sites: which may use the service (CORS), and which are kept from changing it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.envelope import failure
from service.shield import HEADERS
from store.errors import SettingsError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")


def origin(text: str) -> str:
    """An origin as browsers send it: in lower case and without a port that goes without saying.

    Parameters
    ----------
    text
        ``scheme://host`` or ``scheme://host:port``.

    Raises
    ------
    SettingsError
        If it is anything else, `*` included.

    Example
    -------
    >>> origin("https://Models.Example:443"), origin("http://[::1]:3000")
    ('https://models.example', 'http://[::1]:3000')
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _no_origin(text) from None
    bracketed = f"[{host}]" if ":" in host else host
    written = bracketed if port is None else f"{bracketed}:{port}"
    default = _DEFAULT_PORTS.get(parts.scheme)
    plain = text.lower() == f"{parts.scheme}://{written}"
    if default is None or not plain or not _HOST.fullmatch(host):
        raise _no_origin(text)
    return f"{parts.scheme}://{bracketed if port == default else written}"


def _no_origin(text: str) -> SettingsError:
    return SettingsError(
        f"{text!r} is no origin that could be allowed: name each one as https://host or "
        "http://host:port, without a path."
    )


def is_foreign(headers: Headers, scheme: str, allowed: Collection[str]) -> bool:
    """Whether a page of another site, which is not an allowed origin, sent a request.

    A browser says so in ``Sec-Fetch-Site``, which no page can set, or at least in ``Origin``; a
    program that is no browser sends neither.

    Parameters
    ----------
    headers, scheme
        Of the request.
    allowed
        Origins of other sites that may.

    Example
    -------
    >>> is_foreign(Headers({"host": "localhost:1", "origin": "http://localhost:1"}), "http", ())
    False
    >>> is_foreign(Headers({"host": "localhost:1", "origin": "http://evil.example"}), "http", ())
    True
    """
    sent = headers.get("origin")
    if sent in allowed:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site.lower() not in {"same-origin", "none"}
    return sent is not None and sent != f"{scheme}://{headers.get('host', '').lower()}"


EXPOSED: Final = (
    "Content-Disposition",
    "Link",
    "Location",
    "Retry-After",
    "Weightome-Notes",
    "Weightome-Took-Ms",
    "Weightome-Truncated",
    "X-Request-ID",
)
"""Headers of an answer that a page of another origin may read."""


class SharedOrigins(CORSMiddleware):
    """ASGI middleware that lets pages of some origins use the service (CORS).

    It answers the browsers' preflights, which never have a token, and marks all other answers,
    errors too. Cookies are not in play: there are none.

    Parameters
    ----------
    origins
        As :func:`origin` gives them.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "DELETE"),
            allow_headers=("Authorization", "Last-Event-ID", "X-Request-ID"),
            expose_headers=EXPOSED,
            # A page from the network may reach a service on this machine: the operator named it.
            allow_private_network=True,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        headers = HEADERS | {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        if response.status_code == 200:
            return Response(status_code=204, headers=headers)
        reason = bytes(response.body).decode()
        return failure(response.status_code, "preflight_refused", reason, headers)
