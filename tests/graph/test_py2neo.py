"""A py2neo.Graph as the connection, against the same real server."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from ingest.removal import delete
from ingest.writer import write
from queries.paths import paths
from queries.strength import strength
from store.database import Database
from store.errors import InvalidQuery, NotFound, PermissionDenied, StoreError
from store.query import Query
from store.settings import Settings
from tests.networks import hand_checkable

with warnings.catch_warnings():
    # py2neo is no longer maintained and warns of its own past on import.
    warnings.simplefilter("ignore")
    py2neo = pytest.importorskip("py2neo", reason="the extra weightome[py2neo] is not installed")
    from store.py2neo import Py2neoConnection

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def graph_database(settings: Settings, database: Database) -> Iterator[Database]:
    if settings.uri is not None:
        uri, password = settings.uri, settings.password
    else:
        from store.local.server import up

        server = up(settings)
        uri, password = server.uri, server.password
    assert password is not None
    graph = py2neo.Graph(uri, auth=("neo4j", password.get_secret_value()))
    yield Database(Py2neoConnection(graph))
    graph.service.connector.close()


def test_write_ask_delete(graph_database: Database, database: Database) -> None:
    write(graph_database, hand_checkable(), name="through py2neo", workers=1)
    try:
        for convention in ("plain", "cnt"):
            theirs = strength(graph_database, "through py2neo", convention=convention)
            ours = strength(database, "through py2neo", convention=convention)
            assert theirs.rows == ours.rows
            assert len(theirs.rows) == 7
        assert (
            paths(graph_database, "through py2neo", "input", "fc2", k=3).rows
            == paths(database, "through py2neo", "input", "fc2", k=3).rows
        )
    finally:
        delete(graph_database, "through py2neo")
    with pytest.raises(NotFound):
        strength(database, "through py2neo")


def test_rows_are_capped(graph_database: Database) -> None:
    query = Query("many", "", "UNWIND range(1, 50) AS x RETURN x", ("x",))
    table = graph_database.read(query, row_cap=7)
    assert (table.column("x"), table.truncated) == ([1, 2, 3, 4, 5, 6, 7], True)


def test_reading_does_not_write(graph_database: Database) -> None:
    with pytest.raises(PermissionDenied):
        graph_database.read(Query("w", "", "CREATE (n:Smuggled) RETURN n", ("n",)))


def test_errors_become_ours(graph_database: Database) -> None:
    with pytest.raises(InvalidQuery):
        graph_database.read(Query("bad", "", "RETURN nonsense", ()))
    with pytest.raises(StoreError):
        graph_database.write(Query("bad", "", "CREATE (:Network {id: 1/0})"))
