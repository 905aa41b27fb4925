"""Reads back what was written: counts and sums that misplaced or lost links would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


STORED_LINKS = Query(
    "stored_links",
    "Counts and sums of the links into a range of neurons, learned and fixed, as stored.",
    f"""
MATCH (target:Neuron) WHERE $first <= target.id < $end
MATCH (target)<-[link:LINK|WIRE]-(source:Neuron)
RETURN type(link) = 'LINK' AS learned, count(link) AS links, sum(link.param) AS params,
       sum(link.position) AS positions, sum(link.weight) AS weights,
       sum(link.weight * (1 + (source.id - $origin) % {SOURCE_FACTORS})
           * (1 + (target.id - $origin) % {TARGET_FACTORS})) AS placed
""",
    ("learned", "links", "params", "positions", "weights", "placed"),
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
    def read(part: tuple[int, range]) -> list[list[Any]]:
        _, neurons = part
        return database.read(
            STORED_LINKS,
            first=origin + neurons.start,
            end=origin + neurons.stop,
            origin=origin,
            seconds=SECONDS,
        ).rows

    parts = list(_parts(network, sums))
    stored: dict[tuple[int, bool], LinkSums] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="weightome-verification") as pool:
        for (index, _), rows in zip(parts, pool.map(read, parts), strict=True):
            for learned, *of_part in rows:
                stored.setdefault((index, learned), LinkSums()).add(LinkSums(*of_part))
    for index, layer in enumerate(network.layers):
        for learned in (True, False):
            sent = sums.get((index, learned), LinkSums())
            found = stored.get((index, learned), LinkSums())
            if (found.links, found.params, found.positions) != (
                sent.links,
                sent.params,
                sent.positions,
            ):
                raise VerificationFailed(
                    f"{sent.links} {'' if learned else 'fixed '}links into layer {layer.name!r} "
                    f"were written, but {found.links} are in the store or they stand for other "
                    "parameters."
                )
            _agree(layer.name, "weights", sent.weights, found.weights, sent.magnitude)
            _agree(layer.name, "placed weights", sent.placed, found.placed, sent.magnitude)


def _parts(
    network: Network, sums: Mapping[tuple[int, bool], LinkSums]
) -> Iterator[tuple[int, range]]:
    """Layers in ranges of neurons with about as many links into each, numbered in the network."""
    for index, (layer, first) in enumerate(zip(network.layers, network.firsts, strict=True)):
        links = sum(sums.get((index, learned), LinkSums()).links for learned in (True, False))
        ranges = max(1, min(layer.size, links // LINKS_AT_ONCE))
        size = -(-layer.size // ranges) if layer.size else 1
        for start in range(0, layer.size, size):
            yield index, range(first + start, first + min(start + size, layer.size))


def _agree(layer: str, what: str, sent: float, stored: float, magnitude: float) -> None:
    if not abs(sent - stored) <= TOLERANCE * magnitude:
        raise VerificationFailed(
            f"The {what} of layer {layer!r} sum to {stored!r} in the store, not to {sent!r}."
        )
