"""The part of a network that an algorithm sees, projected into Graph Data Science."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from queries import scope
from queries.memory import refuse_here, refuse_in_database
from queries.options import one_of, positive
from queries.projection import projection
from queries.scope import Place
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

Sign = Literal["both", "positive", "negative"]
SIGNS: Final[tuple[Sign, ...]] = get_args(Sign)
SIGN_NUMBERS: Final[dict[Sign, float]] = {"both": 0.0, "positive": 1.0, "negative": -1.0}
"""What queries are told: a weight times it is above 0, unless it is 0."""


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
        Refuse what is estimated to need more than this many MiB of memory.
    """

    layers: tuple[str, ...] = ()
    least: float = 0.0
    sign: Sign = "both"
    top: int | None = None
    wires: bool = False
    memory: int = 1024


WHOLE: Final = Subgraph()

MAGNITUDES: Final = (
    "The weight of a link is its magnitude; of several links between two neurons the sum."
)
"""What an answer says where weights count."""


def weighing(weighted: bool) -> tuple[str | None, tuple[str, ...]]:
    """The property of links that an algorithm weighs them by, and what the answer says of it."""
    return ("weight", (MAGNITUDES,)) if weighted else (None, ())


# Clauses that bind a subgraph's neurons as `source`, or its links as `source`, `link`, `target`;
# `selection` gives their parameters.
_NEURONS = """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer:Layer) WHERE layer.index IN $layers
MATCH (layer)-[:HAS_NEURON]->(source:Neuron)
"""
LINKS = (
    _NEURONS.rstrip()
    + """-[link:LINK|WIRE]->(target:Neuron)
WHERE type(link) IN $types AND any(ids IN $ranges WHERE ids[0] <= target.id < ids[1])
  AND link.weight <> 0.0 AND abs(link.weight) >= $least
  AND ($sign = 0.0 OR link.weight * $sign > 0.0)
"""
)
TOP = """
WITH source, link, target ORDER BY abs(link.weight) DESC, source.id, target.id LIMIT $top
"""

# Of two opposite links one leads back, and so does one from a neuron to itself.
SUBGRAPH_SIZE = Query(
    "subgraph_size",
    "How many links a subgraph has, and whether some tie the same neurons or lead back.",
    f"""{LINKS}RETURN count(link) AS links, count(link.position) > 0 AS parallel,
       count(CASE WHEN target.id <= source.id THEN 1 END) > 0 AS back
""",
    ("links", "parallel", "back"),
)

_AS_COLUMNS = """
WITH source, collect(target.id) AS targets, collect(link.weight) AS weights
RETURN [_ IN targets | source.id] AS sources, targets, weights
"""
SUBGRAPH_LINKS = Query(
    "subgraph_links",
    "Ends and weights of a subgraph's links, one row per neuron.",
    f"{LINKS}{_AS_COLUMNS}",
    ("sources", "targets", "weights"),
)
TOP_SUBGRAPH_LINKS = Query(
    "top_subgraph_links",
    "Ends and weights of a subgraph's links of greatest magnitude, one row per neuron.",
    f"{LINKS}{TOP}{_AS_COLUMNS}",
    ("sources", "targets", "weights"),
)


def _project(*, top: bool, merged: bool, undirected: bool) -> Query:
    """Links as GDS sees them, with every neuron, isolated ones too.

    Neurons come in order: GDS numbers them as they come, and some algorithms' answers hang on
    that. Otherwise two copies of one network could have different answers.

    Parameters
    ----------
    merged
        Each pair of neurons is tied once, and if undirected no neuron to itself: needed where
        links share their ends, and dear where they do not.
    """
    choose, ends, weight = TOP.strip() if top else "", "source.id AS from, target.id AS to", "abs"
    if merged:
        weight = "sum(abs"
        if undirected:
            choose += "\n    WITH source, link, target WHERE source <> target"
            ends = """CASE WHEN source.id < target.id THEN source.id ELSE target.id END AS from,
           CASE WHEN source.id < target.id THEN target.id ELSE source.id END AS to"""
    weight += "(link.weight))" if merged else "(link.weight)"
    words = {"top": top, "merged": merged, "undirected": undirected}
    kinds = ", {undirectedRelationshipTypes: ['*']}" if undirected else ""
    return Query(
        "_".join(["project_subgraph", *(word for word, wanted in words.items() if wanted)]),
        "Projects a subgraph with the magnitudes of its weights, and their inverses as lengths.",
        f"""
CALL () {{
    {_NEURONS.strip()}
    RETURN source.id AS from, null AS to, null AS weight ORDER BY from
    UNION ALL
    {LINKS.strip()}
    {choose}
    RETURN {ends}, {weight} AS weight
}}
RETURN gds.graph.project($graph, from, to, {{relationshipProperties: {{
    weight: weight, cost: 1.0 / weight
}}}}{kinds}) AS projection
""",
        ("projection",),
    )


PROJECT_SUBGRAPH = {
    (top, merged, undirected): _project(top=top, merged=merged, undirected=undirected)
    for top in (False, True)
    for merged in (False, True)
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
    of
        Which neurons and links it has.
    layers
        All layers of the network.
    links
        How many links it was made of.
    table
        What the projection answered, with its Cypher.
    """

    graph: str
    of: Subgraph
    layers: list[Place]
    links: int
    table: Table

    @property
    def neurons(self) -> list[int]:
        """Ids of its neurons, in order."""
        chosen = set(self.of.layers) or {layer.name for layer in self.layers}
        return [neuron for layer in self.layers if layer.name in chosen for neuron in layer.ids]


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
        Whether links lead both ways: then opposite ones are one too, and those from a neuron to
        itself are left out.

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
        If the estimate is greater than the subgraph's limit or the server's heap.

    Example
    -------
    >>> with projected(database, "mnist", Subgraph(top=1000)) as part:  # doctest: +SKIP
    ...     database.read(PAGERANK.run, graph=part.graph, damping=0.85)
    """
    layers, parameters = selection(database, network, of)
    nodes, links, parallel, back = _size(database, of, layers, parameters)
    estimates = [(each.estimate, configuration) for each, configuration in algorithms]
    refuse_in_database(database, of.memory, nodes, (1 + undirected) * links, estimates)
    merged = parallel or (undirected and back)
    project = PROJECT_SUBGRAPH[of.top is not None, merged, undirected]
    with projection(database, project, **parameters) as (graph, table):
        yield Projected(graph, of, layers, links, table)


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
        "ranges": [[layer.ids.start, layer.ids.stop] for layer in chosen],
        "types": scope.link_types(of.wires),
        "least": of.least,
        "sign": SIGN_NUMBERS[of.sign],
        **({} if of.top is None else {"top": of.top}),
    }


def _size(
    database: Database, of: Subgraph, layers: list[Place], parameters: dict[str, Any]
) -> tuple[int, int, bool, bool]:
    """Neurons and links of a subgraph; whether some links tie the same neurons or lead back."""
    count, parallel, back = database.read(SUBGRAPH_SIZE, **parameters).rows[0]
    nodes = sum(layer.size for layer in layers if layer.index in parameters["layers"])
    return nodes, count if of.top is None else min(of.top, count), parallel, back


def refuse_large_columns(
    database: Database,
    of: Subgraph,
    layers: list[Place],
    parameters: dict[str, Any],
    needed: Callable[[int], int],
) -> None:
    """Refuses to compute on a subgraph's links here, if that would need too much memory.

    Parameters
    ----------
    layers, parameters
        As :func:`selection` gives them.
    needed
        From the number of neurons to the bytes that the computation needs beside the links.

    Raises
    ------
    MemoryLimitExceeded
        If the estimate is greater than the subgraph's limit.
    """
    nodes, links, _, _ = _size(database, of, layers, parameters)
    refuse_here(of.memory, links, needed(nodes))


def notes_on(of: Subgraph) -> tuple[str, ...]:
    """What a reader must know of how a subgraph was chosen."""
    if of.least > 0 or of.top is not None:
        return (
            "Links were chosen by magnitude: rescaling neurons changes which, and so the answer.",
        )
    return ()


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
    rows = change([*map(list, found.rows)])
    return answered(part, (found,), columns, rows, notes)


def answered(
    part: Projected,
    ran: Sequence[Table],
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    notes: tuple[str, ...] = (),
) -> Table:
    """The answer of what ran on a projected graph.

    Parameters
    ----------
    ran
        What the algorithms answered, in order.
    rows
        Each a neuron's id and its values.
    """
    tables = (part.table, *ran)
    return Table(
        tuple(columns),
        [[*address(part.layers, row[0]), *row[1:]] for row in rows],
        ";\n\n".join(table.cypher for table in tables),
        {name: value for table in tables for name, value in table.parameters.items()},
        any(table.truncated for table in tables),
        sum(table.took_ms for table in tables),
        (*notes, *notes_on(part.of)),
    )


def address(layers: list[Place], neuron: int) -> tuple[str, int, int]:
    """Layer of the neuron of that id, the layer's index, and the neuron's index in it."""
    layer = scope.layer_of(layers, neuron)
    return layer.name, layer.index, neuron - layer.first
