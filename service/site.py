"""``/`` and ``/page/...``: the web page, as it lies in the folder ``page`` beside this file.

The page is static: it asks ``/v1`` as any other client does, and holds no Cypher. Nothing on it
comes from another server.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

FOLDER = Path(__file__).parent / "page"

_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_IMPORT_MAP = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class File:
    """A file of the page, as it is sent.

    Parameters
    ----------
    content
        All of it.
    media_type
        As its name says.
    tag
        Its ETag: another one when the content is another.
    """

    content: bytes
    media_type: str
    tag: str


@cache
def files() -> dict[str, File]:
    """The files of the page by their path below ``page``, such as ``panels/matrix.js``.

    They are read once: only what is listed here can be asked for, whatever path a client invents.

    Example
    -------
    >>> files()["page.css"].media_type
    'text/css; charset=utf-8'
    """
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _MEDIA_TYPES and path.is_file():
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            name = path.relative_to(FOLDER).as_posix()
            found[name] = File(content, _MEDIA_TYPES[path.suffix], tag)
    return found


def policy(document: bytes) -> str:
    """The Content-Security-Policy of an HTML document of the page.

    Parameters
    ----------
    document
        Its text. The import map in it is the one inline script that may run.

    Returns
    -------
    str
        Scripts, styles and data from this service only; pictures also of what the page itself
        has drawn.

    Example
    -------
    >>> policy(b"")
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; ..."
    """
    hashes = [
        f" 'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _IMPORT_MAP.findall(document)
    ]
    return (
        f"default-src 'none'; script-src 'self'{''.join(hashes)}; style-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@router.get("/")
async def root_(request: Request) -> Response:
    """The page."""
    file = files()["index.html"]
    return _sent(request, file, {"Content-Security-Policy": policy(file.content)})


@router.get("/page/{path:path}")
async def file_(request: Request, path: str) -> Response:
    """What the page is made of."""
    file = files().get(path)
    if file is None:
        raise HTTPException(404)
    return _sent(request, file, {})


def _sent(request: Request, file: File, headers: dict[str, str]) -> Response:
    # A browser keeps the file and asks each time whether it is still the same: after an update
    # nobody sees the old page.
    headers |= {"ETag": file.tag, "Cache-Control": "no-cache"}
    known = [
        tag.strip().removeprefix("W/")
        for tag in request.headers.get("if-none-match", "").split(",")
    ]
    if file.tag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
