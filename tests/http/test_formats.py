"""The same rows in every format, chosen by parameter or header, from a real service."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pyarrow
import pytest

from ingest.network import Network
from service.formats import MEDIA_TYPES, Format
from tests.http.conftest import ROOT
from tests.http.envelope import check
from tests.networks import dense_network

ADDRESS = "/v1/networks/tiny/strength?convention=cnt"


def _rows(answer: httpx.Response) -> list[list[Any]]:
    """The rows of an answer in any format, as JSON has them; CSV has texts."""
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == MEDIA_TYPES[Format.JSON]:
        rows: list[list[Any]] = answer.json()["rows"]
        return rows
    if kind == MEDIA_TYPES[Format.CSV]:
        return list(csv.reader(io.StringIO(answer.text, newline="")))[1:]
    if kind == MEDIA_TYPES[Format.NDJSON]:
        return [list(json.loads(line).values()) for line in answer.text.splitlines()]
    assert kind == MEDIA_TYPES[Format.ARROW]
    table = pyarrow.ipc.open_stream(answer.content).read_all()
    return [list(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("form", list(Format))
def test_parameter_and_header_give_the_same(client: httpx.Client, form: Format) -> None:
    expected = client.get(ADDRESS).json()["rows"]
    assert len(expected) == 7
    by_parameter = client.get(f"{ADDRESS}&format={form.value}")
    by_header = client.get(ADDRESS, headers={"Accept": f"{MEDIA_TYPES[form]}, */*;q=0.1"})
    for answer in (by_parameter, by_header):
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(MEDIA_TYPES[form])
        assert answer.headers["vary"] == "Accept"
        assert answer.headers["weightome-truncated"] == "false"
        assert "stays the same under permutation" in answer.headers["weightome-notes"]
        # Kept with the network, so each float is the same again.
        if form is Format.CSV:
            assert _rows(answer) == [[str(value) for value in row] for row in expected]
        else:
            assert _rows(answer) == expected


def test_the_parameter_goes_before_the_header(client: httpx.Client) -> None:
    answer = client.get(f"{ADDRESS}&format=csv", headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="networks-tiny-strength.csv"'
    )


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0, text/html", "nonsense"])
@pytest.mark.parametrize("address", [ADDRESS, "/v1/queries", "/v1/networks/nothing/links"])
def test_what_nobody_can_have(client: httpx.Client, address: str, accept: str) -> None:
    answer = client.get(address, headers={"Accept": accept})
    message = check(answer, 406, "not_acceptable")
    assert "text/csv" in message
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    "query", ["format=xml", "format=", "values=cells", "format=csv&values=columns", "format=JSON"]
)
@pytest.mark.parametrize("address", ["/v1/runs", "/v1/queries", "/v1/networks/tiny/paths"])
def test_bad_choices(client: httpx.Client, address: str, query: str) -> None:
    check(client.get(f"{address}?{query}"), 400, "invalid_argument")


def test_errors_are_json_whatever_was_chosen(client: httpx.Client) -> None:
    for form in Format:
        answer = client.get("/v1/networks/nothing/links", params={"format": form.value})
        check(answer, 404, "not_found")


def test_columns(client: httpx.Client) -> None:
    rows = client.get(ADDRESS).json()
    columns = client.get(f"{ADDRESS}&values=columns").json()
    assert columns.pop("values") == [list(each) for each in zip(*rows.pop("rows"), strict=True)]
    assert {**columns, "took_ms": 0} == {**rows, "took_ms": 0}


def test_ids_are_text_in_every_format(client: httpx.Client) -> None:
    address = "/v1/networks/tiny/layers/fc1/neurons"
    ids = [row[1] for row in client.get(address).json()["rows"]]
    assert all(isinstance(each, str) for each in ids)
    for form in Format:
        found = [row[1] for row in _rows(client.get(address, params={"format": form.value}))]
        assert found == ids, form


@pytest.mark.parametrize("form", list(Format))
def test_own_cypher(open_client: httpx.Client, form: Format) -> None:
    body = {"cypher": "UNWIND [1.5, null, 0.0/0.0] AS x RETURN x, 'é' AS y"}
    answer = open_client.post("/v1/cypher", params={"format": form.value}, json=body)
    assert answer.status_code == 200, answer.text
    nothing, number = ("", "1.5") if form is Format.CSV else (None, 1.5)
    if form is Format.ARROW:
        # A mixture with the text "NaN", as the reader's own Cypher is told: each value as JSON.
        assert _rows(answer) == [["1.5", "é"], [None, "é"], ['"NaN"', "é"]]
    else:
        assert _rows(answer) == [[number, "é"], [nothing, "é"], ["NaN", "é"]]


def test_a_layer_called_as_a_formula(
    client: httpx.Client, stored: Callable[..., str], command_environment: dict[str, str]
) -> None:
    """Names come from whoever made the model: a spreadsheet must not run them."""
    evil = ["=cmd|'/C calc'!A0", "-2+3", "@SUM(1)"]
    matrices = [np.eye(2, dtype=np.float32)] * 3
    name = stored(dense_network(matrices, names=evil))
    address = f"/v1/networks/{name}/layers"
    expected = ["input", *evil]
    for form in (Format.JSON, Format.NDJSON, Format.ARROW):
        answer = client.get(address, params={"format": form.value})
        assert [row[0] for row in _rows(answer)] == expected
    answer = client.get(address, params={"format": "csv"})
    assert [row[0] for row in _rows(answer)] == ["input", *(f"'{each}" for each in evil)]
    printed = subprocess.run(
        [sys.executable, "-m", "queries", "layers", name, "--format", "csv"],
        cwd=ROOT, env=command_environment, capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert printed == answer.content


def test_a_long_answer_comes_in_pieces(
    client: httpx.Client, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(random_network(2, 6000, 1, bias=False))
    address = f"/v1/networks/{name}/strength?limit=100000"
    whole = client.get(address)
    assert len(whole.json()["rows"]) == 6003
    for form in Format:
        with client.stream("GET", address, params={"format": form.value, "limit": 9999}) as answer:
            assert answer.status_code == 200
            parts = list(answer.iter_raw())
        if form is not Format.ARROW:
            assert answer.headers["transfer-encoding"] == "chunked"
            assert len(parts) > 1
        again = httpx.Response(200, headers=dict(answer.headers), content=b"".join(parts))
        if form is not Format.CSV:
            assert _rows(again) == whole.json()["rows"], form


def test_whoever_leaves_in_the_middle_leaves_nothing_behind(
    client: httpx.Client, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(random_network(2, 20_000, 1, bias=False))
    address = f"/v1/networks/{name}/strength?limit=100000&format=ndjson"
    for _ in range(12):
        with client.stream("GET", address) as answer:
            assert answer.status_code == 200
            next(answer.iter_raw())
    assert client.get(f"/v1/networks/{name}/layers").status_code == 200
