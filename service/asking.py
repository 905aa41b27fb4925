"""What every address does with its question: bound it, have it run, send it as the client likes."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request, params
from starlette.responses import Response

from service.desk import Desk
from service.formats import Form, Format, chosen, respond
from service.leaving import unless_left
from service.parameters import FormatName, Limit, Seconds, Values
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table


class Asker:
    """Asks the database within the limits of one request, and puts the answer into its form."""

    def __init__(
        self, request: Request, form: Form, seconds: float | None, row_cap: int | None
    ) -> None:
        self._request = request
        self._form = form
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
            limited = database.limited(seconds=self._seconds, row_cap=self._row_cap)
            return respond(question(limited), self._form, self._request)

        desk: Desk = self._request.app.state.desk
        return await unless_left(self._request, desk.ask(rendered))


async def _formed(request: Request, wanted: FormatName = None, values: Values = "rows") -> Form:
    refuse_unknown(request)
    named = None if wanted is None else Format(wanted)
    return chosen(request, named, columnwise=values == "columns")


# For an address that has its answer without the database.
Formed = Annotated[Form, Depends(_formed)]


async def _bounded(
    request: Request, form: Formed, limit: Limit = None, seconds: Seconds = None
) -> Asker:
    return Asker(request, form, seconds, limit)


Bounded = Annotated[Asker, Depends(_bounded)]


def refuse_unknown(request: Request) -> None:
    """A misspelt ``convention`` must not give the plain answer in silence.

    Raises
    ------
    InvalidArgument
        If a parameter is not one of the address, or is given more than once and takes no list.
    """
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
    ('format', 'limit', 'seconds', 'values')
    """
    hints = typing.get_type_hints(endpoint, include_extras=True)
    names: list[str] = []
    for name in inspect.signature(endpoint).parameters:
        for mark in getattr(hints.get(name), "__metadata__", ()):
            if isinstance(mark, params.Query):
                names.append(mark.alias or name)
            elif isinstance(mark, params.Depends) and mark.dependency is not None:
                names.extend(query_parameters(mark.dependency))
    return tuple(sorted(names))


EVERYWHERE = frozenset(query_parameters(_bounded))
"""Names of the parameters that every question has at its address."""
