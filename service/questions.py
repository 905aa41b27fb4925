"""Addresses made of the questions of the query layer, as their docstrings tell them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from queries.question import Argument, Question
from queries.registry import questions
from service.asking import EVERYWHERE, Bounded
from service.description import described
from service.parameters import LayerName, NetworkName, NeuronIndex, RunName
from service.places import address, example_target, in_path

_IN_PATH: Final[dict[str, Any]] = {
    "network": NetworkName,
    "run": RunName,
    "layer": LayerName,
    "index": NeuronIndex,
}


def endpoint(question: Question) -> Callable[..., Awaitable[Response]]:
    """The endpoint that asks a question.

    Raises
    ------
    TypeError
        If an argument is called as a parameter that every address has: found when a service is
        made.
    """
    placed = in_path(question)

    async def answer(ask: Bounded, **given: Any) -> Response:
        arguments = {placed.get(name, name): value for name, value in given.items()}
        return await ask(lambda database: question.answer(database, arguments))

    parameters = [inspect.Parameter("ask", _KEYWORD, annotation=Bounded)]
    parameters += [
        inspect.Parameter(place, _KEYWORD, annotation=_IN_PATH[name])
        for place, name in placed.items()
    ]
    further = [each for each in question.arguments if each.name not in placed.values()]
    taken = (EVERYWHERE | {*placed}) & {each.name for each in further}
    if taken:
        raise TypeError(f"{question.name}: every address has a parameter {min(taken)!r}.")
    parameters += [_parameter(argument, question.example) for argument in further]
    answer.__name__ = question.name
    answer.__doc__ = f"{question.summary}\n\nFor example `{example_target(question)}`."
    answer.__annotations__ = {each.name: each.annotation for each in parameters}
    answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return answer


_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY


def _parameter(argument: Argument, example: Mapping[str, Any]) -> inspect.Parameter:
    schema = {"enum": list(argument.choices)} if argument.choices else None
    shown = example.get(argument.name, argument.initial)
    mark = Query(
        description=argument.help,
        json_schema_extra=schema,
        examples=[list(shown) if argument.many else shown],
    )
    kind: Any = argument.annotation
    return inspect.Parameter(
        argument.name, _KEYWORD, default=argument.initial, annotation=Annotated[kind, mark]
    )


def router() -> APIRouter:
    """Every question at its address; made when a service is, for it takes a quarter second."""
    router = APIRouter()
    for question in questions().values():
        # Those about the whole store list networks or runs, and stand with these.
        tag = "network" if question.about == "store" else question.about
        tag = "run" if question.name == "runs" else tag
        route = router.get(address(question), tags=[tag], **described(question.name, 404))
        route(endpoint(question))
    return router
