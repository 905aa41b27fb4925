"""Addresses made of the questions of the query layer, as their docstrings tell them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from queries.question import REQUIRED, Argument, Question
from queries.registry import questions
from service.asking import Bounded
from service.description import described
from service.parameters import NetworkName, RunName

_PLACES: dict[str, tuple[str, Any]] = {
    "network": ("/v1/networks/{name}", NetworkName),
    "run": ("/v1/runs/{name}", RunName),
    "networks": ("/v1/populations", None),
}


def address(question: Question) -> str:
    """Where a question is asked.

    Example
    -------
    >>> address(questions()["strength"])
    '/v1/networks/{name}/strength'
    """
    return f"{_PLACES[question.about][0]}/{question.title}"


def example_address(question: Question) -> str:
    """Where its example is asked.

    Example
    -------
    >>> example_address(questions()["strength"])
    '/v1/networks/tiny/strength?convention=cnt'
    """
    given = dict(question.example)
    if question.about != "networks":
        about = given.pop(question.about)
        path = address(question).replace("{name}", quote(about, safe=""))
    else:
        path = address(question)
    texts = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
    }
    return f"{path}?{urlencode(texts, doseq=True, safe='/,*')}" if texts else path


def endpoint(question: Question) -> Callable[..., Awaitable[Response]]:
    """The endpoint that asks a question."""
    _, name = _PLACES[question.about]

    async def answer(ask: Bounded, **given: Any) -> Response:
        if name is not None:
            given[question.about] = given.pop("name")
        return await ask(lambda database: question.answer(database, given))

    parameters = [inspect.Parameter("ask", _KEYWORD, annotation=Bounded)]
    if name is not None:
        parameters.append(inspect.Parameter("name", _KEYWORD, annotation=name))
    parameters += [
        _parameter(argument, question.example)
        for argument in question.arguments
        if name is None or argument.name != question.about
    ]
    answer.__name__ = question.name
    answer.__doc__ = f"{question.summary}\n\nFor example `{example_address(question)}`."
    answer.__annotations__ = {each.name: each.annotation for each in parameters}
    answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return answer


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _parameter(argument: Argument, example: Mapping[str, Any]) -> inspect.Parameter:
    schema = {"enum": list(argument.choices)} if argument.choices else None
    kind: Any = argument.kind
    default = argument.default
    if argument.many:
        kind = list[kind]
        default = list(default) if default is not REQUIRED else default
    elif argument.optional:
        kind = kind | None
    shown = example.get(argument.name, default)
    mark = Query(
        description=argument.help,
        json_schema_extra=schema,
        examples=[list(shown) if argument.many else shown],
    )
    return inspect.Parameter(
        argument.name, _KEYWORD, default=default, annotation=Annotated[kind, mark]
    )


def router() -> APIRouter:
    """Every question at its address; made when a service is, for it takes a quarter second."""
    router = APIRouter()
    for question in questions().values():
        route = router.get(
            address(question), tags=[question.about], **described(question.name, 404)
        )
        route(endpoint(question))
    return router
