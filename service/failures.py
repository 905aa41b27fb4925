"""Which HTTP status each error has, and how every error becomes the one error envelope."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.envelope import Problem, failure, sentence
from store import errors

_log = logging.getLogger("weightome.service")

# A subclass that is not listed has the status of its parent.
STATUS: dict[type[errors.WeightomeError], int] = {
    errors.SettingsError: 500,
    errors.InputError: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.QueryRefused: 403,
    errors.StoreError: 500,
    errors.StoreUnreachable: 503,
    errors.AuthenticationFailed: 503,
    errors.PermissionDenied: 403,
    errors.SchemaMismatch: 503,
    errors.MissingCapability: 503,
    errors.InvalidQuery: 400,
    errors.TimeLimitExceeded: 504,
    errors.Cancelled: 499,
    errors.MemoryLimitExceeded: 507,
    errors.ConstraintViolated: 409,
    errors.TransactionFailed: 503,
    errors.VerificationFailed: 500,
    errors.PortTaken: 503,
    errors.LocalServerError: 503,
}

# What only the operator can mend. Its sentence may name addresses, files and settings: it goes into
# the log, and the client learns no more than the code.
_OPERATORS = (
    errors.SettingsError,
    errors.StoreUnreachable,
    errors.AuthenticationFailed,
    errors.SchemaMismatch,
    errors.MissingCapability,
    errors.PortTaken,
    errors.LocalServerError,
)
UNAVAILABLE = "The service cannot use its database at the moment; its log says why."

_OF_ROUTER = {
    404: ("unknown_address", "There is nothing at this address; /docs lists what there is."),
    405: ("method_not_allowed", "This address does not take this method; /docs lists them."),
}


class Refusal(Exception):
    """The service itself does not take a request.

    Parameters
    ----------
    status, code, message
        What the client is told.
    headers
        Further headers of the response.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers

    def response(self) -> Response:
        """The error envelope."""
        return failure(self.status, self.code, str(self), self.headers)


def status_of(kind: type[errors.WeightomeError]) -> int:
    """The status of an error: its own, or the nearest parent's that has one.

    Example
    -------
    >>> status_of(errors.InvalidArgument)
    400
    """
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    raise KeyError(f"{kind.__name__} has no HTTP status")


def told(error: errors.WeightomeError | Refusal) -> Problem:
    """What a client is told of an error."""
    message = UNAVAILABLE if isinstance(error, _OPERATORS) else str(error)
    return Problem(code=error.code, message=sentence(message))


async def respond(_: Request, error: Exception) -> Response:
    """The error envelope for any error that is expected; others go on to the shield."""
    match error:
        case errors.WeightomeError():
            status = status_of(type(error))
            if status >= 500:
                _log.warning("%d %s: %s", status, error.code, error)
            problem = told(error)
            return failure(status, problem.code, problem.message)
        case Refusal():
            return error.response()
        case RequestValidationError():
            return failure(400, errors.InvalidArgument.code, described(error.errors()[0]))
        case HTTPException():
            code, message = _OF_ROUTER.get(
                error.status_code, (errors.InvalidArgument.code, str(error.detail))
            )
            return failure(error.status_code, code, message, error.headers)
    raise error


def described(problem: Mapping[str, Any]) -> str:
    """One of pydantic's error entries in a sentence that names the parameter.

    Example
    -------
    >>> described({"loc": ("query", "k"), "msg": "Input should be a valid integer", "input": "x"})
    "The query parameter 'k' is not usable: Input should be a valid integer."
    """
    place, *names = problem["loc"]
    # A position in the text instead of names: the JSON itself is broken.
    named = [str(name) for name in names if not isinstance(name, int)]
    what = "body" if place == "body" else f"{place} parameter"
    subject = f"The {what} {'.'.join(named)!r}" if named else f"The {what}"
    return f"{subject} is not usable: {str(problem['msg']).rstrip('.')}."


def install(app: FastAPI) -> None:
    """Makes an application tell every error in the one envelope."""
    for kind in (errors.WeightomeError, Refusal, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, respond)
