"""``/v1/queries``: every question that can be asked, told to programs."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from queries.question import REQUIRED, Argument, Question
from queries.registry import questions
from service.asking import Formed
from service.description import described
from service.formats import respond
from service.places import address, in_path
from store.query import Table

COLUMNS = (
    "name", "title", "doc", "about", "method", "address", "parameters", "columns", "survives",
)  # fmt: skip

router = APIRouter(tags=["queries"])


@router.get("/v1/queries", **described("queries"))
async def queries_(request: Request, form: Formed) -> Response:
    """Every question, with its address, its parameters as JSON Schema and the columns of its
    answer. A parameter in braces stands in the address, any other behind its `?`. `survives` names
    the symmetries under which the values stay; it is null where a question measures no network.

    For example `/v1/queries?format=ndjson`.
    """
    return respond(Table(COLUMNS, _rows()), form, request)


@cache
def _rows() -> list[list[Any]]:
    return [
        [
            question.name,
            question.title,
            question.summary,
            question.about,
            "GET",
            address(question),
            schema(question),
            list(question.columns),
            None if question.survives is None else list(question.survives),
        ]
        for question in questions().values()
    ]


def schema(question: Question) -> dict[str, Any]:
    """The JSON Schema of what a question is asked with, by the names that its address has.

    Example
    -------
    >>> schema(questions()["layers"])["required"]
    ['name']
    """
    places = {name: place for place, name in in_path(question).items()}
    return {
        "type": "object",
        "properties": {
            places.get(argument.name, argument.name): _schema(argument)
            for argument in question.arguments
        },
        "required": [
            places.get(argument.name, argument.name)
            for argument in question.arguments
            if argument.default is REQUIRED
        ],
        "additionalProperties": False,
    }


_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(argument: Argument) -> dict[str, Any]:
    one: dict[str, Any] = {"type": _TYPES[argument.kind]}
    if argument.choices:
        one["enum"] = list(argument.choices)
    found = {"type": "array", "items": one} if argument.many else one
    found["description"] = argument.help
    if argument.default not in (REQUIRED, None):
        found["default"] = argument.initial
    return found
