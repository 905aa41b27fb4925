"""Statistics of each layer's link weights beyond mean and deviation."""

from __future__ import annotations

import math

from queries import scope
from queries.links import WEIGHTS_OF_LAYER
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

SPARSITY = Query(
    "sparsity",
    "How many of each layer's links are 0 or near it, and how many each neuron keeps.",
    scope.LAYERS_OF_NETWORK
    + """
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)<-[link:LINK]-()
WITH layer, neuron, count(link) AS links,
     sum(CASE WHEN link.weight = 0.0 THEN 1 ELSE 0 END) AS zeros,
     sum(CASE WHEN abs(link.weight) <= $near_zero THEN 1 ELSE 0 END) AS near,
     sum(abs(link.weight)) AS magnitude
WITH layer, sum(links) AS links, sum(zeros) AS zeros, sum(near) AS near,
     count(neuron) AS neurons, min(links - near) AS least, avg(links - near) AS mean,
     max(links - near) AS most, sum(magnitude) AS magnitude
CALL (layer) {
    MATCH (layer)-[:HAS_NEURON]->(:Neuron)<-[link:LINK]-(source:Neuron)
    WITH source, sum(CASE WHEN abs(link.weight) <= $near_zero THEN 0 ELSE 1 END) AS kept
    RETURN min(kept) AS least_sent, avg(kept) AS mean_sent, max(kept) AS most_sent
}
RETURN layer.name AS layer, layer.index AS layer_index, links,
       toFloat(zeros) / links AS zero, toFloat(near) / links AS near_zero,
       least AS in_degree_min, mean AS in_degree_mean, most AS in_degree_max,
       least_sent AS out_degree_min, mean_sent AS out_degree_mean, most_sent AS out_degree_max,
       magnitude / links AS mean_magnitude
ORDER BY layer_index
""",
    (
        "layer", "layer_index", "links", "zero", "near_zero", "in_degree_min", "in_degree_mean",
        "in_degree_max", "out_degree_min", "out_degree_mean", "out_degree_max", "mean_magnitude",
    ),
)  # fmt: skip


@question(
    columns=SPARSITY.columns, example={"network": "tiny"}, survives=("permutation",), kept=True
)
def sparsity(database: Database, network: str, *, near_zero: float = 1e-3) -> Table:
    """How sparse each layer is: links that are 0 or near it, and those that neurons keep.

    Parameters
    ----------
    near_zero
        A weight counts as near zero up to this magnitude.

    Returns
    -------
    Table
        Per layer that links end in: ``layer``, ``layer_index``, ``links``, ``zero`` and
        ``near_zero`` (fractions, 0..1), ``in_degree_min``, ``in_degree_mean``, ``in_degree_max``
        (links that are not near zero, per neuron of the layer that any link ends in),
        ``out_degree_min``, ``out_degree_mean``, ``out_degree_max`` (those same links, per neuron
        that any of the layer's links begins at), ``mean_magnitude`` (mean of ``|w|``).

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If `near_zero` is negative or not finite.

    References
    ----------
    Han et al., "Learning both weights and connections for efficient neural networks",
    arXiv 1506.02626.

    Example
    -------
    >>> sparsity(database, "mnist", near_zero=0.01).column("near_zero")  # doctest: +SKIP
    [0.31, 0.12, 0.02]
    """
    if not (math.isfinite(near_zero) and near_zero >= 0):
        raise InvalidArgument(f"near_zero cannot be {near_zero}: give a magnitude of 0 or more.")
    scope.places(database, network)
    return database.read(SPARSITY, network=network, near_zero=near_zero)


MOMENTS = Query(
    "moments",
    "Skewness and kurtosis of each layer's weights.",
    scope.LAYERS_OF_NETWORK
    + WEIGHTS_OF_LAYER
    + "WITH layer, count(weight) AS links, avg(weight) AS mean, stDevP(weight) AS std"
    + WEIGHTS_OF_LAYER
    # Deviations from the mean that is known by now: no difference of large sums.
    + """
WITH layer, links, mean, std, CASE WHEN std = 0.0 THEN null ELSE (weight - mean) / std END AS even
WITH layer, links, mean, std, avg(even ^ 3) AS third, avg(even ^ 4) AS fourth
RETURN layer.name AS layer, layer.index AS layer_index, links, mean, std,
       third AS skewness, fourth - 3.0 AS kurtosis
ORDER BY layer_index
""",
    ("layer", "layer_index", "links", "mean", "std", "skewness", "kurtosis"),
)


@question(
    columns=MOMENTS.columns, example={"network": "tiny"}, survives=("permutation",), kept=True
)
def moments(database: Database, network: str, *, bias: bool = False) -> Table:
    """Skewness and kurtosis of the link weights of each layer.

    Parameters
    ----------
    bias
        Counts each neuron's bias as one further weight of its layer.

    Returns
    -------
    Table
        Per layer that links end in: ``layer``, ``layer_index``, ``links`` (values counted),
        ``mean``, ``std`` (population), ``skewness`` (signed, 0 for a symmetric distribution),
        ``kurtosis`` (excess: 0 for a normal distribution, heavy tails above); the last two are
        None where all weights are equal.

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    Link weights as in La Malfa et al., arXiv 2110.02628; Pearson, "Das Fehlergesetz", 1905.

    Example
    -------
    >>> moments(database, "mnist").column("kurtosis")                   # doctest: +SKIP
    [2.8, 0.4, -0.1]
    """
    scope.places(database, network)
    return database.read(MOMENTS, network=network, bias=bias)


LAYER_MATRIX = Query(
    "layer_matrix",
    "Number, sum and mean of the links between each two layers.",
    scope.LAYERS_OF_NETWORK
    + """
MATCH (layer)-[:HAS_NEURON]->(target:Neuron)<-[link:LINK|WIRE]-(source:Neuron)
WHERE type(link) IN $types
WITH layer, source, type(link) AS type, count(link) AS links, sum(link.weight) AS sum,
     sum(abs(link.weight)) AS magnitude
MATCH (from:Layer)-[:HAS_NEURON]->(source)
WITH from, layer, type, sum(links) AS links, sum(sum) AS sum, sum(magnitude) AS magnitude
RETURN from.name AS source, from.index AS source_index, layer.name AS target,
       layer.index AS target_index, type, links, sum, sum / links AS mean, magnitude,
       magnitude / links AS mean_magnitude
ORDER BY target_index, source_index, type
""",
    (
        "source", "source_index", "target", "target_index", "type", "links", "sum", "mean",
        "magnitude", "mean_magnitude",
    ),
)  # fmt: skip


@question(
    columns=LAYER_MATRIX.columns, example={"network": "tiny"}, survives=("permutation",), kept=True
)
def layer_matrix(database: Database, network: str, *, wires: bool = False) -> Table:
    """The network as a matrix of its layers: what links sum up to between each two of them.

    Parameters
    ----------
    wires
        Fixed links (residual sums, pools, gates) too, in rows of their own.

    Returns
    -------
    Table
        A row for each two layers with links: ``source``, ``source_index``, ``target``,
        ``target_index``, ``type`` (`LINK` or `WIRE`), ``links`` (count), ``sum`` and ``mean`` of
        w (signed), ``magnitude`` and ``mean_magnitude`` (of ``|w|``).

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    La Malfa et al., arXiv 2209.05488: weights between layers.

    Example
    -------
    >>> layer_matrix(database, "mnist").to_pandas().pivot(              # doctest: +SKIP
    ...     index="source", columns="target", values="mean")
    """
    scope.places(database, network)
    types = scope.link_types(wires)
    return database.read(LAYER_MATRIX, network=network, types=types)
