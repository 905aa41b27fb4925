"""The few links that carry most of what a neuron receives."""

from __future__ import annotations

from queries import scope
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

# From `target`, its incoming links with the strongest first, and their magnitudes in sum.
_STRONGEST_FIRST = """
MATCH (target)<-[link:LINK]-(source:Neuron)
WITH target, link, source ORDER BY target.id, abs(link.weight) DESC, source.id
WITH target, collect(link) AS links, collect(source) AS sources
WITH target, links, sources, reduce(sum = 0.0, link IN links | sum + abs(link.weight)) AS total
"""
# [sum so far, links so far]: it stops growing once the share is reached.
_ENOUGH = """
reduce(so_far = [0.0, 0], link IN links |
    CASE WHEN so_far[0] >= $share * total THEN so_far
         ELSE [so_far[0] + abs(link.weight), so_far[1] + 1] END)
"""

CARRYING_COUNTS = Query(
    "carrying_counts",
    "How many of each neuron's incoming links carry a share of their magnitudes.",
    scope.LAYERS_OF_NETWORK
    + " WHERE $layer IS NULL OR layer.name = $layer"
    + f"""
MATCH (layer)-[:HAS_NEURON]->(target:Neuron)
CALL (target) {{
    {_STRONGEST_FIRST.strip()}
    RETURN size(links) AS in_degree, total, {_ENOUGH.strip()} AS enough
}}
RETURN layer.name AS layer, layer.index AS layer_index, target.index AS neuron,
       toInteger(enough[1]) AS links, in_degree, toFloat(enough[1]) / in_degree AS fraction,
       CASE WHEN total = 0.0 THEN null ELSE enough[0] / total END AS share
ORDER BY layer_index, neuron
""",
    ("layer", "layer_index", "neuron", "links", "in_degree", "fraction", "share"),
)


@question(
    columns=CARRYING_COUNTS.columns,
    example={"network": "tiny", "share": 0.8},
    survives=("permutation",),
    kept=True,
)
def carrying_counts(
    database: Database, network: str, *, share: float = 0.9, layer: str | None = None
) -> Table:
    """How few incoming links carry a share of each neuron's input.

    Parameters
    ----------
    share
        Part of the sum of magnitudes to be carried, 0 to 1.
    layer
        Only neurons of this layer.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``links`` (the fewest that carry the share),
        ``in_degree`` (all incoming links), ``fraction`` (links / in_degree, 0..1), ``share``
        (what those links carry, at least what was asked; None where all weights are 0); neurons
        without incoming links have no row.

    Raises
    ------
    NotFound
        If the network or the layer does not exist.
    InvalidArgument
        If the share is not from 0 to 1.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks",
    arXiv 1506.02626: magnitudes as importance.

    Example
    -------
    >>> carrying_counts(database, "mnist", share=0.9).rows[0]           # doctest: +SKIP
    ['fc1', 1, 0, 431, 784, 0.55, 0.9003]
    """
    _check(share)
    layers = scope.places(database, network)
    if layer is not None:
        scope.place(layers, layer)
    return database.read(CARRYING_COUNTS, network=network, share=share, layer=layer)


CARRYING_LINKS = Query(
    "carrying_links",
    "The strongest incoming links of a neuron that carry a share of their magnitudes.",
    f"""
MATCH (target:Neuron {{id: $id}})
{_STRONGEST_FIRST.strip()}
WITH links, sources, total, toInteger({_ENOUGH.strip()}[1]) AS enough
UNWIND range(0, enough - 1) AS position
WITH links[position] AS link, sources[position] AS source, total, position
MATCH (layer:Layer)-[:HAS_NEURON]->(source)
RETURN position + 1 AS rank, layer.name + '/' + source.index AS source, link.weight AS weight,
       abs(link.weight) / total AS share
ORDER BY rank
""",
    ("rank", "source", "weight", "share"),
)


@question(
    columns=CARRYING_LINKS.columns,
    example={"network": "tiny", "neuron": "fc2/1"},
    survives=("permutation",),
    kept=True,
)
def carrying_links(database: Database, network: str, neuron: str, *, share: float = 0.9) -> Table:
    """The fewest incoming links that carry a share of one neuron's input.

    Parameters
    ----------
    neuron
        `LAYER/INDEX`.
    share
        Part of the sum of magnitudes to be carried, 0 to 1.

    Returns
    -------
    Table
        ``rank`` (from 1), ``source`` (``layer/index``), ``weight`` (signed), ``share`` (of the sum
        of magnitudes, 0..1); strongest first.

    Raises
    ------
    NotFound
        If the network, the layer or the neuron does not exist.
    InvalidArgument
        If the address names a whole layer, or the share is not from 0 to 1.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks",
    arXiv 1506.02626: magnitudes as importance.

    Example
    -------
    >>> carrying_links(database, "mnist", "output/7", share=0.5).rows[0]  # doctest: +SKIP
    [1, 'fc2/12', -0.61, 0.04]
    """
    _check(share)
    layers = scope.places(database, network)
    table = database.read(CARRYING_LINKS, id=scope.one_neuron(layers, neuron), share=share)
    scope.unchanged(database, network, layers)
    return table


def _check(share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidArgument(f"share cannot be {share}: give a number from 0 to 1.")
