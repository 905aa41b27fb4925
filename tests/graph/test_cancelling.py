"""Questions whose caller leaves: what they run at the server ends, and nothing of it stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from queries.projection import projection
from store.cancelling import Cancelling
from store.database import Database
from store.errors import Cancelled
from store.query import Query

# Minutes of work that the server looks up from between rows.
LONG = Query(
    "long",
    "",
    "UNWIND range(1, 3000000) AS i UNWIND range(1, 3000) AS j WITH i, j WHERE (i * j) % 7 = 8 "
    "RETURN count(*) AS n",
    ("n",),
)
OURS = Query(
    "ours",
    "",
    "SHOW TRANSACTIONS YIELD currentQuery WHERE currentQuery STARTS WITH $start "
    "RETURN count(*) AS n",
    ("n",),
)
ONE = Query("one", "", "RETURN 1 AS x", ("x",))
PROJECT = Query(
    "project",
    "",
    "UNWIND range(1, 3) AS i RETURN gds.graph.project($graph, i, i + 1) AS graph",
    ("graph",),
)
GRAPHS = Query(
    "graphs", "", "CALL gds.graph.list() YIELD graphName RETURN collect(graphName) AS n", ("n",)
)


def running(database: Database) -> int:
    return int(database.read(OURS, start="UNWIND range(1, 3000000)").rows[0][0])


def wait(until: Callable[[], bool]) -> None:
    for _ in range(600):
        if until():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that within 30 s")


@contextmanager
def asked(database: Database, query: Query) -> Iterator[list[BaseException]]:
    """Asks in a thread; the list holds what it raised."""
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            database.read(query)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    yield raised
    thread.join(30)
    assert not thread.is_alive()


def test_what_runs_ends_at_the_server(database: Database) -> None:
    cancelling = Cancelling()
    reading = database.cancelled_by(cancelling)
    with asked(reading, LONG) as raised:
        wait(lambda: running(database) == 1)
        cancelling.cancel()
        wait(lambda: running(database) == 0)
    assert [type(error) for error in raised] == [Cancelled]
    with pytest.raises(Cancelled, match="Nobody waits"):
        reading.read(ONE)
    assert database.read(ONE).rows == [[1]], "the database itself goes on"


def test_a_transaction_that_is_only_about_to_begin_ends_too(database: Database) -> None:
    """Twenty times cancelled at once, in whatever state that finds the transaction."""
    for turn in range(20):
        cancelling = Cancelling()
        with asked(database.cancelled_by(cancelling), LONG) as raised:
            time.sleep(turn * 0.001)
            cancelling.cancel()
        assert [type(error) for error in raised] == [Cancelled]
    wait(lambda: running(database) == 0)


def test_one_caller_leaves_and_the_other_gets_its_answer(database: Database) -> None:
    leaving, staying = Cancelling(), Cancelling()
    short = Query("short", "", "UNWIND range(1, 2000000) AS i RETURN sum(i) AS n", ("n",))
    with asked(database.cancelled_by(leaving), LONG):
        wait(lambda: running(database) == 1)
        leaving.cancel()
        assert database.cancelled_by(staying).read(short).rows == [[2_000_001_000_000]]


def test_a_projected_graph_is_dropped_after_its_caller_left(database: Database) -> None:
    cancelling = Cancelling()
    reading = database.cancelled_by(cancelling)
    with projection(reading, PROJECT) as (graph, _):
        assert graph in database.read(GRAPHS).rows[0][0]
        cancelling.cancel()
        with pytest.raises(Cancelled):
            reading.read(ONE)
    assert graph not in database.read(GRAPHS).rows[0][0]
