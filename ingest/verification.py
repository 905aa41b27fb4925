"""Reads back what was written: counts and sums that misplaced or lost links would change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ingest.network import Layer, Network, Scalars
from ingest.sums import SOURCE_FACTORS, TARGET_FACTORS, LinkSums
from store.database import Database
from store.errors import VerificationFailed
from store.query import Query

SECONDS = 3_600.0
# The order of summation differs between here and the server; float64 sums agree far closer.
TOLERANCE = 1e-9


def _stored(kind: str) -> Query:
    return Query(
        f"stored_{kind.lower()}s",
        f"Count and sums of the {kind} relationships into a layer, as stored.",
        f"""
MATCH (target:Neuron) WHERE $first <= target.id < $end
MATCH (target)<-[link:{kind}]-(source:Neuron)
RETURN count(link) AS links, sum(link.param) AS params, sum(link.position) AS positions,
       sum(link.weight) AS weights,
       sum(link.weight * (1 + (source.id - $origin) % {SOURCE_FACTORS})
           * (1 + (target.id - $origin) % {TARGET_FACTORS})) AS placed
""",
        ("links", "params", "positions", "weights", "placed"),
    )


STORED_LINKS, STORED_WIRES = _stored("LINK"), _stored("WIRE")

STORED_NEURONS = Query(
    "stored_neurons",
    "Count of the neurons of each layer, as stored.",
    """
MATCH (network:Network {id: $id})-[:HAS_LAYER]->(layer:Layer)
RETURN layer.name AS layer, COUNT { (layer)-[:HAS_NEURON]->(:Neuron) } AS neurons,
       layer.index AS layer_index
ORDER BY layer_index
""",
    ("layer", "neurons", "layer_index"),
)

STORED_SCALARS = Query(
    "stored_scalars",
    "Sums of a property of a layer's neurons and of its place in the parameters, as stored.",
    f"""
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $end
RETURN sum(neuron[$name] * (1 + neuron.index % {SOURCE_FACTORS})) AS placed,
       sum(neuron[$name + '_param']) AS params
""",
    ("placed", "params"),
)

STORED_TENSOR = Query(
    "stored_tensor",
    "The values of a tensor that is kept whole.",
    "MATCH (parameter:Parameter {network: $id, index: $index}) RETURN parameter.values AS values",
    ("values",),
)


def verify(
    database: Database,
    network: Network,
    identity: int,
    first: int,
    sums: Mapping[tuple[int, bool], LinkSums],
) -> None:
    """Compares the store with what was sent.

    Parameters
    ----------
    identity
        ``Network.id`` in the store.
    first
        Id of its first neuron.
    sums
        By target layer and whether learned.

    Raises
    ------
    VerificationFailed
        Names the first layer that differs.
    """
    stored = database.read(STORED_NEURONS, id=identity, seconds=SECONDS, row_cap=1_000_000).rows
    if len(stored) != len(network.layers):
        raise VerificationFailed(
            f"{len(network.layers)} layers were written, but {len(stored)} are in the store."
        )
    for index, (layer, (name, neurons, _)) in enumerate(zip(network.layers, stored, strict=True)):
        if neurons != layer.size:
            raise VerificationFailed(
                f"Layer {name!r} has {layer.size} neurons, but {neurons} are in the store."
            )
        bounds = {
            "first": first + network.firsts[index],
            "end": first + network.firsts[index] + layer.size,
        }
        for scalar, sent in layer.scalars.items():
            _verify_scalars(database, layer, scalar, sent, bounds)
        for learned in (True, False):
            _verify_links(
                database, layer, learned, sums.get((index, learned), LinkSums()), first, bounds
            )
    for index in network.kept:
        parameter = network.parameters[index]
        (row,) = database.read(STORED_TENSOR, id=identity, index=index, seconds=SECONDS).rows
        if not np.array_equal(np.asarray(row[0]), parameter.array().reshape(-1)):
            raise VerificationFailed(
                f"The values of the tensor {parameter.name!r} are not those that were written."
            )


def _verify_scalars(
    database: Database, layer: Layer, name: str, sent: Scalars, bounds: Mapping[str, int]
) -> None:
    placed, params = database.read(STORED_SCALARS, name=name, seconds=SECONDS, **bounds).rows[0]
    expected = sent.values * (1 + np.arange(layer.size) % SOURCE_FACTORS)
    if params != int(sent.params.sum()):
        raise VerificationFailed(f"The {name} of layer {layer.name!r} stands for other parameters.")
    _agree(layer.name, name, float(expected.sum()), placed, float(np.abs(expected).sum()))


def _verify_links(
    database: Database,
    layer: Layer,
    learned: bool,
    sent: LinkSums,
    origin: int,
    bounds: Mapping[str, int],
) -> None:
    query = STORED_LINKS if learned else STORED_WIRES
    links, params, positions, weights, placed = database.read(
        query, origin=origin, seconds=SECONDS, **bounds
    ).rows[0]
    if (links, params, positions) != (sent.links, sent.params, sent.positions):
        raise VerificationFailed(
            f"{sent.links} {'' if learned else 'fixed '}links into layer {layer.name!r} were "
            f"written, but {links} are in the store or they stand for other parameters."
        )
    _agree(layer.name, "weights", sent.weights, weights, sent.magnitude)
    _agree(layer.name, "placed weights", sent.placed, placed, sent.magnitude)


def _agree(layer: str, what: str, sent: float, stored: float, magnitude: float) -> None:
    if not abs(sent - stored) <= TOLERANCE * magnitude:
        raise VerificationFailed(
            f"The {what} of layer {layer!r} sum to {stored!r} in the store, not to {sent!r}."
        )
