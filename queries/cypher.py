"""The reader's own Cypher: read only, within a time limit and a row cap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from queries import guard
from store.database import Database
from store.errors import InvalidArgument, TimeLimitExceeded, TransactionFailed
from store.query import Query, Table
from store.values import plain

GRACE_SECONDS = 5.0
"""How long after the time limit the server's own answer is waited for."""

MOST_SECONDS = 86_400.0
"""Longest time limit that a query may be given, in seconds."""

MOST_AT_ONCE = 16
"""Queries of readers that may be under way in this process, given up ones included."""

# Names that `Database.read` keeps for itself: a parameter of that name would lift its limits.
_RESERVED = ("seconds", "row_cap")

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


def cypher(
    database: Database,
    text: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    seconds: float | None = None,
    row_cap: int | None = None,
) -> Table:
    """Runs a query that someone else wrote, if it only reads the graph.

    Parameters
    ----------
    text
        One Cypher statement.
    parameters
        Values of its ``$parameters``: what JSON can hold.
    seconds
        Time limit for planning and running, in seconds; default the database's. The caller waits
        at most `GRACE_SECONDS` longer.
    row_cap
        Most rows; default the database's. Beyond it ``Table.truncated`` is True.

    Returns
    -------
    Table
        The query's own columns. Values are plain JSON (see :func:`store.values.plain`). An integer
        beyond 2**53, such as a neuron's id may be, is exact here but not in JavaScript: ask for
        ``toString(neuron.id)``.

    Raises
    ------
    QueryRefused
        Names what else than reading the query would do.
    InvalidQuery
        The server does not understand it.
    TimeLimitExceeded, MemoryLimitExceeded, InvalidArgument
    TransactionFailed
        `MOST_AT_ONCE` readers' queries are under way already.

    Example
    -------
    >>> cypher(database, "MATCH (n:Network) RETURN n.name AS name").rows    # doctest: +SKIP
    [['mnist']]
    """
    values = dict(parameters or {})
    for name in _RESERVED:
        if name in values:
            raise InvalidArgument(f"A parameter cannot be called {name!r}: choose another name.")
    if seconds is not None and not 0 < seconds <= MOST_SECONDS:
        raise InvalidArgument(f"seconds cannot be {seconds:g}: give more than 0, at most a day.")
    limited = database.limited(seconds=seconds, row_cap=row_cap)

    def run() -> Table:
        guard.refuse(limited, text, values)
        return limited.read(Query("cypher", "The reader's own question.", text), **values)

    table = _within(limited.read_seconds + GRACE_SECONDS, run)
    return table.with_rows(table.columns, [[plain(value) for value in row] for row in table.rows])


def _within(seconds: float, work: Callable[[], Table]) -> Table:
    """What `work` returns, or TimeLimitExceeded when it takes longer.

    The server looks at its clock between rows, so one expression such as a `reduce` over a long
    list, or the planning of a query, goes on past every limit. Its thread is left behind then, and
    keeps its place until the server has answered it.
    """
    if not _places.acquire(blocking=False):
        raise TransactionFailed(
            f"{MOST_AT_ONCE} queries are under way already, some past their time limit; "
            "try again in a minute."
        )
    outcome: queue.SimpleQueue[Table | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(work())
        except BaseException as error:
            # Raised where the caller waits.
            outcome.put(error)
        finally:
            _places.release()

    # A daemon: a query that is given up must not keep the process from ending.
    threading.Thread(target=run, name="weightome-cypher", daemon=True).start()
    try:
        result = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeLimitExceeded("The query ran longer than its time limit.") from None
    if isinstance(result, BaseException):
        raise result
    return result
