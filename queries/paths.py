"""The k strongest, nearest or shortest paths between neurons, by Yen's algorithm in GDS."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, Literal

from queries import scope
from queries.options import one_of, positive
from queries.projection import projection
from queries.question import question
from queries.scope import Neurons, Place
from store.database import Database
from store.query import Query, Table


@dataclass(frozen=True)
class Cost:
    """A named transform of a link's weight, to be summed along a path."""

    name: str
    meaning: str
    cypher: str
    # Of the number of negative links of a path, where only such paths count.
    parity: int | None = None


_STRONGEST = "-log(abs(link.weight) / $heaviest)"

CostName = Literal["strongest", "nearest", "hops", "excitatory", "inhibitory"]
COSTS = {
    cost.name: cost
    for cost in (
        Cost(
            "strongest",
            "cost = -ln(|w| / max|w|) summed over the path: least cost is the greatest product "
            "of magnitudes among paths of equal length",
            _STRONGEST,
        ),
        Cost("nearest", "cost = 1 / |w| summed over the path", "1.0 / abs(link.weight)"),
        Cost("hops", "cost = number of links", "1.0"),
        Cost(
            "excitatory",
            "cost = -ln(|w| / max|w|) summed over the path, among paths whose product is positive",
            _STRONGEST,
            parity=0,
        ),
        Cost(
            "inhibitory",
            "cost = -ln(|w| / max|w|) summed over the path, among paths whose product is negative",
            _STRONGEST,
            parity=1,
        ),
    )
}

# A link of weight 0 carries nothing: no path runs over it.
LINKS_BETWEEN = """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer:Layer) WHERE layer.index IN $layers
MATCH (layer)-[:HAS_NEURON]->(source:Neuron)-[link:LINK|WIRE]->(target:Neuron)
WHERE link.weight <> 0.0 AND any(ids IN $targets WHERE ids[0] <= target.id < ids[1])
  AND (NOT layer.index = $source_layer
       OR any(ids IN $sources WHERE ids[0] <= source.id < ids[1]))
"""

HEAVIEST_LINK = Query(
    "heaviest_link",
    "Greatest magnitude among the links between some layers; some neurons may share several.",
    LINKS_BETWEEN
    + """
RETURN max(abs(link.weight)) AS heaviest, count(link) AS links,
       count(link.position) > 0 AS parallel
""",
    ("heaviest", "links", "parallel"),
)


def _project(cost: Cost, *, parallel: bool) -> Query:
    # GDS takes any integers as nodes: two that are no neuron stand for "any of the sources" and
    # "any of the targets", tied to those at no cost. Of links between the same two neurons the
    # cheapest counts; looking for it would cost a dense network time for nothing.
    return Query(
        f"project_{cost.name}{'_parallel' if parallel else ''}",
        f"Projects the links between some layers with {cost.meaning}.",
        f"""
CALL () {{
    {LINKS_BETWEEN.strip()}
    RETURN source.id AS from, target.id AS to,
           {f"min({cost.cypher})" if parallel else cost.cypher} AS cost
    UNION ALL
    UNWIND $sources AS ids
    UNWIND range(ids[0], ids[1] - 1) AS id
    RETURN $origin AS from, id AS to, 0.0 AS cost
    UNION ALL
    UNWIND $ends AS ids
    UNWIND range(ids[0], ids[1] - 1) AS id
    RETURN id AS from, $goal AS to, 0.0 AS cost
}}
RETURN gds.graph.project($graph, from, to, {{relationshipProperties: {{cost: cost}}}})
       AS projection
""",
        ("projection",),
    )


_UNSIGNED = [cost for cost in COSTS.values() if cost.parity is None]
PROJECT = {cost.name: _project(cost, parallel=False) for cost in _UNSIGNED}
PROJECT_PARALLEL = {cost.name: _project(cost, parallel=True) for cost in _UNSIGNED}

# Each neuron stands twice, as it is reached over an even (2 id) or an odd number (2 id + 1) of
# negative links: of which sign a path is, is where it ends.
PROJECT_SIGNED = Query(
    "project_signed",
    "Projects the links between some layers twice, so that a path's sign is where it ends.",
    f"""
CALL () {{
    {LINKS_BETWEEN.strip()}
    UNWIND [0, 1] AS parity
    RETURN source.id * 2 + parity AS from,
           target.id * 2 + CASE WHEN link.weight > 0.0 THEN parity ELSE 1 - parity END AS to,
           min({_STRONGEST}) AS cost
    UNION ALL
    UNWIND $sources AS ids
    UNWIND range(ids[0], ids[1] - 1) AS id
    RETURN $origin AS from, id * 2 AS to, 0.0 AS cost
    UNION ALL
    UNWIND $ends AS ids
    UNWIND range(ids[0], ids[1] - 1) AS id
    RETURN id * 2 + $parity AS from, $goal AS to, 0.0 AS cost
}}
RETURN gds.graph.project($graph, from, to, {{relationshipProperties: {{cost: cost}}}})
       AS projection
""",
    ("projection",),
)

YEN = Query(
    "yen",
    "The k paths of least cost in a projected graph.",
    """
CALL gds.shortestPath.yens.stream($graph, {
    sourceNode: $origin, targetNode: $goal, k: $k, relationshipWeightProperty: 'cost'
}) YIELD index, totalCost, nodeIds
RETURN index, totalCost AS cost, nodeIds[1..-1] AS ids
ORDER BY index
""",
    ("index", "cost", "ids"),
)

WEIGHTS_ALONG = Query(
    "weights_along",
    "Weight of the heaviest link, of the wanted sign, between each two neighbours of each path.",
    """
UNWIND range(0, size($paths) - 1) AS position
WITH position, $paths[position] AS ids
UNWIND range(0, size(ids) - 2) AS hop
MATCH (source:Neuron {id: ids[hop]})-[link:LINK|WIRE]->(target:Neuron {id: ids[hop + 1]})
WHERE $signs[position][hop] = 0 OR link.weight * $signs[position][hop] > 0.0
WITH position, hop, link ORDER BY abs(link.weight) DESC
WITH position, hop, head(collect(link.weight)) AS weight
ORDER BY position, hop
RETURN position, collect(weight) AS weights
ORDER BY position
""",
    ("position", "weights"),
)

_COLUMNS = ("rank", "cost", "product", "hops", "path", "weights")


@question(
    columns=_COLUMNS,
    example={"network": "tiny", "source": "input/0", "target": "fc2", "k": 2},
    survives=("permutation",),
)
def paths(
    database: Database,
    network: str,
    source: str,
    target: str,
    *,
    k: int = 10,
    cost: CostName = "strongest",
) -> Table:
    """The k simple paths of least cost from one set of neurons to another.

    Parameters
    ----------
    source, target
        ``"layer/index"`` for one neuron, ``"layer/0-9,12"`` for any of several, ``"layer"`` for any
        of it.
    k
        How many paths, at most.
    cost
        ``strongest``: -ln(\\|w\\| / max\\|w\\|), max over the links between the two; least cost is
        the greatest product of magnitudes among paths with equally many links. ``nearest``:
        1 / \\|w\\|. ``hops``: 1. ``excitatory``: as ``strongest``, only paths with a positive
        product; ``inhibitory``: only those with a negative one. Links of weight 0 are never part
        of a path.

    Returns
    -------
    Table
        ``rank`` (from 1), ``cost`` (>= 0), ``product`` (signed product of the weights),
        ``hops`` (links), ``path`` (list of ``"layer/index"``), ``weights`` (list, signed). Fewer
        than k rows where there are fewer paths. `notes` says what the cost is.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If the cost is not known, `k` is out of range, or both ends are in the same layer.

    References
    ----------
    Yen, "Finding the K Shortest Loopless Paths in a Network", 1971; paths of a trained network as
    in arXiv 2209.05488.

    Example
    -------
    >>> paths(database, "mnist", "input", "fc3/7", k=3).column("path")  # doctest: +SKIP
    [['input/380', 'fc1/12', 'fc2/30', 'fc3/7'], ...]
    """
    one_of("cost", cost, tuple(COSTS))
    positive("k", k, 10_000)
    layers, start, end = scope.ends(database, network, source, target)
    parameters = ways_between(network, layers, start, end)
    notes = (COSTS[cost].meaning,)
    heaviest = database.read(HEAVIEST_LINK, **parameters)
    if not heaviest.column("links")[0]:
        return Table(_COLUMNS, [], heaviest.cypher, heaviest.parameters, notes=notes)
    # Two integers that are no neuron's id in this network.
    beyond = 2 * (layers[-1].first + layers[-1].size)
    greatest, _, parallel = heaviest.rows[0]
    parameters |= {"origin": beyond, "goal": beyond + 1, "heaviest": greatest}
    parity = COSTS[cost].parity
    if parity is not None:
        project = PROJECT_SIGNED
        parameters["parity"] = parity
    else:
        project = (PROJECT_PARALLEL if parallel else PROJECT)[cost]
    with projection(database, project, **parameters) as (graph, projected):
        found = database.read(YEN, graph=graph, origin=beyond, goal=beyond + 1, k=k, row_cap=k)
    scope.unchanged(database, network, layers)
    if parity is not None:
        found = _unfolded(found)
    chains: list[list[int]] = found.column("ids")
    signs = found.column("signs") if parity is not None else [[0] * len(ids) for ids in chains]
    along = database.read(WEIGHTS_ALONG, paths=chains, signs=signs, row_cap=k)
    rows: list[list[object]] = []
    for position, (nodes, weights) in enumerate(zip(chains, along.column("weights"), strict=True)):
        product = 1.0
        for weight in weights:
            product *= weight
        rows.append(
            [
                position + 1,
                found.rows[position][1],
                product,
                len(weights),
                [scope.address(layers, neuron) for neuron in nodes],
                weights,
            ]
        )
    return Table(
        _COLUMNS,
        rows,
        f"{projected.cypher};\n\n{found.cypher}",
        {**projected.parameters, **found.parameters},
        took_ms=heaviest.took_ms + projected.took_ms + found.took_ms + along.took_ms,
        notes=notes,
    )


def _unfolded(found: Table) -> Table:
    """Paths over neurons that stand twice, as paths over neurons with the sign of each link.

    A path through a recurrent layer may have come to one neuron over both parities: that is none.
    """
    rows = []
    for index, cost, folded in found.rows:
        ids = [each // 2 for each in folded]
        if len(set(ids)) == len(ids):
            signs = [1 if a % 2 == b % 2 else -1 for a, b in pairwise(folded)]
            rows.append([index, cost, ids, signs])
    return found.with_rows((*found.columns, "signs"), rows)


def ways_between(network: str, layers: list[Place], start: Neurons, end: Neurons) -> dict[str, Any]:
    """Query parameters that bound the links a path may use to those on some way between."""
    between = scope.between(layers, start.layer, end.layer)
    inner = sorted(between - {start.layer.index, end.layer.index})
    return {
        "network": network,
        "layers": sorted(between - {end.layer.index}),
        "targets": [*chain(*(Neurons(layers[index]).bounds for index in inner)), *end.bounds],
        "source_layer": start.layer.index,
        "sources": start.bounds,
        "ends": end.bounds,
    }
