"""A ``py2neo.Graph`` as the connection, for programs that already hold one.

py2neo has reached its end of life but works; the extra ``weightome[py2neo]`` installs it. It
cannot send a time limit with a query, nor a mark by which to end it: the server's
``db.transaction.timeout`` is what limits it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import py2neo
from py2neo import errors as theirs

from store import errors
from store.cancelling import Cancelling
from store.database import Answer, by_code

_ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 0.2


class Py2neoConnection:
    """Runs every statement through a ``py2neo.Graph``.

    Parameters
    ----------
    graph
        Stays the caller's.

    Example
    -------
    >>> graph = py2neo.Graph("bolt://127.0.0.1:7687", password="secret")    # doctest: +SKIP
    >>> Database(Py2neoConnection(graph)).read(query)                       # doctest: +SKIP
    """

    def __init__(self, graph: py2neo.Graph) -> None:
        self._graph = graph

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
        for attempt in itertools.count(1):
            if cancelling is not None:
                cancelling.check()
            try:
                with _ours():
                    return self._once(cypher, parameters, write, row_cap)
            except errors.TransactionFailed as error:
                transient = isinstance(error.__cause__, theirs.TransientError)
                if not transient or attempt == _ATTEMPTS:
                    raise
            time.sleep(_FIRST_WAIT_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def _once(
        self, cypher: str, parameters: Mapping[str, Any], write: bool, row_cap: int | None
    ) -> Answer:
        transaction = self._graph.begin(readonly=not write)
        try:
            cursor = transaction.run(cypher, dict(parameters))
            columns = tuple(cursor.keys())
            # One more than the cap tells whether there is more.
            most = None if row_cap is None else row_cap + 1
            rows = [list(record) for record in itertools.islice(cursor, most)]
            counters = {**_NOTHING_CHANGED, **cursor.stats()} if write else None
            plan = cursor.plan()
        except BaseException:
            if not transaction.closed:
                self._graph.rollback(transaction)
            raise
        self._graph.commit(transaction)
        truncated = row_cap is not None and len(rows) > row_cap
        return Answer(columns, rows[:row_cap], truncated, counters, plan)

    def close(self) -> None:
        """Leaves the graph open: it is the caller's."""


_NOTHING_CHANGED = dict.fromkeys(
    ("nodes_created", "nodes_deleted", "relationships_created", "relationships_deleted"), 0
)


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except theirs.Neo4jError as error:
        known = by_code(error.code, error.message, "the server of the py2neo graph")
        if known is None and isinstance(error, theirs.ClientError):
            known = errors.InvalidQuery(f"The server refused the query: {error.message}")
        raise known or errors.TransactionFailed(
            f"The transaction was rolled back: {error.message}"
        ) from error
    except (
        theirs.ConnectionUnavailable,
        theirs.ConnectionBroken,
        theirs.ConnectionLimit,
        theirs.ServiceUnavailable,
        theirs.WriteServiceUnavailable,
        theirs.ProtocolError,
    ) as error:
        raise errors.StoreUnreachable(f"The py2neo graph lost its server: {error}") from error
