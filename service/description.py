"""How an address appears in the OpenAPI document: its example and its errors."""

from __future__ import annotations

from typing import Any, TypedDict

from service.envelope import Answer, Failure
from service.examples import EXAMPLES
from service.failures import UNAVAILABLE
from service.formats import MEDIA_TYPES, Format
from store import comma_separated


def _failure(description: str, code: str, message: str) -> dict[str, Any]:
    example = {"error": {"code": code, "message": message}}
    return {
        "model": Failure,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


FAILURES: dict[int, dict[str, Any]] = {
    400: _failure(
        "A parameter cannot be used.",
        "invalid_argument",
        "convention cannot be 'cmt': choose from plain, cnt.",
    ),
    401: _failure(
        "The service has a token, and the request did not send it.",
        "unauthorized",
        "This service wants its token, sent as 'Authorization: Bearer TOKEN'.",
    ),
    403: _failure(
        "The query may not run.",
        "query_refused",
        "This query may not run here.",
    ),
    404: _failure(
        "No such run, network, layer or neuron.", "not_found", "There is no network 'tinny'."
    ),
    408: _failure(
        "The body did not come in time.",
        "body_too_slow",
        "The request body did not arrive in time.",
    ),
    409: _failure(
        "The name is taken, or something else is under way.",
        "conflict",
        "There is a network 'tiny' already: choose another name, or send replace=true.",
    ),
    406: _failure(
        "The header `Accept` lets none of the formats in.",
        "not_acceptable",
        "Answers are application/json, text/csv, application/x-ndjson, "
        "application/vnd.apache.arrow.stream: let one of them in with the header Accept, or choose "
        "with the parameter format.",
    ),
    413: _failure(
        "The body is too long.",
        "body_too_large",
        "A request body may have 1000000 bytes at most.",
    ),
    415: _failure(
        "The body is of another kind.",
        "unsupported_media_type",
        "Send the file itself, as it is, with 'Content-Type: application/octet-stream'.",
    ),
    429: _failure(
        "As many jobs as may wait are waiting.",
        "too_many_jobs",
        "8 jobs wait already, which is the most; try again later.",
    ),
    503: _failure(
        "The database is not there, or as many questions as may run are running (`busy`).",
        "store_unreachable",
        UNAVAILABLE,
    ),
    504: _failure(
        "The time limit is over.",
        "time_limit_exceeded",
        "The query ran longer than its time limit.",
    ),
    507: _failure(
        "The query needed too much memory.",
        "memory_limit_exceeded",
        "The query needed more memory than one transaction may use.",
    ),
}
# With a default FastAPI does not promise a 422 of its own, which never comes.
_ANY_OTHER = _failure(
    "Any other error.", "internal_error", "The service failed; its log says more about this."
)


_EVERYWHERE = (400, 401, 406, 503, 504, 507)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an address, for its documentation."""
    return {**{status: FAILURES[status] for status in statuses}, "default": _ANY_OTHER}


class Described(TypedDict):
    """Keyword arguments of a route."""

    operation_id: str
    response_model: type[Answer]
    responses: dict[int | str, dict[str, Any]]


def described(question: str, *further: int) -> Described:
    """The documentation of an address that answers with the success envelope.

    Parameters
    ----------
    question
        Its operation id, and the key of its example, if it has one, in
        :data:`service.examples.EXAMPLES`.
    *further
        Statuses of errors that not every address has.
    """
    return {
        "operation_id": question,
        "response_model": Answer,
        "responses": {
            200: {"content": _content(question)},
            **problems(*sorted((*_EVERYWHERE, *further))),
        },
    }


def _content(question: str) -> dict[str, Any]:
    """Every format of an answer, with the example where there is one."""
    content: dict[str, dict[str, Any]] = {
        # FastAPI adds the schema of the envelope.
        MEDIA_TYPES[Format.JSON]: {},
        MEDIA_TYPES[Format.CSV]: {"schema": {"type": "string"}},
        MEDIA_TYPES[Format.NDJSON]: {"schema": {"type": "string"}},
        MEDIA_TYPES[Format.ARROW]: {"schema": {"type": "string", "format": "binary"}},
    }
    if question in EXAMPLES:
        answer = EXAMPLES[question].answer
        content[MEDIA_TYPES[Format.JSON]]["example"] = answer.to_json()
        content[MEDIA_TYPES[Format.CSV]]["example"] = "".join(comma_separated.lines(answer))
    return content
