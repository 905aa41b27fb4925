"""The reader's own Cypher on a real server: what must be refused, what must pass."""

from __future__ import annotations

import datetime
import json
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queries import cypher as own
from queries.cypher import cypher
from queries.guard import check_plan, check_text, refuse
from store.database import Database
from store.errors import (
    InvalidQuery,
    QueryRefused,
    TimeLimitExceeded,
    TransactionFailed,
    WeightomeError,
)
from store.query import Query

HIDDEN = "MATCH (n:Network) RETURN [x IN [1] | %s]"
"""An expression whose inside the server leaves out of its plan."""

REFUSED = [
    # Writes
    "CREATE (n:Intruder)",
    "CREATE (n:Intruder) RETURN n",
    "INSERT (n:Intruder)",
    "MERGE (n:Intruder {x: 1}) RETURN n",
    "MATCH (a:Layer), (b:Layer) MERGE (a)-[:FEEDS]->(b)",
    "MATCH (n) SET n.x = 1",
    "MATCH (n) SET n += {x: 1} RETURN n",
    "MATCH (n) SET n:Intruder",
    "MATCH (n) SET n[$p] = 1",
    "MATCH (n) REMOVE n.name",
    "MATCH (n) REMOVE n:Neuron",
    "MATCH ()-[link:LINK]->() DELETE link",
    "MATCH (n) DETACH DELETE n",
    "FOREACH (x IN [1] | CREATE (:Intruder))",
    "MATCH (n:Network) CALL (n) { SET n.x = 1 } RETURN n",
    "CALL { CREATE (n:Intruder) RETURN n } RETURN n",
    "UNWIND [1] AS x CALL (x) { CREATE (:Intruder {x: x}) } IN TRANSACTIONS",
    "MATCH (n:Network) CALL (n) { DETACH DELETE n } IN 4 CONCURRENT TRANSACTIONS OF 1 ROWS",
    "RETURN 1 AS x UNION ALL CREATE (n:Intruder) RETURN 1 AS x",
    "CYPHER 25 RETURN 1 AS x NEXT CREATE (n:Intruder) RETURN n",
    "CYPHER 25 WHEN true THEN CREATE (n:Intruder)",
    # Schema
    "CREATE INDEX intruder FOR (n:Neuron) ON (n.x)",
    "CREATE CONSTRAINT intruder FOR (n:Neuron) REQUIRE n.x IS UNIQUE",
    "CREATE VECTOR INDEX intruder FOR (n:Neuron) ON (n.x)",
    "DROP INDEX weightome_neuron IF EXISTS",
    "DROP CONSTRAINT weightome_neuron",
    # Files and the network
    "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "LOAD CSV WITH HEADERS FROM 'http://127.0.0.1:1/x' AS line RETURN line",
    "load\tcsv FROM 'file:///etc/passwd' AS line RETURN line",
    "LOAD /* */ CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "CALL { LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line } RETURN line",
    "RETURN COLLECT { LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line } AS lines",
    HIDDEN % "COLLECT { LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line }",
    "RETURN genai.vector.encode('x', 'OpenAI', {}) AS x",
    # The server and its other users
    "SHOW TRANSACTIONS",
    "SHOW TRANSACTIONS YIELD currentQuery RETURN currentQuery",
    "SHOW SETTINGS",
    "SHOW USERS",
    "SHOW PROCEDURES",
    "SHOW FUNCTIONS YIELD name RETURN name",
    "SHOW DATABASES",
    "SHOW INDEXES",
    "SHOW CONSTRAINTS",
    "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "CYPHER 25 " + HIDDEN % "COLLECT { SHOW SETTINGS YIELD value RETURN value }",
    "CYPHER 25 CALL { SHOW SETTINGS YIELD value RETURN value } RETURN value",
    "CREATE USER intruder SET PASSWORD 'intruder1'",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'intruder1'",
    "DROP USER intruder IF EXISTS",
    "USE system SHOW USERS",
    "USE system RETURN 1",
    "USE neo4j MATCH (n) RETURN n",
    "USE graph.byName('neo4j') RETURN 1",
    HIDDEN % "COLLECT { USE neo4j MATCH (m) RETURN m }",
    # Procedures
    "CALL dbms.listConfig()",
    "CALL dbms.listConfig() YIELD name, value RETURN value",
    "CALL dbms.components() YIELD name RETURN name",
    "CALL dbms.killConnections(['bolt-1'])",
    "CALL dbms // CALL db.labels()\n.listConfig()",
    "CALL `dbms`.`listConfig`()",
    "OPTIONAL CALL dbms.listConfig() YIELD name RETURN name",
    HIDDEN % "COUNT { CALL dbms.listConfig() YIELD name RETURN name }",
    "RETURN CASE WHEN true THEN COUNT { CALL dbms . /**/ listConfig() YIELD name RETURN 1 } END",
    "CALL tx.setMetaData({x: 1})",
    "CALL db.createLabel('Intruder')",
    "CALL db.createProperty('intruder')",
    "CALL db.awaitIndexes(1)",
    "CALL db.resampleOutdatedIndexes()",
    "CALL db.clearQueryCaches()",
    "CALL db.stats.collect('QUERIES')",
    "CALL db.index.fulltext.queryNodes('x', 'y')",
    "CALL db.index.fulltext.awaitEventuallyConsistentIndexRefresh()",
    # Graph Data Science and APOC
    "MATCH (a:Neuron)-[:LINK]->(b) RETURN gds.graph.project('intruder', a, b)",
    "MATCH (a:Neuron)-[:LINK]->(b) RETURN gds . /* */ `graph` .\nproject('intruder', a, b) AS g",
    "MATCH (a:Neuron) WITH gds.graph.project('intruder', a, null) AS g RETURN g.graphName",
    HIDDEN % "COLLECT { MATCH (a) RETURN gds.graph.project('intruder', a, null) }",
    "RETURN 1 LIMIT gds.graph.project('intruder', 1, 2)",
    "CALL gds.graph.project('intruder', '*', '*')",
    "CALL gds.graph.drop('intruder', false)",
    "CALL gds.graph.list()",
    "CALL gds.pageRank.write('intruder', {writeProperty: 'x'})",
    "CALL gds.pageRank.mutate('intruder', {mutateProperty: 'x'})",
    "CALL apoc.load.json('http://127.0.0.1:1/x')",
    "RETURN apoc.text.join(['a'], 'b')",
    # Disguises
    "MATCH (n) \\u0044ETACH DELETE n",
    "RETURN '\\u0027 CREATE (n:Intruder) //'",
    "RETURN 1 //\\u000aCREATE (n:Intruder)",
    "MATCH (n) //\rDETACH DELETE n",
    "RETURN 1; CREATE (n:Intruder)",
    "RETURN 1 ; // x\n MATCH (n) DETACH DELETE n",
    "EXPLAIN RETURN 1",
    "PROFILE RETURN 1",
    "CYPHER 25 PROFILE CREATE (n:Intruder)",
    "CYPHER runtime=slotted RETURN 1",
    "MATCH\u00a0(n) DETACH DELETE n",
    "",
    " \n\t",
    "// MATCH (n) RETURN n",
    "/* MATCH (n) RETURN n */",
]

# Refused by the guard or, as not even Cypher or not of this edition, by the server's planner.
NOT_CYPHER = [
    "CALL $procedure()",
    "RETURN $function('intruder', 1, 2)",
    "SELECT * FROM weights",
    "MATCH (n",
    "STOP DATABASE neo4j",
    "RETURN COUNT { CREATE (n:Intruder) RETURN n }",
    "CYPHER 25 ALTER CURRENT GRAPH TYPE ADD { (:Intruder => {x :: STRING}) }",
    "RETURN 'x\\\\' CREATE (n:Intruder) //'",
    "RETURN `a``` CREATE (n:Intruder) //`",
]

PASSED: list[tuple[str, list[list[Any]] | None]] = [
    ("RETURN 1 AS x", [[1]]),
    ("CYPHER 5 RETURN 1 AS x;", [[1]]),
    ("CYPHER 25 RETURN 1 AS x NEXT RETURN x + 1 AS y", [[2]]),
    ("CYPHER 25 LET x = 2 RETURN x", [[2]]),
    ("MATCH (n:Network {name: 'tiny'}) RETURN n.name AS name, n.links AS links", [["tiny", 12]]),
    ("MATCH (n:Network {name: 'tiny'}) RETURN n", None),
    ("MATCH (:Network {name: 'tiny'})-[:HAS_LAYER]->(l) RETURN count(l) AS layers", [[3]]),
    ("MATCH (n) RETURN count(n) > 0 AS some", [[True]]),
    ("MATCH ()-[link:LINK]->() RETURN count(link) > 0 AS some", [[True]]),
    ("MATCH (a:Neuron)-[link:LINK]->(b) RETURN a, link, b LIMIT 3", None),
    ("MATCH p = (:Neuron)-[:LINK*1..2]->(:Neuron) RETURN p LIMIT 3", None),
    ("MATCH p = SHORTEST 1 (a:Layer)-[:FEEDS]->+(b:Layer) RETURN length(p) AS n LIMIT 3", None),
    (
        "MATCH (a:Layer {index: 0}), (b:Layer {index: 2}) "
        "RETURN length(shortestPath((a)-[:FEEDS*]->(b))) AS n LIMIT 1",
        None,
    ),
    ("MATCH (a:Layer) ((x)-[f:FEEDS]->(y)){1,2} (b:Layer) RETURN a.name, b.name, size(f)", None),
    ("MATCH (l:Layer) OPTIONAL MATCH (l)-[:FEEDS]->(m) RETURN l.name AS l, m.name AS m", None),
    ("MATCH (n:Neuron) WHERE 0 <= n.id < 3 RETURN n.index AS i ORDER BY i SKIP 1 LIMIT 1", None),
    ("MATCH (n:Neuron {id: 0}) RETURN n.bias", None),
    ("MATCH (n:Neuron) WHERE n.id IN [0, 1] RETURN DISTINCT n.index", None),
    ("MATCH (n:Layer) WHERE n.name STARTS WITH 'f' OR n.name CONTAINS 'x' RETURN n.name", None),
    ("MATCH (n:Layer|Run) RETURN labels(n), count(*) AS n ORDER BY n DESC", None),
    ("MATCH (n) WHERE elementId(n) = $p RETURN n", []),
    ("MATCH (a)-[r]-(b) RETURN type(r) AS t, count(*) AS n ORDER BY t", None),
    ("MATCH (n:Neuron) WHERE NOT EXISTS { (n)<-[:LINK]-() } RETURN count(n) AS inputs", None),
    ("MATCH (n:Neuron) RETURN COUNT { (n)-[:LINK]->() } AS degree LIMIT 3", None),
    ("MATCH (n:Layer) RETURN COLLECT { MATCH (n)-[:FEEDS]->(m) RETURN m.name } AS to", None),
    ("MATCH (n:Layer) RETURN [(n)-[:FEEDS]->(m) | m.name] AS to", None),
    ("MATCH (n:Layer) CALL (n) { MATCH (n)-->(x) RETURN count(x) AS c } RETURN n.name, c", None),
    ("RETURN 1 AS x UNION RETURN 2 AS x UNION RETURN 2 AS x", [[1], [2]]),
    ("RETURN 1 AS x UNION ALL RETURN 1 AS x", [[1], [1]]),
    ("RETURN [x IN range(1, 4) WHERE x % 2 = 0 | x * x] AS squares", [[[4, 16]]]),
    ("RETURN reduce(s = 0, x IN [1, 2, 3] | s + x) AS s, [1, 2, 3][1..size([1, 2])] AS l", None),
    ("UNWIND [3, 1, 2] AS x RETURN x ORDER BY x", [[1], [2], [3]]),
    ("UNWIND [1, 2, 3] AS x RETURN percentileCont(x, 0.5) AS m, stDevP(x) > 0 AS s", [[2.0, True]]),
    ("RETURN 'LOAD CSV; CREATE (n) DELETE n' AS x", [["LOAD CSV; CREATE (n) DELETE n"]]),
    ("RETURN {`delete`: 1}.`delete` AS `CALL dbms.x()`", [[1]]),
    ("MATCH (create:Network) WHERE create.`set` IS NULL RETURN count(*) >= 0 AS x", [[True]]),
    ("// CREATE (n)\nRETURN /* DELETE n */ 1 AS x // USE system", [[1]]),
    ("RETURN $p + $`q r` AS x", [["p1"]]),
    ("RETURN point.distance(point({x: 0, y: 0}), point({x: 3, y: 4})) AS d", [[5.0]]),
    ("RETURN toString(date.truncate('month', date('2026-02-28'))) AS d", [["2026-02-01"]]),
    ("RETURN vector.similarity.cosine([1.0, 0.0], [2.0, 0.0]) AS s", [[1.0]]),
    ("RETURN gds.similarity.jaccard([1, 2], [2, 3]) AS s, gds.version() <> '' AS v", None),
    ("CALL db.labels() YIELD label RETURN count(label) > 0 AS some", [[True]]),
    ("CALL db.relationshipTypes()", None),
    ("CALL db . `schema`.visualization()", None),
    ("MATCH (n) FINISH", []),
]  # fmt: skip

PARAMETERS = {"p": "p", "q r": 1, "procedure": "dbms.listConfig", "function": "gds.graph.project"}

CONTENT = Query(
    "content",
    "How much is in the store, and which labels.",
    "MATCH (n) WITH count(n) AS nodes OPTIONAL MATCH ()-[r]->() WITH nodes, count(r) AS links "
    "RETURN nodes, links, COUNT { MATCH (n:Intruder) } AS intruders, "
    "COLLECT { MATCH (n:Network) RETURN properties(n) ORDER BY n.id } AS networks",
)
SCHEMA = Query("schema", "Indexes.", "SHOW INDEXES YIELD name RETURN name ORDER BY name")
USERS = Query("users", "Users.", "SHOW USERS YIELD user RETURN user ORDER BY user")
GRAPHS = Query("graphs", "Projections.", "CALL gds.graph.list() YIELD graphName RETURN graphName")


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_changed(database: Database, tiny: str) -> Iterator[None]:
    """Whatever these tests send, the server is afterwards as it was."""

    def state() -> list[list[list[Any]]]:
        return [database.read(query).rows for query in (CONTENT, SCHEMA, USERS, GRAPHS)]

    before = state()
    assert before[0][0][2] == 0
    assert before[3] == []
    yield
    assert state() == before


def test_tables_are_as_long_as_promised() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 45
    assert len({text for text, _ in PASSED}) == len(PASSED) >= 22


@pytest.mark.parametrize("text", REFUSED)
def test_refused(database: Database, text: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        cypher(database, text, PARAMETERS)
    message = str(refusal.value)
    assert message.startswith("This query ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("text", NOT_CYPHER)
def test_not_cypher(database: Database, text: str) -> None:
    with pytest.raises((InvalidQuery, QueryRefused, TransactionFailed)):
        cypher(database, text, PARAMETERS)


@pytest.mark.parametrize(("text", "rows"), PASSED)
def test_passed(database: Database, text: str, rows: list[list[Any]] | None) -> None:
    table = cypher(database, text, PARAMETERS, row_cap=100)
    json.dumps(table.rows, allow_nan=False)
    if rows is not None:
        assert table.rows == rows


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("MATCH (n) DETACH DELETE n", "uses DetachDelete;"),
        ("CALL dbms.listConfig()", "calls dbms.listConfig;"),
        ("SHOW TRANSACTIONS", "uses SHOW TRANSACTIONS;"),
        ("LOAD CSV FROM 'file:///x' AS line RETURN line", "uses LOAD CSV;"),
        ("CREATE USER a SET PASSWORD 'abcdefgh'", "uses AdministrationCommand;"),
        (
            "MATCH (n) RETURN gds.graph.project('g', n, n)",
            "This query calls gds.graph.project; only reading the graph is allowed here.",
        ),
    ],
)
def test_a_refusal_names_what_it_is_about(database: Database, text: str, named: str) -> None:
    with pytest.raises(QueryRefused) as refusal:
        refuse(database, text)
    assert named in str(refusal.value)


def test_the_plan_alone_would_not_do(database: Database) -> None:
    """Why the text is read too: READ mode runs what no plan shows."""
    text = HIDDEN % "COUNT { CALL dbms.listConfig() YIELD name RETURN name }"
    check_plan(database.explain(text))
    assert database.read(Query("hidden", "Settings.", text + " AS hidden")).rows[0][0][0] > 0
    with pytest.raises(QueryRefused):
        check_text(text)


@pytest.mark.parametrize(
    "text",
    [
        text
        for text in REFUSED
        if "Intruder" in text and text.lstrip().startswith(("CREATE (", "MERGE", "MATCH", "CALL {"))
    ],
)
def test_read_mode_is_behind_the_guard(database: Database, text: str) -> None:
    with pytest.raises(WeightomeError):
        database.read(Query("write", "A write.", text), p="x")


def test_row_cap(database: Database) -> None:
    table = cypher(database, "UNWIND range(1, 100) AS x RETURN x", row_cap=5)
    assert table.rows == [[1], [2], [3], [4], [5]]
    assert table.truncated


@pytest.mark.parametrize(
    "text",
    [
        "UNWIND range(1, 1000000000000) AS x RETURN count(x)",
        "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b RETURN sum(a * b % 7)",
        "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b WITH a, b WHERE a = -b "
        "RETURN a",
    ],
)
def test_time_limit(database: Database, text: str) -> None:
    started = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        cypher(database, text, seconds=0.5)
    assert time.monotonic() - started < 0.5 + own.GRACE_SECONDS + 2


@pytest.mark.parametrize(
    "text",
    [
        "RETURN reduce(s = 0, x IN range(1, 40000000) | (s + x) % 7) AS s",
        # The server computes this one while it plans.
        "RETURN 1 LIMIT reduce(s = 0, x IN range(1, 40000000) | (s + x) % 7)",
    ],
)
def test_what_the_server_does_not_stop_is_not_waited_for(
    database: Database, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "GRACE_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        cypher(database, text, seconds=0.1)
    assert time.monotonic() - started < 2


def test_values_are_plain(database: Database) -> None:
    text = """
    MATCH p = (a:Neuron)-[link:LINK]->(b:Neuron) WITH p, a, link, b LIMIT 1
    RETURN a, link, p, date('2026-02-28') AS day, duration('P1M2DT3S') AS span,
           datetime('2026-02-28T01:02:03Z') AS moment,
           point({latitude: 55.0, longitude: 12.5}) AS place, 0.0 / 0.0 AS nan, -1.0 / 0.0 AS low,
           {list: [1, null, 2.5]} AS map, 9223372036854775807 AS big
    """
    table = cypher(database, text)
    row = json.loads(json.dumps(table.to_json(), allow_nan=False))["rows"][0]
    node, link, path, day, span, moment, place, nan, low, mapping, big = row
    assert node["labels"] == ["Neuron"]
    assert isinstance(node["properties"]["id"], int)
    assert link["type"] == "LINK"
    assert link["start"] == node["id"]
    assert math.isfinite(link["properties"]["weight"])
    assert path["nodes"][0] == node
    assert path["relationships"] == [link]
    assert (day, span) == ("2026-02-28", "P1M2DT3S")
    assert datetime.datetime.fromisoformat(moment[:19] + "+00:00").year == 2026
    assert place == {"srid": 4326, "coordinates": [12.5, 55.0]}
    assert (nan, low) == ("NaN", "-Infinity")
    assert mapping == {"list": [1, None, 2.5]}
    assert big == 2**63 - 1


_PIECES = st.sampled_from(
    ["'", '"', "`", "//", "/*", "*/", "\n", "\r", ";", "\\", "(", ")", "{", "}", ".", "$p", "CALL ",
     " CREATE (:Intruder) ", " RETURN 1 ", "CYPHER 25 ", "``", "\u00a0", "\u2028", "''", "COUNT { "]
)  # fmt: skip


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """A query that must be refused, cut, doubled, and with pieces put in."""
    text = draw(st.sampled_from([text for text in REFUSED if text]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        middle = draw(st.one_of(_PIECES, st.just(""), st.just(text[start:end] * 2)))
        text = text[:start] + middle + text[end:]
    return text


# Each example is a round trip or two, and all are checked at the end by the module's fixture.
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=_mutated())
def test_no_mutation_writes(database: Database, text: str) -> None:
    try:
        cypher(database, text, PARAMETERS, seconds=5, row_cap=5)
    except WeightomeError:
        return
    # What ran has been planned as reading only, and is so still.
    check_plan(database.explain(text, PARAMETERS))
    assert database.read(CONTENT).column("intruders") == [0]
