"""Reads back what was written: counts and sums that misplaced or lost links would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ingest.network import Layer, Network, Scalars
from ingest.sums import SOURCE_FACTORS, TARGET_FACTORS, LinkSums
from store.database import Database
from store.errors import VerificationFailed
from store.query import Query

SECONDS = 3_600.0
# Read back by one query.
LINKS_AT_ONCE = 250_000
# The order of summation differs between here and the server; float64 sums agree far closer.
TOLERANCE = 1e-9


def _stored(kind: str) -> Query:
    # Summed by target first, so that what tells the target is read once and not for every link.
    return Query(
        f"stored_{kind.lower()}s",
        f"Count and sums of the {kind} relationships into a range of neurons, as stored.",
        f"""
MATCH (target:Neuron) WHERE $first <= target.id < $end
MATCH (target)<-[link:{kind}]-(source)
WITH target.id - $origin AS target, count(link) AS links, sum(link.param) AS params,
     sum(link.position) AS positions, sum(link.weight) AS weights,
     sum(link.weight * (1 + (source.id - $origin) % {SOURCE_FACTORS})) AS placed
RETURN sum(links) AS links, sum(params) AS params, sum(positions) AS positions,
       sum(weights) AS weights, sum(placed * (1 + target % {TARGET_FACTORS})) AS placed
""",
        ("links", "params", "positions", "weights", "placed"),
    )


STORED_LINKS, STORED_WIRES = _stored("LINK"), _stored("WIRE")

STORED_TOTALS = Query(
    "stored_totals",
    "How many links, learned and fixed, come into a range of neurons, as stored.",
    """
MATCH (target:Neuron) WHERE $first <= target.id < $end
RETURN sum(COUNT { (target)<-[:LINK]-() }) AS links, sum(COUNT { (target)<-[:WIRE]-() }) AS wires
""",
    ("links", "wires"),
)

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
    *,
    workers: int = 2,
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
    workers
        Concurrent queries.

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
    _verify_links(database, network, first, sums, workers)
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
    network: Network,
    origin: int,
    sums: Mapping[tuple[int, bool], LinkSums],
    workers: int,
) -> None:
    def read(part: tuple[tuple[int, bool], range]) -> LinkSums:
        (_, learned), neurons = part
        query = STORED_LINKS if learned else STORED_WIRES
        first, end = origin + neurons.start, origin + neurons.stop
        rows = database.read(query, first=first, end=end, origin=origin, seconds=SECONDS).rows
        return LinkSums(*rows[0])

    parts = list(_parts(network, sums))
    stored = {key: LinkSums() for key in sums}
    with ThreadPoolExecutor(workers, thread_name_prefix="weightome-verification") as pool:
        for (key, _), of_part in zip(parts, pool.map(read, parts), strict=True):
            stored[key].add(of_part)
    for (index, learned), sent in sums.items():
        found, name = stored[index, learned], network.layers[index].name
        if (found.links, found.params, found.positions) != (
            sent.links,
            sent.params,
            sent.positions,
        ):
            raise VerificationFailed(
                f"{sent.links} {'' if learned else 'fixed '}links into layer {name!r} were "
                f"written, but {found.links} are in the store or they stand for other parameters."
            )
        _agree(name, "weights", sent.weights, found.weights, sent.magnitude)
        _agree(name, "placed weights", sent.placed, found.placed, sent.magnitude)
    end = origin + network.neuron_count
    totals = database.read(STORED_TOTALS, first=origin, end=end, seconds=SECONDS).rows[0]
    if totals != [network.link_count, network.wire_count]:
        raise VerificationFailed(
            f"{network.link_count} links and {network.wire_count} fixed ones were written, but "
            f"{totals[0]} and {totals[1]} are in the store."
        )


def _parts(
    network: Network, sums: Mapping[tuple[int, bool], LinkSums]
) -> Iterator[tuple[tuple[int, bool], range]]:
    """Layers in ranges of neurons with about as many links into each, numbered in the network."""
    for key, sent in sums.items():
        first, size = network.firsts[key[0]], network.layers[key[0]].size
        step = -(-size // max(1, min(size, sent.links // LINKS_AT_ONCE)))
        for start in range(0, size, step):
            yield key, range(first + start, first + min(start + step, size))


def _agree(layer: str, what: str, sent: float, stored: float, magnitude: float) -> None:
    if not abs(sent - stored) <= TOLERANCE * magnitude:
        raise VerificationFailed(
            f"The {what} of layer {layer!r} sum to {stored!r} in the store, not to {sent!r}."
        )
