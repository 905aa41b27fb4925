"""The part of a network that an algorithm sees, projected into Graph Data Science."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from queries import scope
from queries.options import one_of, positive
from queries.projection import projection
from queries.scope import Place
from store.database import Database
from store.errors import InvalidArgument, MemoryLimitExceeded
from store.query import Query, Table

Sign = Literal["both", "positive", "negative"]
SIGNS: Final[tuple[Sign, ...]] = get_args(Sign)


@dataclass(frozen=True)
class Subgraph:
    """Which neurons and links of a network an algorithm sees.

    Parameters
    ----------
    layers
        Only neurons of these layers, and the links between them; repeat the option for several.
        Default: all.
    least
        Only links with a magnitude of at least this. Links of weight 0 are never seen.
    sign
        Only links of this sign: `both`, `positive` or `negative`.
    top
        Only so many links, those of the greatest magnitude.
    wires
        Fixed links (residual sums, pools, gates) too.
    memory
        Refuse what Graph Data Science estimates to need more than this many MiB.
    """

    layers: tuple[str, ...] = ()
    least: float = 0.0
    sign: Sign = "both"
    top: int | None = None
    wires: bool = False
    memory: int = 1024


WHOLE: Final = Subgraph()

_NEURONS = """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer:Layer) WHERE layer.index IN $layers
MATCH (layer)-[:HAS_NEURON]->(source:Neuron)
"""
_LINKS = (
    _NEURONS.rstrip()
    + """-[link:LINK|WIRE]->(target:Neuron)
WHERE type(link) IN $types AND any(ids IN $ranges WHERE ids[0] <= target.id < ids[1])
  AND link.weight <> 0.0 AND abs(link.weight) >= $least
  AND ($sign = 0.0 OR link.weight * $sign > 0.0)
"""
)
_TOP = """
WITH source, link, target ORDER BY abs(link.weight) DESC, source.id, target.id LIMIT $top
"""

SUBGRAPH_SIZE = Query(
    "subgraph_size",
    "How many links a subgraph has, and whether some tie the same neurons.",
    f"{_LINKS}RETURN count(link) AS links, count(link.position) > 0 AS parallel",
    ("links", "parallel"),
)

_AS_COLUMNS = """
WITH source, collect(target.id) AS targets, collect(link.weight) AS weights
RETURN [_ IN targets | source.id] AS sources, targets, weights
"""
SUBGRAPH_LINKS = Query(
    "subgraph_links",
    "Ends and weights of a subgraph's links, one row per neuron.",
    f"{_LINKS}{_AS_COLUMNS}",
    ("sources", "targets", "weights"),
)
TOP_SUBGRAPH_LINKS = Query(
    "top_subgraph_links",
    "Ends and weights of a subgraph's links of greatest magnitude, one row per neuron.",
    f"{_LINKS}{_TOP}{_AS_COLUMNS}",
    ("sources", "targets", "weights"),
)

PROJECTION_MEMORY = Query(
    "projection_memory",
    "Bytes that a projected graph of a size needs.",
    """
CALL gds.graph.project.estimate('*', '*', {
    nodeCount: $nodes, relationshipCount: $relationships, relationshipProperties: ['weight', 'cost']
}) YIELD bytesMax RETURN bytesMax AS bytes
""",
    ("bytes",),
)


def _project(*, top: bool, parallel: bool, undirected: bool) -> Query:
    """Links as GDS sees them: every neuron, isolated ones too, and each pair of neurons once."""
    weight = "sum(abs(link.weight))" if parallel else "abs(link.weight)"
    name = "_".join(
        word
        for word, wanted in (
            ("project_subgraph", True),
            ("top", top),
            ("parallel", parallel),
            ("undirected", undirected),
        )
        if wanted
    )
    kinds = ", {undirectedRelationshipTypes: ['*']}" if undirected else ""
    return Query(
        name,
        "Projects a subgraph with the magnitudes of its weights, and their inverses as lengths.",
        f"""
CALL () {{
    {_NEURONS.strip()}
    RETURN source.id AS from, null AS to, null AS weight
    UNION ALL
    {_LINKS.strip()}
    {_TOP.strip() if top else ""}
    RETURN source.id AS from, target.id AS to, {weight} AS weight
}}
RETURN gds.graph.project($graph, from, to, {{relationshipProperties: {{
    weight: weight, cost: 1.0 / weight
}}}}{kinds}) AS projection
""",
        ("projection",),
    )


PROJECT_SUBGRAPH = {
    (top, parallel, undirected): _project(top=top, parallel=parallel, undirected=undirected)
    for top in (False, True)
    for parallel in (False, True)
    for undirected in (False, True)
}


@dataclass(frozen=True)
class Algorithm:
    """One algorithm of Graph Data Science that streams its result.

    Parameters
    ----------
    run
        Runs it on ``$graph``; first column ``id``.
    estimate
        Bytes that it needs for ``$nodes`` and ``$relationships``.
    """

    run: Query
    estimate: Query


def algorithm(
    name: str, doc: str, procedure: str, configuration: str, returned: str, columns: Sequence[str]
) -> Algorithm:
    """An algorithm by its procedure.

    Parameters
    ----------
    procedure
        Such as ``gds.pageRank.stream``.
    configuration
        Cypher map with ``$parameters``.
    returned
        What follows ``YIELD``: the yielded names, and the clause that returns them.
    """
    fictive = (
        "{nodeCount: $nodes, relationshipCount: $relationships, nodeProjection: '*', "
        "relationshipProjection: '*', relationshipProperties: ['weight', 'cost']}"
    )
    return Algorithm(
        Query(
            name, doc, f"\nCALL {procedure}($graph, {configuration})\n{returned}\n", tuple(columns)
        ),
        Query(
            f"{name}_memory",
            f"Bytes that it needs: {doc[0].lower()}{doc[1:]}",
            f"\nCALL {procedure}.estimate({fictive}, {configuration})\n"
            "YIELD bytesMax RETURN bytesMax AS bytes\n",
            ("bytes",),
        ),
    )


@dataclass(frozen=True)
class Projected:
    """A subgraph in the memory of Graph Data Science.

    Parameters
    ----------
    graph
        Its name there.
    layers
        All layers of the network.
    links
        How many links it was made of.
    table
        What the projection answered, with its Cypher.
    """

    graph: str
    layers: list[Place]
    links: int
    table: Table


@contextmanager
def projected(
    database: Database,
    network: str,
    of: Subgraph,
    *algorithms: tuple[Algorithm, dict[str, Any]],
    undirected: bool = False,
) -> Iterator[Projected]:
    """Projects a subgraph, for as long as the block runs, if there is memory for it.

    Parameters
    ----------
    algorithms
        What shall run on it, each with its parameters: they are estimated too.
    undirected
        Whether links lead both ways.

    Yields
    ------
    Projected
        Its relationships have the properties ``weight`` (> 0: the magnitude; of several links
        between two neurons the sum) and ``cost``, its inverse.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option of the subgraph cannot be.
    MemoryLimitExceeded
        If the estimate is greater than the subgraph's limit.

    Example
    -------
    >>> with projected(database, "mnist", Subgraph(top=1000)) as part:  # doctest: +SKIP
    ...     database.read(PAGERANK.run, graph=part.graph, damping=0.85)
    """
    layers, parameters = selection(database, network, of)
    count, parallel = database.read(SUBGRAPH_SIZE, **parameters).rows[0]
    links = count if of.top is None else min(of.top, count)
    nodes = sum(layer.size for layer in layers if layer.index in parameters["layers"])
    _refuse_large(database, of, nodes, (1 + undirected) * links, algorithms)
    project = PROJECT_SUBGRAPH[of.top is not None, parallel, undirected]
    with projection(database, project, **parameters) as (graph, table):
        yield Projected(graph, layers, links, table)


def selection(database: Database, network: str, of: Subgraph) -> tuple[list[Place], dict[str, Any]]:
    """All layers of the network, and the query parameters that select a subgraph's links."""
    one_of("sign", of.sign, SIGNS)
    positive("memory", of.memory, 1_000_000)
    if of.top is not None:
        positive("top", of.top, 1_000_000_000)
    if not (math.isfinite(of.least) and of.least >= 0):
        raise InvalidArgument(f"least cannot be {of.least}: give a magnitude of 0 or more.")
    layers = scope.places(database, network)
    chosen = [scope.place(layers, name) for name in of.layers] or layers
    return layers, {
        "network": network,
        "layers": [layer.index for layer in chosen],
        "ranges": [[layer.first, layer.first + layer.size] for layer in chosen],
        "types": ["LINK", "WIRE"] if of.wires else ["LINK"],
        "least": of.least,
        "sign": {"both": 0.0, "positive": 1.0, "negative": -1.0}[of.sign],
        **({} if of.top is None else {"top": of.top}),
    }


def _refuse_large(
    database: Database,
    of: Subgraph,
    nodes: int,
    relationships: int,
    algorithms: Sequence[tuple[Algorithm, dict[str, Any]]],
) -> None:
    size = {"nodes": nodes, "relationships": relationships}
    needed = database.read(PROJECTION_MEMORY, **size).rows[0][0]
    for each, configuration in algorithms:
        needed += database.read(each.estimate, **size, **configuration).rows[0][0]
    if needed > of.memory * 2**20:
        raise MemoryLimitExceeded(
            f"This would need about {math.ceil(needed / 2**20):,} MiB in the database, more than "
            f"the {of.memory:,} allowed: choose fewer layers, a greater least or a top, or allow "
            "more memory."
        )


def measured(
    database: Database,
    network: str,
    of: Subgraph,
    asked: Algorithm,
    columns: Sequence[str],
    *,
    undirected: bool = False,
    notes: tuple[str, ...] = (),
    change: Callable[[list[list[Any]]], list[list[Any]]] = lambda rows: rows,
    **configuration: Any,
) -> Table:
    """What an algorithm streams about each neuron of a subgraph.

    Parameters
    ----------
    asked, configuration
        The algorithm, and its parameters.
    columns
        ``layer``, ``layer_index``, ``neuron`` and the names of what it streams.
    change
        Applied to the rows, each an id and its values, before ids become places.

    Returns
    -------
    Table
        In order of layers and neurons.
    """
    with projected(database, network, of, (asked, configuration), undirected=undirected) as part:
        found = database.read(asked.run, graph=part.graph, **configuration)
    scope.unchanged(database, network, part.layers)
    rows = [[*_address(part.layers, row[0]), *row[1:]] for row in change([*map(list, found.rows)])]
    return Table(
        tuple(columns),
        rows,
        f"{part.table.cypher};\n\n{found.cypher}",
        {**part.table.parameters, **found.parameters},
        found.truncated,
        part.table.took_ms + found.took_ms,
        notes,
    )


def _address(layers: list[Place], neuron: int) -> tuple[str, int, int]:
    """Layer, its index, and the neuron's index in it."""
    layer = scope.layer_of(layers, neuron)
    return layer.name, layer.index, neuron - layer.first
