"""The weakest links whose removal parts two sets of neurons, by maximum flow."""

from __future__ import annotations

import math
from typing import Any, Final

from queries import scope
from queries.paths import LINKS_BETWEEN, ways_between
from queries.projection import projection
from queries.question import question
from store.database import Database
from store.query import Query, Table

PROJECT_CAPACITIES = Query(
    "project_capacities",
    "Projects the links between some layers, each with its magnitude as capacity.",
    f"""
CALL () {{
    {LINKS_BETWEEN.strip()}
    RETURN source.id AS from, target.id AS to, sum(abs(link.weight)) AS capacity
}}
RETURN gds.graph.project($graph, from, to, {{relationshipProperties: {{capacity: capacity}}}})
       AS projection
""",
    ("projection",),
)

MAXIMUM_FLOW = Query(
    "maximum_flow",
    "How much of each link's capacity a maximum flow takes.",
    """
CALL gds.maxFlow.stream($graph, {
    sourceNodes: $sources, targetNodes: $targets, capacityProperty: 'capacity', concurrency: 1
}) YIELD source, target, flow
RETURN collect(source) AS source, collect(target) AS target, collect(flow) AS flow
""",
    ("source", "target", "flow"),
)

LINKS_TO_CUT = Query(
    "links_to_cut",
    "The links between some layers, as flow and cut see them.",
    f"""
{LINKS_BETWEEN.strip()}
WITH source, target, sum(abs(link.weight)) AS capacity, sum(link.weight) AS weight,
     count(link) AS links
RETURN collect(source.id) AS source, collect(target.id) AS target, collect(capacity) AS capacity,
       collect(weight) AS weight, collect(links) AS links
""",
    ("source", "target", "capacity", "weight", "links"),
)

COLUMNS: Final = ("source", "target", "capacity", "weight", "links")
# What floating point may lose of a flow, as a part of the cut.
_ROUNDING: Final = 1e-9


@question(
    columns=COLUMNS,
    example={"network": "tiny", "source": "input/0", "target": "fc2"},
    survives=("permutation",),
    kept=True,
)
def minimum_cut(database: Database, network: str, source: str, target: str) -> Table:
    """The links of least total magnitude whose removal leaves no path between two sets.

    Maximum flow by Graph Data Science; by its duality with the minimum cut the answer is checked:
    the magnitudes that are cut sum up to the flow.

    Parameters
    ----------
    source
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.
    target
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for all of a layer.

    Returns
    -------
    Table
        A row for each two neurons whose links are cut: ``source`` and ``target``
        (``layer/index``), ``capacity`` (sum of the links' ``|w|``, > 0), ``weight`` (signed sum),
        ``links`` (their number); greatest capacity first. No rows where no path leads. Fixed links
        (residual sums, pools) count like learned ones.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If both are in one layer.

    References
    ----------
    Ford & Fulkerson, "Maximal flow through a network", 1956.

    Example
    -------
    >>> minimum_cut(database, "mnist", "input", "output/7").column("capacity")  # doctest: +SKIP
    [0.31, 0.28, ...]
    """
    layers, start, end = scope.ends(database, network, source, target)
    parameters = ways_between(network, layers, start, end)
    read = database.columns(LINKS_TO_CUT, **parameters)
    sources = read["source"].tolist()
    targets = read["target"].tolist()
    capacities = dict(
        zip(zip(sources, targets, strict=True), read["capacity"].tolist(), strict=True)
    )
    # Only neurons that some link touches are in the projected graph.
    begin, goal = sorted(set(sources) & set(start.ids)), sorted(set(targets) & set(end.ids))
    if not begin or not goal:
        return Table(COLUMNS, [], LINKS_TO_CUT.cypher.strip(), parameters)
    with projection(database, PROJECT_CAPACITIES, **parameters) as (graph, projected):
        found = database.read(MAXIMUM_FLOW, graph=graph, sources=begin, targets=goal)
    scope.unchanged(database, network, layers)
    flows = dict(zip(zip(*found.rows[0][:2], strict=True), found.rows[0][2], strict=True))
    cut = _cut(capacities, flows, begin)
    weights = dict(
        zip(
            capacities,
            zip(read["weight"].tolist(), read["links"].tolist(), strict=True),
            strict=True,
        )
    )
    total = math.fsum(capacities[ends] for ends in cut)
    flow = _sent(flows, set(begin))
    exact = abs(total - flow) <= _ROUNDING * max(total, 1e-300)
    rows: list[list[Any]] = [
        [*(scope.address(layers, neuron) for neuron in ends), capacities[ends], *weights[ends]]
        for ends in sorted(cut, key=lambda ends: (-capacities[ends], ends))
    ]
    notes: tuple[str, ...] = (f"The cut is {total:.12g}, the maximum flow {flow:.12g}.",)
    if not exact:
        notes += ("They should be equal: rounding may have left a smaller cut undiscovered.",)
    return Table(
        COLUMNS,
        rows,
        f"{projected.cypher};\n\n{found.cypher}",
        {**projected.parameters, **found.parameters},
        took_ms=projected.took_ms + found.took_ms,
        notes=notes,
    ).cut(database.row_cap)


Ends = tuple[int, int]


def _sent(flows: dict[Ends, float], begin: set[int]) -> float:
    out = math.fsum(flow for (source, _), flow in flows.items() if source in begin)
    back = math.fsum(flow for (_, target), flow in flows.items() if target in begin)
    return out - back


def _cut(capacities: dict[Ends, float], flows: dict[Ends, float], begin: list[int]) -> set[Ends]:
    """Links from what the sources still reach, over what the flow leaves, to what they do not."""
    rest: dict[int, list[int]] = {}
    for ends, capacity in capacities.items():
        flow = flows.get(ends, 0.0)
        source, target = ends
        if capacity - flow > _ROUNDING * capacity:
            rest.setdefault(source, []).append(target)
        if flow > _ROUNDING * capacity:
            rest.setdefault(target, []).append(source)
    reached = scope.reached(rest, begin)
    return {ends for ends in capacities if ends[0] in reached and ends[1] not in reached}
