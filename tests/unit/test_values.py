"""Every kind of value that a query can return, as JSON."""

from __future__ import annotations

import datetime
import json
from typing import Any

import neo4j.spatial
import neo4j.time
import pytest
from neo4j.graph import Graph, Node, Path, Relationship

from store.values import plain

GRAPH = Graph()
ONE = Node(GRAPH, "4:x:1", 1, ["Neuron", "Hub"], {"bias": 0.5, "tags": ["a"]})
TWO = Node(GRAPH, "4:x:2", 2, [], {})


def _link() -> Relationship:
    # The driver makes one class per type, and fills in the ends as it reads them.
    link = GRAPH.relationship_type("LINK")(GRAPH, "5:x:3", 3, {"weight": float("inf")})
    link._start_node, link._end_node = ONE, TWO
    return link


LINK = _link()

PLAIN_ONE = {
    "id": "4:x:1",
    "labels": ["Hub", "Neuron"],
    "properties": {"bias": 0.5, "tags": ["a"]},
}
PLAIN_TWO: dict[str, Any] = {"id": "4:x:2", "labels": [], "properties": {}}
PLAIN_LINK = {
    "id": "5:x:3",
    "type": "LINK",
    "start": "4:x:1",
    "end": "4:x:2",
    "properties": {"weight": "Infinity"},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**62 + 1, 2**62 + 1),
        ("é", "é"),
        (0.1, 0.1),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ([1.0, float("nan")], [1.0, "NaN"]),
        ([1, "a", None, 0.5, float("inf")], [1, "a", None, 0.5, "Infinity"]),
        ({"a": [{"b": b"\x00\xff"}]}, {"a": [{"b": "AP8="}]}),
        (ONE, PLAIN_ONE),
        (LINK, PLAIN_LINK),
        (Path(ONE, LINK), {"nodes": [PLAIN_ONE, PLAIN_TWO], "relationships": [PLAIN_LINK]}),
        ([[ONE]], [[PLAIN_ONE]]),
        (neo4j.time.Date(2026, 2, 28), "2026-02-28"),
        (neo4j.time.Time(1, 2, 3, 4), "01:02:03.000000004"),
        (neo4j.time.DateTime(2026, 2, 28, 1, 2, 3, 4), "2026-02-28T01:02:03.000000004"),
        (neo4j.time.Duration(months=14, days=3, seconds=5), "P1Y2M3DT5S"),
        (datetime.date(2026, 2, 28), "2026-02-28"),
        (
            neo4j.spatial.CartesianPoint((1.5, -2.0)),
            {"srid": 7203, "coordinates": [1.5, -2.0]},
        ),
        (
            neo4j.spatial.WGS84Point((12.5, 55.0, 3.0)),
            {"srid": 4979, "coordinates": [12.5, 55.0, 3.0]},
        ),
        ((1, 2.5), [1, 2.5]),
    ],
)
def test_plain(value: Any, expected: Any) -> None:
    answer = plain(value)
    assert answer == expected
    assert json.loads(json.dumps(answer, allow_nan=False)) == expected


def test_a_vector_is_a_list() -> None:
    vector = pytest.importorskip("neo4j.vector").Vector([1.0, -2.0], "f64")
    assert plain(vector) == [1.0, -2.0]


@pytest.mark.parametrize("values", [[0.5] * 1000, [1, None, "a"] * 1000, []])
def test_a_list_that_is_plain_is_not_copied(values: list[Any]) -> None:
    assert plain(values) is values
