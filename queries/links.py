"""Link weights per layer: moments, quantiles, histogram (CNT: arXiv 2110.02628, 2209.05488)."""

from __future__ import annotations

import math

from queries import scope
from queries.options import positive
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

# The weights of `layer`: of the links that end in it and, where asked, the biases of its neurons.
WEIGHTS_OF_LAYER = """
CALL (layer) {
    MATCH (layer)-[:HAS_NEURON]->(:Neuron)<-[link:LINK]-()
    RETURN link.weight AS weight
    UNION ALL
    MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron) WHERE $bias AND neuron.bias IS NOT NULL
    RETURN neuron.bias AS weight
}
"""

LINKS = Query(
    "links",
    "Statistics of the link weights of each layer.",
    scope.LAYERS_OF_NETWORK
    + WEIGHTS_OF_LAYER
    + """
WITH layer, count(weight) AS links, avg(weight) AS mean, stDevP(weight) AS std,
     min(weight) AS min, percentileCont(weight, 0.05) AS q05, percentileCont(weight, 0.25) AS q25,
     percentileCont(weight, 0.5) AS median, percentileCont(weight, 0.75) AS q75,
     percentileCont(weight, 0.95) AS q95, max(weight) AS max,
     avg(CASE WHEN abs(weight) <= $near_zero THEN 1.0 ELSE 0.0 END) AS near_zero
RETURN layer.name AS layer, layer.index AS layer_index, links, mean, std, min, q05, q25, median,
       q75, q95, max, near_zero
ORDER BY layer_index
""",
    (
        "layer", "layer_index", "links", "mean", "std", "min", "q05", "q25", "median", "q75",
        "q95", "max", "near_zero",
    ),
)  # fmt: skip


@question(columns=LINKS.columns, example={"network": "tiny"}, survives=("permutation",), kept=True)
def links(
    database: Database, network: str, *, bias: bool = False, near_zero: float = 1e-3
) -> Table:
    """Statistics of the link weights of each layer.

    Parameters
    ----------
    bias
        Counts each neuron's bias as one further weight of its layer, as the CNT authors do.
    near_zero
        A weight counts as near zero up to this magnitude.

    Returns
    -------
    Table
        Per layer that links end in: ``layer``, ``layer_index``, ``links`` (values counted),
        ``mean``, ``std`` (population), ``min``, ``q05``, ``q25``, ``median``, ``q75``, ``q95``,
        ``max`` (signed; quantiles interpolate linearly), ``near_zero`` (fraction 0..1).

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If `near_zero` is negative or not finite.

    References
    ----------
    La Malfa et al., "Characterizing Learning Dynamics of Deep Neural Networks via Complex
    Networks", arXiv 2110.02628; "Deep Neural Networks as Complex Networks", arXiv 2209.05488.

    Example
    -------
    >>> links(database, "mnist").to_pandas()[["layer", "mean", "std"]]  # doctest: +SKIP
    """
    if not (math.isfinite(near_zero) and near_zero >= 0):
        raise InvalidArgument(f"near_zero cannot be {near_zero}: give a magnitude of 0 or more.")
    scope.places(database, network)
    return database.read(LINKS, network=network, bias=bias, near_zero=near_zero)


HISTOGRAM = Query(
    "histogram",
    "Histogram of the link weights of each layer.",
    scope.LAYERS_OF_NETWORK
    + " WHERE $layer IS NULL OR layer.name = $layer"
    + WEIGHTS_OF_LAYER
    + "WITH layer, min(weight) AS low, max(weight) AS high"
    + WEIGHTS_OF_LAYER
    + """
WITH layer, low, high,
     CASE WHEN high = low THEN 0
          ELSE toInteger(floor((weight - low) / (high - low) * $bins)) END AS bin
WITH layer, low, high, CASE WHEN bin >= $bins THEN $bins - 1 ELSE bin END AS bin, count(*) AS count
WITH layer, low, high, collect([bin, count]) AS filled
UNWIND range(0, $bins - 1) AS bin
RETURN layer.name AS layer, layer.index AS layer_index, bin,
       low + (high - low) * bin / $bins AS low, low + (high - low) * (bin + 1) / $bins AS high,
       reduce(total = 0, pair IN filled |
           total + CASE WHEN pair[0] = bin THEN pair[1] ELSE 0 END) AS count
ORDER BY layer_index, bin
""",
    ("layer", "layer_index", "bin", "low", "high", "count"),
)


@question(
    columns=HISTOGRAM.columns,
    example={"network": "tiny", "layer": "fc1", "bins": 4},
    survives=("permutation",),
    kept=True,
)
def histogram(
    database: Database,
    network: str,
    *,
    layer: str | None = None,
    bins: int = 20,
    bias: bool = False,
) -> Table:
    """Histogram of the link weights of each layer, or of one.

    Parameters
    ----------
    layer
        Only links that end in this layer.
    bins
        Number of equal bins between the layer's least and greatest weight.
    bias
        Counts each neuron's bias as one further weight.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``bin`` (from 0), ``low``, ``high`` (its edges, signed),
        ``count``. The last bin holds its upper edge.

    Raises
    ------
    NotFound, InvalidArgument

    Example
    -------
    >>> histogram(database, "mnist", layer="fc1").column("count")       # doctest: +SKIP
    [1, 3, 12, ...]
    """
    positive("bins", bins, 1_000)
    layers = scope.places(database, network)
    if layer is not None:
        scope.place(layers, layer)
    return database.read(HISTOGRAM, network=network, layer=layer, bins=bins, bias=bias)
