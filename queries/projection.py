"""A subgraph in the memory of Graph Data Science, for as long as a ``with`` block runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from store.database import Database
from store.query import Query, Table

DROP = Query(
    "drop_projection",
    "Frees a projected graph.",
    "CALL gds.graph.drop($graph, false) YIELD graphName AS graph RETURN graph",
    ("graph",),
)


SWEEP = Query(
    "sweep_projections",
    "Frees the projected graphs of processes that were killed before they could.",
    """
CALL gds.graph.list() YIELD graphName, creationTime
WHERE graphName STARTS WITH 'weightome-'
  AND creationTime < datetime() - duration({seconds: $age})
CALL gds.graph.drop(graphName, false) YIELD graphName AS graph
RETURN graph
""",
    ("graph",),
)
# Longer than any query may run while its graph is projected: the local server ends it after half
# an hour, whatever limit its client set.
_ABANDONED_SECONDS = 3_600


@contextmanager
def projection(database: Database, query: Query, **parameters: Any) -> Iterator[tuple[str, Table]]:
    """Projects a graph and drops it at the end, also after an error, Ctrl-C or a cancellation.

    Parameters
    ----------
    query
        Returns ``gds.graph.project($graph, ...)``; gets a fresh name as ``$graph``.

    Yields
    ------
    tuple of str and Table
        The graph's name, and what the projection answered.

    Example
    -------
    >>> with projection(database, PROJECT, layers=[0, 1]) as (graph, _):   # doctest: +SKIP
    ...     database.read(PAGERANK, graph=graph)
    """
    database.read(SWEEP, age=_ABANDONED_SECONDS)
    graph = f"weightome-{uuid.uuid4()}"
    try:
        yield graph, database.read(query, graph=graph, **parameters)
    finally:
        # Also for whoever left: the graph would stay in the server's memory.
        database.cancelled_by(None).read(DROP, graph=graph)
