"""Asks the service in this process, without a socket: the same answers as a client gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from service.application import create
from service.options import Options
from store import errors
from store.database import Database

Answer = dict[str, Any]


class Inside:
    """A service that only this process can ask.

    Example
    -------
    >>> async with opened(connect) as inside:                           # doctest: +SKIP
    ...     (await inside.ask("/v1/networks"))["columns"]
    ['network', 'run', ...]
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def ask(self, target: str) -> Answer:
        """The JSON that an address, such as ``/v1/networks?run=digits``, answers with.

        Raises
        ------
        WeightomeError
            The error that the service answers with.
        """
        status, body = await self.get(target)
        said: Answer = json.loads(body)
        if status != 200:
            error = said["error"]
            raise errors.classes().get(error["code"], errors.StoreError)(error["message"])
        return said

    async def get(self, target: str) -> tuple[int, bytes]:
        """Status and body of the response to a GET."""
        sent: list[Message] = []
        requests: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if requests:
                return requests.pop()
            # Nobody leaves here before the answer has come.
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            sent.append(message)

        await self._application(_scope(target), receive, send)
        status: int = sent[0]["status"]
        return status, b"".join(message.get("body", b"") for message in sent[1:])


def _scope(target: str) -> Scope:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept", b"application/json")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }


@asynccontextmanager
async def opened(open_database: Callable[[], Database]) -> AsyncIterator[Inside]:
    """A service for as long as the block runs.

    Parameters
    ----------
    open_database
        As for :func:`service.application.create`.
    """
    application = create(open_database, Options())
    async with application.router.lifespan_context(application):
        yield Inside(application)
