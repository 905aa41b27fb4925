"""Writes what links join: a network's layers, parameters and neurons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ingest import statements
from ingest.claim import Claim
from ingest.network import Layer, Network
from ingest.once import Once
from ingest.room import Room
from store import views
from store.database import Database
from store.query import Query

NEURONS_PER_TRANSACTION = 10_000
_LAYERS = "layers"


def write_layers(database: Database, network: Network, claim: Claim) -> None:
    """Writes all but the links; what is there of it already stays.

    Raises
    ------
    MemoryLimitExceeded
        If the server has no memory for a transaction of one neuron.
    """
    describe_layers(database, network, claim)
    once = Once(database, claim.network, claim.first, claim.written, Room(NEURONS_PER_TRANSACTION))
    for index, layer in enumerate(network.layers):
        for start in range(0, layer.size, NEURONS_PER_TRANSACTION):
            neurons = range(start, min(start + NEURONS_PER_TRANSACTION, layer.size))
            once.write(f"neurons/{index}/{start}", _Neurons(layer, index, neurons))


def describe_layers(database: Database, network: Network, claim: Claim) -> None:
    """Writes the layers, be their nodes there or not, what feeds what, and the parameters."""
    if _LAYERS not in claim.written:
        database.write(
            statements.WRITE_LAYERS,
            network=claim.network,
            key=_LAYERS,
            layers=_layer_properties(network, claim),
            parameters=_parameter_properties(network, claim.network),
            feeds=[
                [source, index, {"recurrent": True} if recurrent else {}]
                for index, layer in enumerate(network.layers)
                for recurrent, sources in ((False, layer.sources), (True, layer.recurrent_sources))
                for source in sources
            ],
        )
    for index in network.kept:
        values = network.parameters[index].array().reshape(-1)
        database.write(
            statements.KEEP_TENSOR, id=claim.network, index=index, values=values.tolist()
        )


def _layer_properties(network: Network, claim: Claim) -> list[dict[str, Any]]:
    links, wires = [0] * len(network.layers), [0] * len(network.layers)
    for block in network.links:
        (links if block.learned else wires)[block.target] += block.count
    return [
        {
            "network": claim.network,
            "index": index,
            "name": layer.name,
            "kind": layer.kind,
            "activation": layer.activation,
            "attributes": json.dumps(layer.attributes, separators=(",", ":")),
            "takes": views.dumps(layer.takes),
            "size": layer.size,
            "shape": list(layer.shape),
            "axes": list(layer.neuron_axes),
            "first": claim.first + network.firsts[index],
            "biased": layer.bias is not None,
            "links": links[index],
            "wires": wires[index],
        }
        for index, layer in enumerate(network.layers)
    ]


def _parameter_properties(network: Network, identity: int) -> list[dict[str, Any]]:
    offsets = accumulate((parameter.size for parameter in network.parameters), initial=0)
    return [
        {
            "network": identity,
            "index": index,
            "name": parameter.name,
            "shape": list(parameter.shape),
            "aliases": list(parameter.aliases),
            "dtype": parameter.dtype,
            "first": offset,
        }
        for index, (parameter, offset) in enumerate(zip(network.parameters, offsets, strict=False))
    ]


@dataclass(frozen=True)
class _Neurons:
    """Neighbouring neurons of a layer."""

    layer: Layer
    index: int
    neurons: range

    @property
    def count(self) -> int:
        return len(self.neurons)

    def halves(self) -> tuple[_Neurons, _Neurons]:
        middle = -(-self.count // 2)
        return (
            _Neurons(self.layer, self.index, self.neurons[:middle]),
            _Neurons(self.layer, self.index, self.neurons[middle:]),
        )

    def statement(self, first: int) -> tuple[Query, dict[str, Any]]:
        columns = neuron_properties(self.layer, self.neurons)
        rows = zip(*columns.values(), strict=True)
        return statements.WRITE_NEURONS, {
            "layer": self.index,
            "start": self.neurons.start,
            "stop": self.neurons.stop,
            "rows": [dict(zip(columns, row, strict=True)) for row in rows] if columns else None,
        }


def neuron_properties(layer: Layer, neurons: range) -> dict[str, list[Any]]:
    """What each neuron of a range has beside its number: by name, a value or None per neuron."""
    start, stop = neurons.start, neurons.stop
    columns: dict[str, list[Any]] = {}
    for name, scalars in layer.scalars.items():
        columns[name] = scalars.values[start:stop].tolist()
        columns[f"{name}_param"] = scalars.params[start:stop].tolist()
    if layer.roles is not None:
        columns["role"] = [role or None for role in layer.roles[start:stop]]
    if layer.heads is not None:
        columns["head"] = [None if head < 0 else head for head in layer.heads[start:stop]]
    if layer.coordinates and len(layer.neuron_axes) == len(layer.shape):
        places = np.unravel_index(np.arange(start, stop), layer.shape)
        columns |= {
            name: along.tolist() for name, along in zip(layer.coordinates, places, strict=True)
        }
    return columns
