"""Neurons that can do nothing, or always the same, as far as the weights alone tell."""

from __future__ import annotations

import math
from typing import Final

from queries import scope
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

# What values of these activations lie between; others may be anything.
RANGES: Final = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "softplus": (0.0, math.inf),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
ZERO_BELOW: Final = ("relu", "relu6")
FLAT_ENDS: Final = ("sigmoid", "tanh", "hardsigmoid", "hardtanh", "softsign")
ADDING: Final = ("linear", "conv", "conv_transposed")
"""Kinds of layers whose neurons are their weighted sum and bias."""

DEAD_UNITS = Query(
    "dead_units",
    "Neurons without input or output, never active, or always saturated, whatever the sample.",
    scope.LAYERS_OF_NETWORK
    # A neuron that stands at several positions lacks some links where padding is: as if from 0.
    + """
WHERE layer.links > 0
WITH layer, network.view = 'shared' AND (layer.kind <> 'linear'
         OR layer.size < reduce(values = 1, length IN layer.shape | values * length)) AS padded,
     EXISTS { (layer)-[feeds:FEEDS]->() WHERE feeds.recurrent IS NULL } AS inner,
     layer.kind IN $adding AND layer.wires = 0 AS adding
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
CALL (neuron, padded) {
    MATCH (neuron)<-[link:LINK]-(source:Neuron)<-[:HAS_NEURON]-(from:Layer)
    WITH link.weight AS weight, padded,
         coalesce($lows[from.activation], CASE from.kind WHEN 'input' THEN $low END,
             $unbounded * -1.0) AS low,
         coalesce($highs[from.activation], CASE from.kind WHEN 'input' THEN $high END, $unbounded)
             AS high
    WITH weight, CASE WHEN padded AND low > 0.0 THEN 0.0 ELSE low END AS low,
         CASE WHEN padded AND high < 0.0 THEN 0.0 ELSE high END AS high
    RETURN sum(abs(weight)) AS received,
           sum(CASE WHEN weight = 0.0 THEN 0.0 WHEN weight > 0.0 THEN weight * low
                    ELSE weight * high END) AS least,
           sum(CASE WHEN weight = 0.0 THEN 0.0 WHEN weight > 0.0 THEN weight * high
                    ELSE weight * low END) AS greatest
}
CALL (neuron) {
    MATCH (neuron)-[link:LINK|WIRE]->() RETURN sum(abs(link.weight)) AS sent
}
WITH layer, neuron, inner, adding, received, sent,
     least + coalesce(neuron.bias, 0.0) AS least, greatest + coalesce(neuron.bias, 0.0) AS greatest
WITH layer, neuron, least, greatest, CASE
    WHEN received = 0.0 AND layer.wires = 0 THEN 'no input'
    WHEN inner AND sent = 0.0 THEN 'no output'
    WHEN adding AND layer.activation IN $zero_below AND greatest <= 0.0 THEN 'never active'
    WHEN adding AND layer.activation IN $flat AND (least >= $level OR greatest <= $level * -1.0)
        THEN 'saturated'
END AS reason
WHERE reason IS NOT NULL
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron, reason,
       CASE WHEN abs(least) < $unbounded THEN least END AS least,
       CASE WHEN abs(greatest) < $unbounded THEN greatest END AS greatest
ORDER BY layer_index, neuron
""",
    ("layer", "layer_index", "neuron", "reason", "least", "greatest"),
)


@question(
    columns=DEAD_UNITS.columns,
    example={"network": "dead", "low": 0.0, "high": 1.0},
    survives=("permutation", "duplication"),
    kept=True,
)
def dead_units(
    database: Database,
    network: str,
    *,
    low: float | None = None,
    high: float | None = None,
    level: float = 6.0,
) -> Table:
    """Neurons that no sample can make do anything, as far as the weights alone tell.

    These are sufficient conditions: a neuron may be dead on your data without them (see the
    observations). A neuron has the first reason that holds: `no input`: all its incoming weights
    are 0; `no output`: all outgoing ones are; `never active`: a ReLU whose weighted sum cannot be
    above 0; `saturated`: a sigmoid or tanh whose sum cannot be nearer to 0 than `level`. What the
    sum can be follows from the weights, the bias, and what the activation before can give; where
    a neuron stands at many positions, as a channel does, padding may stand for any of it.

    Parameters
    ----------
    low
        Least value that inputs have; unbounded where left out.
    high
        Greatest value that inputs have; unbounded where left out.
    level
        From this magnitude of its sum on a sigmoid or tanh counts as saturated.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``reason``, ``least`` and ``greatest`` (what its
        weighted sum with bias can be; None where unbounded).

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If `low` is above `high`, or `level` not above 0.

    References
    ----------
    Lu et al., "Dying ReLU and initialization", arXiv 1903.06733.

    Example
    -------
    >>> dead_units(database, "mnist", low=0, high=1).rows[:1]           # doctest: +SKIP
    [['fc1', 1, 17, 'never active', -3.1, -0.2]]
    """
    least = -math.inf if low is None else low
    greatest = math.inf if high is None else high
    if not least <= greatest:
        raise InvalidArgument(f"Inputs cannot be from {low} to {high}.")
    if not level > 0:
        raise InvalidArgument(f"level cannot be {level}: give a number above 0.")
    scope.places(database, network)
    return database.read(
        DEAD_UNITS,
        network=network,
        lows={name: bounds[0] for name, bounds in RANGES.items()},
        highs={name: bounds[1] for name, bounds in RANGES.items()},
        # Nothing before an input is negative or positive beyond this.
        low=least,
        high=greatest,
        unbounded=math.inf,
        level=level,
        adding=list(ADDING),
        zero_below=list(ZERO_BELOW),
        flat=list(FLAT_ENDS),
    )
