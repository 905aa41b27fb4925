"""Answers as Arrow, Polars and pandas frames: every type of column, value by value."""

from __future__ import annotations

import datetime
import io
import json
import math
import sys
from typing import Any

import neo4j.spatial
import neo4j.time
import pyarrow
import pytest
from pyarrow import parquet

from store.errors import SettingsError
from store.query import Table
from tests.unit.test_values import LINK, ONE, PLAIN_LINK, PLAIN_ONE

INTEGERS, FLOATS, TEXT = pyarrow.int64(), pyarrow.float64(), pyarrow.string()
LOCAL, INSTANT = pyarrow.timestamp("ns"), pyarrow.timestamp("ns", "UTC")
HOUR_AHEAD = datetime.timezone(datetime.timedelta(hours=1))


def table_of(values: list[Any]) -> Table:
    return Table(("x",), [[value] for value in values])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None, False], pyarrow.bool_()),
        ([1, None, -3], INTEGERS),
        ([2**63 - 1, -(2**63)], INTEGERS),
        ([0.1, None, -math.inf], FLOATS),
        (["", None, "é"], TEXT),
        ([b"\x00\xff", None], pyarrow.binary()),
        ([None, None], pyarrow.null()),
        ([], pyarrow.null()),
        ([datetime.date(2026, 2, 28), None], pyarrow.date32()),
        ([[1, 2], None, [], [None]], pyarrow.list_(INTEGERS)),
        ([[0.5], [None]], pyarrow.list_(FLOATS)),
        ([["a"], []], pyarrow.list_(TEXT)),
        ([[], None], pyarrow.list_(pyarrow.null())),
        ([[[1.0], []], [None], []], pyarrow.list_(pyarrow.list_(FLOATS))),
        (
            [{"k": 1, "v": [0.5]}, None, {"k": None, "v": []}],
            pyarrow.struct({"k": INTEGERS, "v": pyarrow.list_(FLOATS)}),
        ),
        ([[{"k": 1}], [{"k": 2}]], pyarrow.list_(pyarrow.struct({"k": INTEGERS}))),
    ],
)
def test_a_column_of_one_type_comes_back_as_it_was(values: list[Any], kind: Any) -> None:
    arrow = table_of(values).to_arrow()
    assert arrow.schema.field("x").type == kind
    assert arrow.schema.field("x").metadata is None
    assert arrow["x"].to_pylist() == values


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (neo4j.time.Date(2026, 2, 28), pyarrow.date32(), datetime.date(2026, 2, 28)),
        (ONE, None, PLAIN_ONE),
        (LINK, None, PLAIN_LINK),
        (
            neo4j.spatial.CartesianPoint((1.5, -2.0)),
            pyarrow.struct({"srid": INTEGERS, "coordinates": pyarrow.list_(FLOATS)}),
            {"srid": 7203, "coordinates": [1.5, -2.0]},
        ),
        (neo4j.time.Duration(months=14, days=3, seconds=5), TEXT, "P1Y2M3DT5S"),
        (neo4j.time.Time(1, 2, 3, 4), TEXT, "01:02:03.000000004"),
        ((1, 2), pyarrow.list_(INTEGERS), [1, 2]),
        ([neo4j.time.Date(1, 1, 1)], pyarrow.list_(pyarrow.date32()), [datetime.date(1, 1, 1)]),
        (bytearray(b"w"), pyarrow.binary(), b"w"),
    ],
)
def test_what_only_the_store_has(value: Any, kind: Any, expected: Any) -> None:
    arrow = table_of([value, None]).to_arrow()
    assert kind is None or arrow.schema.field("x").type == kind
    assert arrow["x"].to_pylist() == [expected, None]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, "1", None], ["1", '"1"', None]),
        ([True, 1], ["true", "1"]),
        ([2**63, 1], ["9223372036854775808", "1"]),
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        ([math.nan, "NaN"], ['"NaN"', '"NaN"']),
        ([{"a": 1}, {"b": 2}], ['{"a": 1}', '{"b": 2}']),
        ([{}, {}], ["{}", "{}"]),
        ([{"a": 1}, {"a": "é"}], ['{"a": 1}', '{"a": "é"}']),
        ([[1, "a"], []], ['[1, "a"]', "[]"]),
        ([[1], 1], ["[1]", "1"]),
        ([b"\x00\xff", "a"], ['"AP8="', '"a"']),
        ([neo4j.time.Date(2026, 2, 28), 7], ['"2026-02-28"', "7"]),
        ([neo4j.time.DateTime(1026, 2, 28)], ['"1026-02-28T00:00:00.000000000"']),
    ],
)
def test_what_no_type_holds_unchanged_is_json(values: list[Any], texts: list[Any]) -> None:
    arrow = table_of(values).to_arrow()
    field = arrow.schema.field("x")
    assert (field.type, field.metadata) == (TEXT, {b"encoding": b"json"})
    assert arrow["x"].to_pylist() == texts


def test_integers_among_floats_are_floats() -> None:
    arrow = table_of([1, 0.5, 2**53, None]).to_arrow()
    assert arrow.schema.field("x").type == FLOATS
    assert arrow["x"].to_pylist() == [1.0, 0.5, 2.0**53, None]


def test_not_a_number_is_not_missing() -> None:
    column = table_of([math.nan, None, 1.0]).to_arrow()["x"]
    assert column.null_count == 1
    first, second, third = column.to_pylist()
    assert (math.isnan(first), second, third) == (True, None, 1.0)


def test_times_keep_their_nanoseconds_and_their_instant() -> None:
    local = neo4j.time.DateTime(2026, 2, 28, 1, 2, 3, 4)
    zoned = neo4j.time.DateTime(2026, 2, 28, 1, 2, 3, 123456789, tzinfo=HOUR_AHEAD)
    native = datetime.datetime(2026, 2, 28, 1, 2, 3, 5, tzinfo=HOUR_AHEAD)
    arrow = Table(("local", "zoned"), [[local, zoned], [None, native]]).to_arrow()
    assert arrow.schema.types == [LOCAL, INSTANT]
    first = 1_772_240_523  # date -u -d '2026-02-28 01:02:03' +%s
    assert arrow["local"].cast(INTEGERS).to_pylist() == [first * 10**9 + 4, None]
    assert arrow["zoned"].cast(INTEGERS).to_pylist() == [
        (first - 3600) * 10**9 + 123456789,
        (first - 3600) * 10**9 + 5000,
    ]


def test_the_metadata_say_what_was_asked() -> None:
    table = Table(("x",), [[1]], "RETURN $y AS x", {"y": [1, "é"]}, True, 1.23456, ("So.", "é"))
    metadata = {
        key.decode(): text.decode() for key, text in table.to_arrow().schema.metadata.items()
    }
    assert metadata.pop("cypher") == "RETURN $y AS x"
    assert {key: json.loads(text) for key, text in metadata.items()} == {
        "parameters": {"y": [1, "é"]},
        "truncated": True,
        "took_ms": 1.235,
        "notes": ["So.", "é"],
    }


def test_an_empty_answer_keeps_its_columns() -> None:
    arrow = Table(("a", "b"), []).to_arrow()
    assert (arrow.column_names, arrow.num_rows) == (["a", "b"], 0)
    assert Table((), []).to_arrow().num_columns == 0


def test_every_type_passes_through_a_parquet_file() -> None:
    rows: list[list[Any]] = [
        [1, 0.5, "a", [], None, {"k": [1]}, neo4j.time.DateTime(2026, 2, 28, 1, 2, 3, 4), {}],
        [2, None, "b", [], None, {"k": []}, None, 2**70],
    ]
    arrow = Table(tuple("abcdefgh"), rows).to_arrow()
    file = io.BytesIO()
    parquet.write_table(arrow, file)
    back = parquet.read_table(io.BytesIO(file.getvalue()))
    assert back.to_pylist() == arrow.to_pylist()
    assert back.schema.metadata == arrow.schema.metadata
    assert back.schema.field("h").metadata[b"encoding"] == b"json"


def test_pandas_keeps_what_was_asked() -> None:
    frame = Table(("x",), [[1], [2]], "RETURN 1", {"k": 3}, notes=("So.",)).to_pandas()
    assert frame["x"].tolist() == [1, 2]
    assert frame.attrs == {
        "cypher": "RETURN 1",
        "parameters": {"k": 3},
        "truncated": False,
        "notes": ("So.",),
    }


def test_polars_has_the_same_values_and_types() -> None:
    polars = pytest.importorskip("polars", reason="the extra weightome[polars] is not installed")
    rows: list[list[Any]] = [
        [1, 0.5, "a", [1], None, {"k": 1}],
        [None, math.nan, "b", [], None, {"k": None}],
    ]
    frame = Table(tuple("abcdef"), rows).to_polars()
    assert dict(frame.schema) == {
        "a": polars.Int64,
        "b": polars.Float64,
        "c": polars.String,
        "d": polars.List(polars.Int64),
        "e": polars.Null,
        "f": polars.Struct({"k": polars.Int64}),
    }
    assert frame.select("a", "c", "d", "e", "f").rows() == [
        (1, "a", [1], None, {"k": 1}),
        (None, "b", [], None, {"k": None}),
    ]
    assert frame["b"][0] == 0.5
    assert math.isnan(frame["b"][1])
    assert Table(("a",), []).to_polars().shape == (0, 1)


def test_without_polars_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(SettingsError, match=r"Polars frames need polars: .*'weightome\[polars\]'"):
        Table(("x",), [[1]]).to_polars()
