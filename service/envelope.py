"""The two shapes of everything that the service says: an answer, or an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

_LONGEST_MESSAGE = 500


class Answer(BaseModel):
    """Rows under named columns, and what gave them. See :meth:`store.query.Table.to_json`.

    It has either `rows` or, where the request says `values=columns`, `values`.
    """

    columns: list[str] = Field(description="Column names, in order.")
    rows: list[list[Any]] = Field(
        default=[], description="One list per row, values in column order."
    )
    values: list[list[Any]] = Field(
        default=[], description="One list per column, values in row order, instead of `rows`."
    )
    truncated: bool = Field(description="True when `limit` cut the answer: there are more rows.")
    took_ms: float = Field(description="Milliseconds that the database took.")
    cypher: str = Field(description="The query that was run; it runs in any Neo4j client.")
    parameters: dict[str, Any] = Field(description="Values of its parameters.")
    notes: list[str] = Field(
        default=[], description="What a reader must know of the values; absent where nothing."
    )
    nonfinite: list[str] = Field(
        default=[],
        description="Columns whose texts `NaN`, `Infinity` and `-Infinity` are numbers; absent "
        "where there is none.",
    )
    after: str | None = Field(
        default=None,
        description="What the parameter `after` takes to go on behind the last row; absent where "
        "no row follows, or where this answer cannot go on.",
    )
    next: str | None = Field(
        default=None, description="Address of the next page; there where `after` is."
    )


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable name of the error.", examples=["not_found"])
    message: str = Field(
        description="One sentence for people.", examples=["There is no network 'tiny'."]
    )


class Failure(BaseModel):
    """The answer to every request that did not succeed."""

    error: Problem


def failure(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The error envelope.

    Example
    -------
    >>> failure(404, "not_found", "There is no network 'x'.").body
    b'{"error":{"code":"not_found","message":"There is no network \\'x\\'."}}'
    """
    return _json(status, {"error": {"code": code, "message": sentence(message)}}, headers)


def sentence(message: str) -> str:
    """A message on one line, with a full stop, and not longer than people read.

    Example
    -------
    >>> sentence("It  broke\\nin two")
    'It broke in two.'
    """
    line = " ".join(message.split())
    if len(line) > _LONGEST_MESSAGE:
        return f"{line[: _LONGEST_MESSAGE - 3]}..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    # JSON has no NaN and no Infinity: rather fail than send what no client can parse.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A name in the address may hold half a surrogate pair, which UTF-8 cannot.
    body = text.encode("utf-8", "backslashreplace")
    return Response(body, status, dict(headers or {}), "application/json")
