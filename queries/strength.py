"""Strength of neurons and fluctuation of layers (CNT: arXiv 2110.02628, 2209.05488)."""

from __future__ import annotations

from queries import scope
from queries.options import CONVENTIONS, Convention, one_of
from queries.question import question
from store.database import Database
from store.query import Query, Table

# From `network`, `layer` to one row per neuron with its signed `received` and `sent`. GDS's
# weighted degree sums positive weights only, so this is Cypher.
STRENGTH_OF_NEURONS = """
WITH *, CASE WHEN $unit AND layer.kind = 'input' THEN 1.0 ELSE 0.0 END AS unit_in,
     CASE WHEN $unit AND NOT EXISTS { (layer)-[feeds:FEEDS]->() WHERE feeds.recurrent IS NULL }
         THEN 1.0 ELSE 0.0 END AS unit_out
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
CALL (neuron) { MATCH (neuron)<-[link:LINK]-() RETURN sum(link.weight) AS weight_in }
CALL (neuron) { MATCH (neuron)-[link:LINK]->() RETURN sum(link.weight) AS weight_out }
WITH *, weight_in + unit_in + CASE WHEN $bias THEN coalesce(neuron.bias, 0.0) ELSE 0.0 END
     AS received, weight_out + unit_out AS sent
"""

STRENGTH = Query(
    "strength",
    "Signed strength of every neuron of a network.",
    scope.LAYERS_OF_NETWORK
    + STRENGTH_OF_NEURONS
    + """
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron,
       received AS `in`, sent AS out, received + sent AS total
ORDER BY layer_index, neuron
""",
    ("layer", "layer_index", "neuron", "in", "out", "total"),
)


def convention_parameters(convention: str, bias: bool) -> dict[str, bool]:
    """Query parameters of a convention: whether units and biases count.

    Raises
    ------
    InvalidArgument
        If the convention is not ``plain`` or ``cnt``.
    """
    one_of("convention", convention, CONVENTIONS)
    return {"unit": convention == "cnt", "bias": bias or convention == "cnt"}


@question(
    columns=STRENGTH.columns,
    example={"network": "tiny", "convention": "cnt"},
    survives=("permutation",),
    kept=True,
)
def strength(
    database: Database, network: str, *, convention: Convention = "plain", bias: bool = False
) -> Table:
    """Strength of every neuron: in = sum of w_ik, out = sum of w_kj, total = in + out, all signed.

    Parameters
    ----------
    convention
        ``plain``: the sums above. ``cnt``: as the authors' code, a virtual link of weight 1 into
        each input and out of each output neuron, and the bias counted as incoming.
    bias
        Adds b_k to the incoming strength, in either convention (``cnt`` always does).

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``in``, ``out``, ``total``; in order of layers
        and neurons.

    Raises
    ------
    NotFound, InvalidArgument

    References
    ----------
    La Malfa et al., arXiv 2110.02628, section 3; arXiv 2209.05488.

    Example
    -------
    >>> strength(database, "mnist", convention="cnt").rows[0]           # doctest: +SKIP
    ['input', 0, 0, 1.0, -0.3141, 0.6858]
    """
    chosen = convention_parameters(convention, bias)
    scope.places(database, network)
    return database.read(STRENGTH, network=network, **chosen)


LAYER_STRENGTH = Query(
    "layer_strength",
    "Statistics of the neurons' strength in each layer.",
    scope.LAYERS_OF_NETWORK
    + STRENGTH_OF_NEURONS
    + """
WITH layer, count(neuron) AS neurons, avg(received + sent) AS mean,
     stDevP(received + sent) AS fluctuation, min(received + sent) AS min,
     max(received + sent) AS max, avg(received) AS in_mean, avg(sent) AS out_mean
RETURN layer.name AS layer, layer.index AS layer_index, neurons, mean, fluctuation, min, max,
       in_mean, out_mean
ORDER BY layer_index
""",
    (
        "layer", "layer_index", "neurons", "mean", "fluctuation", "min", "max", "in_mean",
        "out_mean",
    ),
)  # fmt: skip


@question(
    columns=LAYER_STRENGTH.columns,
    example={"network": "tiny"},
    survives=("permutation",),
    kept=True,
)
def layer_strength(
    database: Database, network: str, *, convention: Convention = "plain", bias: bool = False
) -> Table:
    """Statistics of total strength in each layer, with the layers fluctuation.

    Parameters
    ----------
    convention
        ``plain``: the sums of weights. ``cnt``: a virtual link of weight 1 into each input and out
        of each output neuron, and the bias counted as incoming.
    bias
        Adds the bias to the incoming strength (``cnt`` always does).

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neurons`` (count), ``mean``, ``fluctuation`` (population
        standard deviation, >= 0), ``min``, ``max`` of the signed total strength, ``in_mean``,
        ``out_mean``.

    Raises
    ------
    NotFound, InvalidArgument

    References
    ----------
    La Malfa et al., arXiv 2110.02628: "layers fluctuation"; arXiv 2209.05488.

    Example
    -------
    >>> layer_strength(database, "mnist").column("fluctuation")         # doctest: +SKIP
    [1.06, 2.09, 1.2]
    """
    chosen = convention_parameters(convention, bias)
    scope.places(database, network)
    return database.read(LAYER_STRENGTH, network=network, **chosen)
