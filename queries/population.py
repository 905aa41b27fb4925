"""Sets of networks, named by a pattern."""

from __future__ import annotations

from typing import Any

from queries.catalogue import METRICS, with_metrics
from queries.question import question
from store.database import Database
from store.errors import NotFound
from store.query import Query, Table

POPULATION = Query(
    "population",
    "The networks whose names match a pattern, with their metrics.",
    f"""
MATCH (network:Network {{status: 'complete'}})
WHERE network.name STARTS WITH $prefix AND network.name ENDS WITH $suffix
  AND size(network.name) >= size($prefix) + size($suffix)
WITH network, substring(network.name, size($prefix),
     size(network.name) - size($prefix) - size($suffix)) AS between
WHERE CASE WHEN $middle IS NULL THEN between = '' ELSE reduce(
    rest = between, part IN $middle |
    CASE WHEN rest CONTAINS part
        THEN substring(rest, size(split(rest, part)[0]) + size(part)) END
) IS NOT NULL END
OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(network)
RETURN network.name AS network, run.name AS run, snapshot.step AS step,
       network.neurons AS neurons, network.links AS links,
       {METRICS}
ORDER BY network
""",
    ("network", "run", "step", "neurons", "links", "metrics"),
)


def pattern_parts(pattern: str) -> dict[str, Any]:
    """A pattern of names as query parameters: ``*`` is any text, the rest is itself.

    Looking for one part after the other takes the time of the name's length, which a regular
    expression with many of them does not.

    Example
    -------
    >>> pattern_parts("mlp-*.v*1")
    {'prefix': 'mlp-', 'middle': ['.v'], 'suffix': '1'}
    >>> pattern_parts("mlp-1")
    {'prefix': 'mlp-1', 'middle': None, 'suffix': ''}
    """
    first, *rest = pattern.split("*")
    if not rest:
        return {"prefix": first, "middle": None, "suffix": ""}
    *middle, last = rest
    return {"prefix": first, "middle": [part for part in middle if part], "suffix": last}


@question(columns=POPULATION.columns, example={"networks": "tin*"}, survives=None)
def population(database: Database, networks: str) -> Table:
    """The networks whose names match a pattern.

    Returns
    -------
    Table
        ``network``, ``run`` and ``step`` (or None), ``neurons``, ``links`` (counts), ``metrics`` (a
        dictionary); by name.

    Raises
    ------
    NotFound
        If no network has such a name.

    Example
    -------
    >>> population(database, "mlp-*").column("network")                 # doctest: +SKIP
    ['mlp-0', 'mlp-1']
    """
    table = database.read(POPULATION, **pattern_parts(networks))
    if not table.rows:
        raise NotFound(f"There is no network that matches {networks!r}.")
    return with_metrics(table)


def members(database: Database, networks: str) -> list[str]:
    """Names of the networks that match a pattern, in order.

    Raises
    ------
    NotFound
        If there is none.
    """
    names: list[str] = population(database.limited(row_cap=100_000), networks).column("network")
    return names
