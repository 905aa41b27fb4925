"""Refuses what would need too much memory, before any of it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from store.database import Database
from store.errors import MemoryLimitExceeded
from store.query import Query

PROJECTION_MEMORY = Query(
    "projection_memory",
    "Bytes that a projected graph of a size needs, and those of the server's whole heap.",
    """
CALL gds.graph.project.estimate('*', '*', {
    nodeCount: $nodes, relationshipCount: $relationships, relationshipProperties: ['weight', 'cost']
}) YIELD bytesMax
CALL gds.debug.sysInfo() YIELD key, value
WITH bytesMax, value WHERE key = 'heapMaxInBytes'
RETURN bytesMax AS bytes, value AS heap
""",
    ("bytes", "heap"),
)
# The estimate leaves out that memory is reserved in large pages: a graph of 80 links takes 34 MiB,
# one of 4.5 million, estimated at 75 MiB, takes 136.
_PAGES: Final = 72 * 2**20
# Measured: what the driver, NumPy and SciPy hold of one link at most, rounded up.
_LINK_READ: Final = 250

_SMALLER: Final = "choose fewer layers, a greater least or a top"


def refuse_in_database(
    database: Database,
    allowed: int,
    nodes: int,
    relationships: int,
    estimates: Sequence[tuple[Query, Mapping[str, Any]]],
) -> None:
    """Refuses to project a graph and run algorithms on it.

    Parameters
    ----------
    allowed
        Limit, in MiB.
    nodes, relationships
        Of the graph; of one that leads both ways each link is two.
    estimates
        Per algorithm: what gives its ``bytes`` for ``$nodes`` and ``$relationships``, and its
        further parameters.

    Raises
    ------
    MemoryLimitExceeded
        If that needs more than allowed, or more than the server's heap.
    """
    size = {"nodes": nodes, "relationships": relationships}
    needed, heap = database.read(PROJECTION_MEMORY, **size).rows[0]
    needed += _PAGES
    for estimate, parameters in estimates:
        needed += database.read(estimate, **size, **parameters).rows[0][0]
    _refuse_more(allowed, needed, "in the database")
    if needed > heap:
        raise MemoryLimitExceeded(
            f"This would need about {_mib(needed)} MiB in the database, which has a heap of "
            f"{_mib(heap)}: {_SMALLER}, or give the database more heap."
        )


def refuse_here(allowed: int, links: int, further: int) -> None:
    """Refuses to read links in columns and compute on them in this process.

    Parameters
    ----------
    allowed
        Limit, in MiB.
    links
        How many are read.
    further
        Bytes that are needed beside.

    Raises
    ------
    MemoryLimitExceeded

    Example
    -------
    >>> refuse_here(1024, 1_000_000, 0)
    >>> refuse_here(1024, 10_000_000, 0)
    Traceback (most recent call last):
    store.errors.MemoryLimitExceeded: This would need about 2,385 MiB here, more than the 1,024 ...
    """
    _refuse_more(allowed, _LINK_READ * links + further, "here")


def _refuse_more(allowed: int, needed: int, where: str) -> None:
    if needed > allowed * 2**20:
        raise MemoryLimitExceeded(
            f"This would need about {_mib(needed)} MiB {where}, more than the {allowed:,} "
            f"allowed: {_SMALLER}, or allow more memory."
        )


def _mib(size: int) -> str:
    return f"{math.ceil(size / 2**20):,}"
