"""All shortest paths between two sets of neurons, within some number of links."""

from __future__ import annotations

from queries import scope
from queries.options import positive
from queries.question import question
from store.database import Database
from store.query import Query, Table

MOST_HOPS = 64

SHORTEST_PATHS = Query(
    "shortest_paths",
    "All paths of fewest links between the neurons of two sets.",
    # The bound of a quantified path must be written out; $most cuts below it.
    f"""
UNWIND $sources AS ids
MATCH (source:Neuron) WHERE ids[0] <= source.id < ids[1]
WITH source
UNWIND $targets AS ids
MATCH (target:Neuron) WHERE ids[0] <= target.id < ids[1]
MATCH path = ALL SHORTEST
    (source)(()-[link:LINK|WIRE WHERE link.weight <> 0.0]->()){{1,{MOST_HOPS}}}(target)
WHERE length(path) <= $most
RETURN DISTINCT length(path) AS hops, [neuron IN nodes(path) | neuron.id] AS ids
ORDER BY hops, ids
""",
    ("hops", "ids"),
)

COLUMNS = ("hops", "path")


@question(
    columns=COLUMNS,
    example={"network": "tiny", "source": "input/0", "target": "fc2/1"},
    survives=("permutation", "rescaling", "duplication"),
    kept=True,
)
def shortest_paths(
    database: Database, network: str, source: str, target: str, *, most: int = 16
) -> Table:
    """All paths of fewest links from each source to each target neuron.

    Parameters
    ----------
    source
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for each of a layer.
    target
        `LAYER/INDEX` for one neuron, `LAYER/0-9,12` for several, `LAYER` for each of a layer.
    most
        Only paths of at most so many links, 1 to 64.

    Returns
    -------
    Table
        ``hops`` (links), ``path`` (list of ``layer/index``); fewest links first. Links of weight 0
        are part of no path, fixed ones (residual sums, pools) are; several links between two
        neurons make one path.

    Raises
    ------
    NotFound
        If the network, a layer or a neuron does not exist.
    InvalidArgument
        If both ends are in one layer, or `most` is out of range.

    References
    ----------
    Paths of a trained network as in La Malfa et al., arXiv 2209.05488.

    Example
    -------
    >>> shortest_paths(database, "mnist", "input/380", "output/7").rows[0]  # doctest: +SKIP
    [3, ['input/380', 'fc1/0', 'fc2/0', 'output/7']]
    """
    positive("most", most, MOST_HOPS)
    layers, start, end = scope.ends(database, network, source, target)
    found = database.read(
        SHORTEST_PATHS,
        sources=start.bounds,
        targets=end.bounds,
        most=most,
    )
    scope.unchanged(database, network, layers)
    rows = [[hops, [scope.address(layers, neuron) for neuron in ids]] for hops, ids in found.rows]
    return found.with_rows(COLUMNS, rows)
