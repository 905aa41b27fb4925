"""The guard's reading of a text and of a plan, and the deadline; no server is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queries import cypher as own
from queries.guard import LONGEST_TEXT, check_plan, check_text
from store.cancelling import Cancelling
from store.database import Answer, Database
from store.errors import InvalidArgument, QueryRefused, TimeLimitExceeded, TransactionFailed

REFUSED = [
    ("", "is empty"),
    (" \r\n\t", "is empty"),
    ("// RETURN 1", "is empty"),
    ("/* RETURN 1 */ ;", "is empty"),
    ("RETURN 1" + " " * LONGEST_TEXT, "longer than 100000 bytes"),
    ("RETURN '" + "é" * (LONGEST_TEXT // 2) + "'", "longer than 100000 bytes"),
    ("RETURN '\\u0041'", "escape \\u"),
    ("RETURN 1 //\\u000aCREATE (n)", "escape \\u"),
    ("RETURN '\0'", "U+0000"),
    ("RETURN '\u2028'", "U+2028"),
    ("//x\x85CREATE (n)", "U+0085"),
    ("RETURN '\ud800'", "U+D800"),
    ("RETURN\u00a01", "U+00A0"),
    ("MATCH (\uff4e) RETURN 1", "put such names in backticks"),
    ("RETURN 'a", "quotation mark without"),
    ('RETURN "a\\"', "quotation mark without"),
    ("RETURN `a", "backtick without"),
    ("RETURN 1 /* x", "comment without an end"),
    ("RETURN 1; RETURN 2", "more than one statement"),
    ("; RETURN 1", "more than one statement"),
    ("EXPLAIN RETURN 1", "begins with EXPLAIN"),
    ("/* x */ profile RETURN 1", "begins with PROFILE"),
    ("CYPHER 25 EXPLAIN RETURN 1", "begins with EXPLAIN"),
    ("CYPHER RETURN 1", "option of CYPHER"),
    ("CYPHER 4.4 RETURN 1", "option of CYPHER"),
    ("CYPHER 5", "option of CYPHER"),
    ("CYPHER runtime=slotted RETURN 1", "option of CYPHER"),
    ("CYPHER 5 planner /**/ = dp RETURN 1", "sets the option planner"),
    ("RETURN " + "[" * 51 + "]" * 51, "more than 50 deep"),
    ("LOAD /**/ csv FROM 'x' AS l RETURN l", "uses LOAD CSV"),
    ("RETURN [x IN [1] | COLLECT { SHOW FUNCTIONS YIELD name RETURN name }]", "SHOW FUNCTIONS"),
    ("TERMINATE TRANSACTIONS 'x'", "uses TERMINATE TRANSACTIONS"),
    ("USE `system` RETURN 1", "uses USE"),
    ("USE (neo4j) RETURN 1", "uses USE"),
    ("USE $x RETURN 1", "uses USE"),
    ("CALL dbms.listConfig()", "calls dbms.listConfig"),
    ("CALL dbms // .labels\n . `list``Config`", "calls dbms.list`Config"),
    ("CALL DB.LABELS()", "calls DB.LABELS"),
    ("CALL db . labels . more", "calls db.labels.more"),
    ("CALL `db.labels`.x()", "calls db.labels.x"),
    ("CALL labels()", "calls labels"),
    ("RETURN gds.graph.project('g', 1, 2)", "calls gds.graph.project"),
    ("RETURN `gds`/**/./**/`graph` . project ( 'g' )", "calls gds.graph.project"),
    ("RETURN `gds.graph.project`('g')", "calls gds.graph.project"),
    ("RETURN gds.`graph.project`('g')", "calls gds.graph.project"),
    ("RETURN [0, 1][0..gds.graph.project('g')]", "calls gds.graph.project"),
    ("RETURN apoc.version()", "calls apoc.version"),
    ("RETURN 1.project(2)", "calls project"),
    ("RETURN (x).project(2)", "calls project"),
    ("MATCH (n) RETURN n.CALL(1)", "calls n.CALL"),
]

PASSED = [
    "RETURN 1",
    "RETURN 1;",
    "\tCYPHER 25\r\nRETURN 1",
    "CYPHER 5 MATCH (n) RETURN n",
    "RETURN 'LOAD CSV', \"CALL dbms.x()\", 'it\\'s ; USE x' AS `SHOW USERS`",
    "MATCH (n:`LOAD CSV`) WHERE n.`delete` = 1 RETURN n.`a``b` // CALL dbms.x()",
    "/* /* CREATE (n) */ RETURN 1",
    "RETURN '\u00e9\U0001f9e0' // \u00e9",
    "MATCH (n) WHERE n.x IN (n.y) AND NOT (n.z) RETURN [0, 1, 2][0..size(n.list)]",
    "CALL db . `labels` ( ) YIELD label RETURN label",
    "CALL (x) { RETURN 1 AS y } RETURN y",
    "RETURN DATE.TRUNCATE('day', date()) , point . distance(a, b)",
    "MATCH (n)-[*1..3]->(m) RETURN n {.*, x: 1.5e3}, $p, $`p q`",
    "MATCH (load:Load {show: 1}) RETURN load.csv, load.use",
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_text_refused(text: str, why: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        check_text(text)
    message = str(refusal.value)
    assert why in message
    assert message.startswith("This query ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("text", PASSED)
def test_text_passed(text: str) -> None:
    check_text(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        check_text(text)
    except QueryRefused:
        return


@given(
    st.sampled_from(["'", '"', "`"]),
    st.text(st.characters(exclude_characters="\\'\"`", exclude_categories=["C", "Z"])),
)
def test_whatever_is_quoted_is_no_code(mark: str, inside: str) -> None:
    check_text(f"RETURN {mark}CALL dbms.x() {inside}{mark} AS x")


def _plan(operator: str, details: str = "", *children: Any) -> dict[str, Any]:
    return {"operatorType": operator, "args": {"Details": details}, "children": list(children)}


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (_plan("ProduceResults@neo4j", "", _plan("Create@neo4j")), "uses Create;"),
        (_plan("AdministrationCommand@system"), "uses AdministrationCommand;"),
        (_plan("NodeUniqueIndexSeek(Locking)@neo4j"), "uses NodeUniqueIndexSeek(Locking);"),
        (_plan("Expand(Everywhere)"), "uses Expand(Everywhere);"),
        (_plan("Expand(All"), "uses Expand(All;"),
        (_plan("Projections"), "uses Projections;"),
        ({}, "uses a plan step without a name;"),
        (_plan("ProcedureCall@neo4j", "dbms.info() :: (id)"), "calls dbms.info;"),
        (_plan("Eager ProcedureCall@neo4j", "db.createLabel($x)"), "calls db.createLabel;"),
        (_plan("ProcedureCall@neo4j", "`db.labels`()"), "name the plan does not show;"),
        (_plan("ProcedureCall@neo4j", ""), "name the plan does not show;"),
        ({"operatorType": "ProcedureCall"}, "name the plan does not show;"),
        (_plan("ProcedureCall", "db.labels.x() :: (x)"), "calls db.labels.x;"),
    ],
)
def test_plan_refused(plan: Mapping[str, Any], why: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        check_plan(plan)
    assert why in str(refusal.value)


def test_plan_passed() -> None:
    leaves = [
        _plan("ProcedureCall@neo4j", "db.labels() :: (label :: STRING)"),
        {"operatorType": "VarLengthExpand(Pruning,BFS,All)@neo4j"},
        {"operatorType": "StatefulShortestPath(Into, Trail)@neo4j"},
    ]
    check_plan(_plan("ProduceResults@neo4j", "x", *leaves))


class Recorder:
    """A connection that notes what it is asked, and answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any], bool, float | None, int | None]] = []
        self.go = threading.Event()
        self.go.set()

    def run(
        self,
        cypher: str,
        parameters: Mapping[str, Any],
        *,
        write: bool,
        seconds: float | None,
        row_cap: int | None,
        cancelling: Cancelling | None = None,
    ) -> Answer:
        self.asked.append((cypher, dict(parameters), write, seconds, row_cap))
        self.go.wait(30)
        return Answer(("x",), [[float("nan")]], plan={"operatorType": "ProduceResults@neo4j"})

    def close(self) -> None:
        pass


def test_the_text_that_was_explained_is_the_text_that_is_run() -> None:
    recorder = Recorder()
    text = " CYPHER 25 // x\nRETURN $x AS x ;"
    table = own.cypher(Database(recorder), text, {"x": 1}, seconds=3, row_cap=7)
    assert recorder.asked == [
        (f"EXPLAIN {text}", {"x": 1}, False, 3, None),
        (text, {"x": 1}, False, 3, 7),
    ]
    assert table.rows == [["NaN"]]
    assert table.parameters == {"x": 1}


def test_a_refused_text_reaches_no_server() -> None:
    recorder = Recorder()
    with pytest.raises(QueryRefused):
        own.cypher(Database(recorder), "RETURN gds.graph.project('g', 1, 2)")
    assert recorder.asked == []


@pytest.mark.parametrize("name", ["seconds", "row_cap"])
def test_a_parameter_lifts_no_limit(name: str) -> None:
    recorder = Recorder()
    with pytest.raises(InvalidArgument, match=name):
        own.cypher(Database(recorder), "RETURN 1 AS x", {name: 10**9})
    assert recorder.asked == []


def test_a_server_that_does_not_stop_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(own, "_places", threading.BoundedSemaphore(2))
    recorder = Recorder()
    recorder.go.clear()
    database = Database(recorder)
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(TimeLimitExceeded):
            own.cypher(database, "RETURN 1 AS x", seconds=0.05)
        assert time.monotonic() - started < 5
    with pytest.raises(TransactionFailed, match="under way already"):
        own.cypher(database, "RETURN 1 AS x")
    recorder.go.set()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert own.cypher(database, "RETURN 1 AS x").columns == ("x",)
            return
        except TransactionFailed:
            time.sleep(0.01)
    raise AssertionError("given up queries keep their place after the server has answered")
