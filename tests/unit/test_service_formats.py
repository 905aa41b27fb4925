"""Answers as they are sent: every value in every format, in pieces, without a second copy."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import tracemalloc
from typing import Any

import pyarrow
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.formats import MEDIA_TYPES, Form, Format, file_name, respond
from store.query import Table

TABLE = Table(
    ("name", "value", "count", "path"),
    [
        ["=HYPERLINK(\"http://x\")", 0.1, 2**53 + 1, ["input/0", "fc1/2"]],
        ["NaN", math.nan, None, []],
        ["é\u2028\n\"", -math.inf, -1, ["a,b"]],
    ],
    "RETURN 1",
    {"least": math.inf},
    took_ms=1.23456,
    notes=("Größe in m².",),
)  # fmt: skip


def _request(path: str = "/v1/networks/a%2Fb/strength", query: str = "limit=3&k=1&k=2") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode()}
    return Request({**scope, "headers": []})


def _body(response: Response) -> bytes:
    if not isinstance(response, StreamingResponse):
        return bytes(response.body)
    iterator: Any = response.body_iterator

    # Starlette wraps what it takes into an asynchronous iterator.
    async def joined() -> bytes:
        return b"".join([part async for part in iterator])

    return asyncio.run(joined())


def _sent(form: Form, table: Table = TABLE) -> bytes:
    return _body(respond(table, form, _request()))


def test_json() -> None:
    told = json.loads(_sent(Form(Format.JSON)))
    assert told == TABLE.to_json()
    assert told["nonfinite"] == ["value"]
    assert told["rows"][1] == ["NaN", "NaN", None, []]
    again = Table.from_json(told)
    assert math.isnan(again.rows[1].pop(1))
    assert again.rows[1] == ["NaN", None, []]
    assert [again.rows[0], again.rows[2]] == [TABLE.rows[0], TABLE.rows[2]]


def test_json_in_columns() -> None:
    told = json.loads(_sent(Form(Format.JSON, columnwise=True)))
    assert "rows" not in told
    assert told["values"] == [list(column) for column in zip(*TABLE.to_json()["rows"], strict=True)]
    empty = Table(("a", "b"), [])
    assert json.loads(_sent(Form(Format.JSON, columnwise=True), empty))["values"] == [[], []]
    assert json.loads(_sent(Form(Format.JSON, columnwise=True), Table((), [])))["values"] == []
    assert json.loads(_sent(Form(Format.JSON), empty))["rows"] == []


def test_csv_says_no_formula_and_every_digit() -> None:
    rows = list(csv.reader(io.StringIO(_sent(Form(Format.CSV)).decode(), newline="")))
    assert rows == [
        ["name", "value", "count", "path"],
        ["'=HYPERLINK(\"http://x\")", "0.1", "9007199254740993", '["input/0", "fc1/2"]'],
        ["NaN", "NaN", "", "[]"],
        ["é\u2028\n\"", "-Infinity", "-1", '["a,b"]'],
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_take_for_a_formula(text: str) -> None:
    table = Table((text, "negative"), [[text, -1.5]])
    cells = list(csv.reader(io.StringIO(_sent(Form(Format.CSV), table).decode(), newline="")))
    assert cells == [[f"'{text}", "negative"], [f"'{text}", "-1.5"]]
    assert json.loads(_sent(Form(Format.NDJSON), table)) == {text: text, "negative": -1.5}


def test_ndjson() -> None:
    lines = _sent(Form(Format.NDJSON)).decode().split("\n")
    assert lines.pop() == ""
    plain = TABLE.to_json()["rows"]
    assert [json.loads(line) for line in lines] == [
        dict(zip(TABLE.columns, row, strict=True)) for row in plain
    ]


def test_arrow() -> None:
    with pyarrow.ipc.open_stream(_sent(Form(Format.ARROW))) as stream:
        read = stream.read_all()
    assert read.schema.equals(TABLE.to_arrow().schema, check_metadata=True)
    assert read.column("path").to_pylist() == TABLE.column("path")
    assert read.column("name").to_pylist() == TABLE.column("name")
    values = read.column("value").to_pylist()
    assert math.isnan(values[1])
    assert (values[0], values[2]) == (0.1, -math.inf)
    assert read.column("count").to_pylist() == [2**53 + 1, None, -1]
    empty = _sent(Form(Format.ARROW), Table(("a",), []))
    assert pyarrow.ipc.open_stream(empty).read_all().column_names == ["a"]


@pytest.mark.parametrize("form", list(Format))
def test_headers(form: Format) -> None:
    cut = Table(("a",), [[1]], truncated=True, took_ms=2.5, notes=("²",), after='["é",1]')
    response = respond(cut, Form(form), _request())
    headers = response.headers
    assert headers["content-type"].startswith(MEDIA_TYPES[form])
    assert headers["vary"] == "Accept"
    assert (headers["weightome-truncated"], headers["weightome-took-ms"]) == ("true", "2.5")
    assert json.loads(headers["weightome-notes"]) == ["²"]
    following = "/v1/networks/a%2Fb/strength?limit=3&k=1&k=2&after=%5B%22%C3%A9%22%2C1%5D"
    assert headers["link"] == f'<{following}>; rel="next"'
    if form is Format.JSON:
        assert json.loads(_body(response))["next"] == following
    if form is Format.ARROW:
        metadata = pyarrow.ipc.open_stream(_body(response)).schema.metadata
        assert metadata[b"next"] == following.encode()
    named = {Format.CSV: "networks-a_b-strength.csv", Format.ARROW: "networks-a_b-strength.arrows"}
    expected = f'attachment; filename="{named[form]}"' if form in named else None
    assert headers.get("content-disposition") == expected


def test_a_file_name_holds_nothing_that_means_something() -> None:
    path = "/v1/networks/..%2F..%2Fetc%2F%0d%0aX:%20%22%5C%3B%00é/links"
    assert file_name(path) == "networks-.._.._etc___X_______-links"
    assert len(file_name("/v1/networks/" + "x" * 5000)) == 120


def test_an_address_cannot_leave_its_link() -> None:
    table = Table(("a",), [[1]], truncated=True, after="[1]")
    response = respond(table, Form(Format.CSV), _request("/v1/networks/<x>,y/strength", ""))
    assert response.headers["link"] == (
        '</v1/networks/%3Cx%3E,y/strength?after=%5B1%5D>; rel="next"'
    )


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("columnwise", [False, True])
def test_much_is_sent_in_pieces_and_never_held_whole(form: Format, columnwise: bool) -> None:
    if columnwise and form is not Format.JSON:
        pytest.skip("only JSON comes in columns")
    table = Table(("layer", "neuron", "value"), [["fc1", k, k / 3] for k in range(60_000)])
    wanted = Form(form, columnwise)
    # Imports, and what Arrow sets up once.
    respond(Table(("a",), [[1]]), wanted, _request())
    tracemalloc.start()
    response = respond(table, wanted, _request())
    assert isinstance(response, StreamingResponse)
    assert "content-length" not in response.headers
    received, longest = 0, 0

    async def receive() -> None:
        nonlocal received, longest
        async for part in response.body_iterator:
            received += len(part)
            longest = max(longest, len(part))

    asyncio.run(receive())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received > 1_000_000
    assert longest < 600_000
    # Arrow needs the type of a column before its first value: its columns are made whole, in
    # memory that Python does not count, and the lists that they are made of are counted here.
    assert peak < (8_000_000 if form is Format.ARROW else 2_000_000)


def test_what_fits_into_one_piece_has_a_length() -> None:
    response = respond(TABLE, Form(Format.JSON), _request())
    assert int(response.headers["content-length"]) == len(_body(response))
