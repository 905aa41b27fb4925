"""An answer as JSON, CSV, NDJSON or an Arrow stream: rendered piece by piece as it is sent.

Beside the table no second copy of it is made; only Arrow has its columns first, for their types
follow from all values.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service import accept
from service.failures import Refusal
from store import comma_separated
from store.errors import InvalidArgument
from store.query import Table
from store.values import plain

_ROWS: Final = 1_000
"""So many at once go through what turns them into text."""
_PIECE: Final = 256 * 1024
"""Bytes that are sent at once, about. A shorter answer is sent whole, with its length."""
_IN_A_PATH: Final = "/%!$&'()*+,;=:@~"


class Format(StrEnum):
    """What an answer is sent as."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    ARROW = "arrow"


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
_SUFFIXES: Final = {Format.CSV: "csv", Format.ARROW: "arrows"}


@dataclass(frozen=True)
class Form:
    """How one request wants its answer.

    Parameters
    ----------
    format
        What it is sent as.
    columnwise
        Whether JSON has a list for each column instead of one for each row.
    """

    format: Format
    columnwise: bool = False


def chosen(request: Request, name: Format | None, columnwise: bool) -> Form:
    """What a request wants: the parameter ``format``, or else the header ``Accept``.

    Raises
    ------
    Refusal
        406 ``not_acceptable``, where the header lets none of :data:`MEDIA_TYPES` in.
    InvalidArgument
        If columns are wanted of what has rows only.
    """
    if name is None:
        header = ",".join(request.headers.getlist("accept"))
        media_type = accept.best(header, list(MEDIA_TYPES.values()))
        if media_type is None:
            raise Refusal(
                406,
                "not_acceptable",
                f"Answers are {', '.join(MEDIA_TYPES.values())}: let one of them in with the "
                "header Accept, or choose with the parameter format.",
                {"Vary": "Accept"},
            )
        name = next(each for each, offered in MEDIA_TYPES.items() if offered == media_type)
    if columnwise and name is not Format.JSON:
        raise InvalidArgument(f"values cannot be 'columns' where the format is {name.value}.")
    return Form(name, columnwise)


def respond(table: Table, form: Form, request: Request) -> Response:
    """The answer to a request. Rendering takes a while: not for the event loop."""
    following = _following(request, table.after)
    headers = {
        "Vary": "Accept",
        "Weightome-Truncated": json.dumps(table.truncated),
        "Weightome-Took-Ms": json.dumps(round(table.took_ms, 3)),
    }
    if table.notes:
        # JSON in ASCII: a header holds no other letters.
        headers["Weightome-Notes"] = json.dumps(table.notes)
    if following is not None:
        headers["Link"] = f'<{following}>; rel="next"'
    if form.format in _SUFFIXES:
        name = f"{file_name(request.scope['path'])}.{_SUFFIXES[form.format]}"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    pieces = _grouped(_pieces(table, form, following))
    first = next(pieces, b"")
    second = next(pieces, None)
    media_type = MEDIA_TYPES[form.format]
    if form.format is Format.CSV:
        media_type = f"{media_type}; charset=utf-8; header=present"
    if second is None:
        return Response(first, 200, headers, media_type)
    return StreamingResponse(itertools.chain([first, second], pieces), 200, headers, media_type)


def file_name(path: str) -> str:
    """What a file with the answer of an address is called: letters that no system minds.

    Example
    -------
    >>> file_name("/v1/networks/..%2Fa%22b/strength")
    'networks-.._a_b-strength'
    """
    parts = [re.sub(r"[^A-Za-z0-9._-]", "_", unquote(part)) for part in path.split("/")[2:]]
    return "-".join(parts)[:120]


def _following(request: Request, after: str | None) -> str | None:
    """Address of the next page: the same question, behind the last row."""
    if after is None:
        return None
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "after"]
    path = quote(request.scope["path"], safe=_IN_A_PATH)
    return f"{path}?{urlencode([*asked, ('after', after)])}"


def _pieces(table: Table, form: Form, following: str | None) -> Iterable[bytes]:
    match form.format:
        case Format.JSON:
            return _encoded(_json(table, form.columnwise, following))
        case Format.CSV:
            return _encoded(comma_separated.lines(table))
        case Format.NDJSON:
            return _encoded(_objects(table))
        case Format.ARROW:
            return _arrow(table, following)


def _json(table: Table, columnwise: bool, following: str | None) -> Iterator[str]:
    yield f'{{"columns":{_text(table.columns)},'
    if columnwise:
        yield '"values":['
        for position in range(len(table.columns)):
            yield "],[" if position else "["
            yield from _list(row[position] for row in table.rows)
        yield "]]" if table.columns else "]"
    else:
        yield '"rows":['
        yield from _list(table.rows)
        yield "]"
    told = table.to_json_without_rows()
    if following is not None:
        told["next"] = following
    yield f",{_text(told)[1:]}"


def _list(values: Iterable[Any]) -> Iterator[str]:
    """The inside of a JSON list."""
    values = iter(values)
    comma = ""
    while some := [plain(value) for value in itertools.islice(values, _ROWS)]:
        yield f"{comma}{_text(some)[1:-1]}"
        comma = ","


def _objects(table: Table) -> Iterator[str]:
    for row in table.rows:
        yield f"{_text(dict(zip(table.columns, map(plain, row), strict=True)))}\n"


def _arrow(table: Table, following: str | None) -> Iterator[bytes]:
    import pyarrow

    arrow = table.to_arrow()
    if following is not None:
        metadata = {**(arrow.schema.metadata or {}), b"next": following.encode()}
        arrow = arrow.replace_schema_metadata(metadata)
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, arrow.schema) as stream:
        for batch in arrow.to_batches(_ROWS):
            stream.write_batch(batch)
            yield _taken(sink)
    yield _taken(sink)


def _taken(sink: io.BytesIO) -> bytes:
    """What was written; the sink is empty then."""
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written


def _text(value: Any) -> str:
    # JSON has no NaN and no Infinity: rather fail than send what no client can parse.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    # A name in the address may hold half a surrogate pair, which UTF-8 cannot.
    return (text.encode("utf-8", "backslashreplace") for text in texts)


def _grouped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces worth sending."""
    collected = bytearray()
    for piece in pieces:
        collected += piece
        if len(collected) >= _PIECE:
            yield bytes(collected)
            collected.clear()
    if collected:
        yield bytes(collected)
