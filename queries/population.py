"""Sets of networks, named by a pattern."""

from __future__ import annotations

import re

from queries.question import question
from store.database import Database
from store.errors import NotFound
from store.query import Query, Table

POPULATION = Query(
    "population",
    "The networks whose names match a pattern, with their metrics.",
    """
MATCH (network:Network {status: 'complete'}) WHERE network.name =~ $pattern
OPTIONAL MATCH (run:Run)-[snapshot:SNAPSHOT]->(network)
RETURN network.name AS network, run.name AS run, snapshot.step AS step,
       network.neurons AS neurons, network.links AS links,
       [key IN keys(network) WHERE key STARTS WITH 'metric_' |
           [substring(key, 7), network[key]]] AS metrics
ORDER BY network
""",
    ("network", "run", "step", "neurons", "links", "metrics"),
)


def expression(pattern: str) -> str:
    """A pattern of names as a regular expression: ``*`` is any text, the rest is itself.

    Example
    -------
    >>> expression("mlp-*.v1")
    'mlp\\\\-.*\\\\.v1'
    """
    return ".*".join(re.escape(part) for part in re.split(r"\*+", pattern))


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
    table = database.read(POPULATION, pattern=expression(networks))
    if not table.rows:
        raise NotFound(f"There is no network that matches {networks!r}.")
    place = table.columns.index("metrics")
    for row in table.rows:
        row[place] = dict(sorted(row[place]))
    return table


def members(database: Database, networks: str) -> list[str]:
    """Names of the networks that match a pattern, in order.

    Raises
    ------
    NotFound
        If there is none.
    """
    names: list[str] = population(database.limited(row_cap=100_000), networks).column("network")
    return names
