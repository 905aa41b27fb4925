"""A network's layers as they are stored: what each computes, and of what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.scope import Place
from store import views
from store.database import Database
from store.errors import NotFound
from store.query import Query

LAYERS_TO_COMPUTE = Query(
    "layers_to_compute",
    "What each layer of a network computes, and how its inputs lie in others' values.",
    scope.LAYERS_OF_NETWORK
    + """
RETURN layer.index AS layer_index, layer.kind AS kind, layer.shape AS shape,
       layer.axes AS axes, layer.activation AS activation, layer.attributes AS attributes,
       layer.takes AS takes, layer.wires > 0 AS wired
ORDER BY layer_index
""",
    (
        "layer_index", "kind", "shape", "axes", "activation", "attributes", "takes", "wired",
    ),
)  # fmt: skip

OUTPUTS_OF_NETWORK = Query(
    "outputs_of_network",
    "How a network's outputs lie in the values of its layers, and its view.",
    """
MATCH (network:Network {name: $network})
RETURN network.outputs AS outputs, network.view AS view
""",
    ("outputs", "view"),
)


@dataclass(frozen=True)
class StoredLayer:
    """One layer.

    Parameters
    ----------
    place
        Its name, and the range of its neurons.
    kind, activation, attributes
        What it computes.
    shape
        Of its values, without the batch axis.
    axes
        Those along which its neurons stand.
    takes
        How its inputs lie in the values of other layers.
    wired
        Whether fixed links lead into it.
    """

    place: Place
    kind: str
    activation: str
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    takes: tuple[views.View, ...]
    wired: bool

    @property
    def exact(self) -> bool:
        """Whether each of its values is a neuron."""
        return self.place.size == prod(self.shape)

    def neurons(self, first: int = 0) -> NDArray[np.int64]:
        """The neuron that each of its values belongs to, in its shape; numbered from `first`."""
        return views.neurons(self.shape, self.axes, first)


@dataclass(frozen=True)
class Stored:
    """A whole network, without its links: its layers in order, and its outputs."""

    layers: tuple[StoredLayer, ...]
    outputs: tuple[views.View, ...]
    unrolled: bool


def stored(database: Database, network: str) -> Stored:
    """Reads how a network is computed.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    """
    places = scope.places(database, network)
    rows = database.read(LAYERS_TO_COMPUTE, network=network, row_cap=1_000_000).records()
    ends = database.read(OUTPUTS_OF_NETWORK, network=network).rows
    if len(rows) != len(places) or not ends:
        raise NotFound(f"There is no network {network!r}.")
    layers = tuple(
        StoredLayer(
            place,
            row["kind"],
            row["activation"],
            _attributes(row["attributes"]),
            tuple(row["shape"]),
            tuple(row["axes"]),
            views.loads(row["takes"]),
            row["wired"],
        )
        for place, row in zip(places, rows, strict=True)
    )
    outputs, view = ends[0]
    return Stored(layers, views.loads(outputs), view == "unrolled")


def _attributes(text: str) -> dict[str, Any]:
    return {key: views.tuples(value) for key, value in json.loads(text).items()}
