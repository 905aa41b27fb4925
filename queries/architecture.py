"""Effective depth and width of the architecture, the graph of its layers (arXiv 2205.05662)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from queries import scope
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

ARCHITECTURE = Query(
    "architecture",
    "Which layer feeds which, and whether through a matrix or a convolution.",
    scope.LAYERS_OF_NETWORK
    + """
MATCH (source:Layer)-[:FEEDS]->(layer)
RETURN source.index AS source, layer.index AS target,
       layer.kind IN ['linear', 'conv', 'conv_transposed', 'gates', 'rnn'] AS learned
ORDER BY target, source
""",
    ("source", "target", "learned"),
)

_COLUMNS = ("paths", "effective_depth", "effective_width")


@dataclass(frozen=True)
class Connectivity:
    """What all paths through an architecture have in common.

    Parameters
    ----------
    paths
        Number of paths from an input to an output.
    depth
        Mean number of learned edges on a path.
    width
        Number of paths with a learned edge, divided by the depth; 0 where there is none.
    """

    paths: int
    depth: float
    width: float


def connectivity(edges: Iterable[tuple[int, int, bool]]) -> Connectivity:
    """Counts the paths of a graph of layers, by dynamic programming.

    Parameters
    ----------
    edges
        (source, target, learned); every source has a smaller number than its target.

    Raises
    ------
    InvalidArgument
        If an edge does not lead to a greater number: the graph has a cycle, and so no end of
        paths.

    References
    ----------
    Chen et al., "Deep Architecture Connectivity Matters for Its Convergence", arXiv 2205.05662.

    Example
    -------
    >>> connectivity([(0, 1, True), (1, 2, True), (0, 2, False)])
    Connectivity(paths=2, depth=1.0, width=1.0)
    """
    known = sorted(edges, key=lambda edge: edge[1])
    if any(source >= target for source, target, _ in known):
        raise InvalidArgument("An architecture with recurrent layers has no end of paths.")
    targets, sources = {target for _, target, _ in known}, {source for source, _, _ in known}
    # Per layer: paths that reach it, their learned edges in sum, and those without any.
    paths = dict.fromkeys(sources - targets, 1)
    learned_edges = dict.fromkeys(paths, 0)
    unlearned = dict.fromkeys(paths, 1)
    for source, target, learned in known:
        paths[target] = paths.get(target, 0) + paths[source]
        learned_edges[target] = (
            learned_edges.get(target, 0) + learned_edges[source] + learned * paths[source]
        )
        unlearned[target] = unlearned.get(target, 0) + (0 if learned else unlearned[source])
    ends = (sources | targets) - sources
    total = sum(paths[layer] for layer in ends)
    if total == 0:
        return Connectivity(0, 0.0, 0.0)
    depth = sum(learned_edges[layer] for layer in ends) / total
    through = total - sum(unlearned[layer] for layer in ends)
    return Connectivity(total, depth, through / depth if through else 0.0)


@question(
    columns=_COLUMNS,
    example={"network": "tiny"},
    survives=("permutation", "rescaling", "duplication"),
    kept=True,
)
def architecture(database: Database, network: str) -> Table:
    """Effective depth and width of a network's architecture.

    Returns
    -------
    Table
        One row: ``paths`` (from inputs to outputs, over layers), ``effective_depth`` (mean
        number of learned edges on a path), ``effective_width`` (paths with a learned edge divided
        by that depth).

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    Chen et al., arXiv 2205.05662.

    Example
    -------
    >>> architecture(database, "mnist").rows                            # doctest: +SKIP
    [[1, 3.0, 0.3333333333333333]]
    """
    scope.places(database, network)
    edges = database.read(ARCHITECTURE, network=network, row_cap=1_000_000)
    found = connectivity((source, target, learned) for source, target, learned in edges.rows)
    return edges.with_rows(_COLUMNS, [[found.paths, found.depth, found.width]])
