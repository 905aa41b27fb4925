"""What every address does with its question: bound it, have it run, put it into the envelope."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request, params
from starlette.responses import Response

from service.desk import Desk
from service.envelope import answer
from service.parameters import Limit, Seconds
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table


class Asker:
    """Asks the database within the limits of one request."""

    def __init__(self, desk: Desk, seconds: float | None, row_cap: int | None) -> None:
        self._desk = desk
        self._seconds = seconds
        self._row_cap = row_cap

    async def __call__(self, question: Callable[[Database], Table]) -> Response:
        """The rendered answer of a question."""

        def rendered(database: Database) -> Response:
            if self._seconds is not None and self._seconds > database.read_seconds:
                raise InvalidArgument(
                    f"seconds cannot be {self._seconds:g}: this service allows "
                    f"{database.read_seconds:g} at most."
                )
            return answer(question(database.limited(seconds=self._seconds, row_cap=self._row_cap)))

        return await self._desk.ask(rendered)


async def _timed(request: Request, seconds: Seconds = None) -> Asker:
    _refuse_unknown(request)
    return Asker(request.app.state.desk, seconds, None)


async def _bounded(request: Request, limit: Limit = None, seconds: Seconds = None) -> Asker:
    _refuse_unknown(request)
    return Asker(request.app.state.desk, seconds, limit)


# Bounded where rows have no other bound; Timed where a parameter such as `k` says how many.
Bounded = Annotated[Asker, Depends(_bounded)]
Timed = Annotated[Asker, Depends(_timed)]


def _refuse_unknown(request: Request) -> None:
    """A misspelt ``convention`` must not give the plain answer in silence."""
    known = query_parameters(request.scope["endpoint"])
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            raise InvalidArgument(
                f"There is no parameter {name!r} at this address; it takes {', '.join(known)}."
            )
        if given.count(name) > 1 and name not in repeatable(request.scope["endpoint"]):
            raise InvalidArgument(f"The parameter {name!r} is given more than once.")


@cache
def repeatable(endpoint: Callable[..., Any]) -> frozenset[str]:
    """Names of the parameters that an endpoint takes a list of."""
    return frozenset(
        name
        for name, hint in typing.get_type_hints(endpoint).items()
        if typing.get_origin(hint) is list
    )


@cache
def query_parameters(endpoint: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the query parameters that an endpoint and its dependencies take.

    Example
    -------
    >>> query_parameters(_bounded)
    ('limit', 'seconds')
    """
    hints = typing.get_type_hints(endpoint, include_extras=True)
    names: list[str] = []
    for name in inspect.signature(endpoint).parameters:
        for mark in getattr(hints.get(name), "__metadata__", ()):
            if isinstance(mark, params.Query):
                names.append(name)
            elif isinstance(mark, params.Depends) and mark.dependency is not None:
                names.extend(query_parameters(mark.dependency))
    return tuple(sorted(names))
