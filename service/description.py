"""How an address appears in the OpenAPI document: its example and its errors."""

from __future__ import annotations

from typing import Any, TypedDict

from service.envelope import Answer, Failure
from service.examples import EXAMPLES
from service.failures import UNAVAILABLE


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
    413: _failure(
        "The body is too long.",
        "body_too_large",
        "A request body may have 1000000 bytes at most.",
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


_EVERYWHERE = (400, 401, 503, 504, 507)


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
    example = (
        {"application/json": {"example": EXAMPLES[question].answer.to_json()}}
        if question in EXAMPLES
        else {}
    )
    failures: dict[int | str, dict[str, Any]] = {
        status: FAILURES[status] for status in sorted((*_EVERYWHERE, *further))
    }
    return {
        "operation_id": question,
        "response_model": Answer,
        "responses": {200: {"content": example}, **failures, "default": _ANY_OTHER},
    }
