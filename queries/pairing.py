"""Two networks side by side: which neuron of the one stands for which of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.scope import Place
from queries.weights import Edges, LayerWeights, layer_weights
from store.database import Database
from store.errors import NotFound
from store.query import Query

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MATCHES_OF_NETWORKS = Query(
    "matches_of_networks",
    "The pairs of neurons of two networks that were matched.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(layer:Layer)-[:HAS_NEURON]->(neuron:Neuron)
MATCH (neuron)-[match:MATCHES]->(counterpart:Neuron)<-[:HAS_NEURON]-(:Layer)
      <-[:HAS_LAYER]-(:Network {name: $other})
RETURN layer.name AS layer, layer.index AS layer_index, neuron.index AS neuron,
       counterpart.index AS other_neuron, match.similarity AS similarity, match.by AS by
ORDER BY layer_index, neuron
""",
    ("layer", "layer_index", "neuron", "other_neuron", "similarity", "by"),
)


@dataclass(frozen=True)
class Side:
    """One of the two networks."""

    name: str
    layers: list[Place]

    @property
    def first(self) -> int:
        """Id of its first neuron."""
        return self.layers[0].first

    @property
    def size(self) -> int:
        """Number of its neurons."""
        return self.layers[-1].first + self.layers[-1].size - self.first

    def by_name(self, name: str) -> Place | None:
        """The layer of that name, if there is one."""
        return next((layer for layer in self.layers if layer.name == name), None)


@dataclass(frozen=True)
class Pairing:
    """Which neuron of `here` stands for which one `there`.

    Parameters
    ----------
    counterpart
        For each neuron of `here`, numbered from its first, that of `there`, numbered likewise; -1
        for none.
    """

    here: Side
    there: Side
    counterpart: Ints


def pairing(database: Database, network: str, other: str, *, matched: bool) -> Pairing:
    """Pairs neurons by the name of their layer and their index in it, or as they were matched.

    Raises
    ------
    NotFound
        If a network does not exist, or they were not matched.
    """
    here, there = (Side(name, scope.places(database, name)) for name in (network, other))
    counterpart = np.full(here.size, -1, dtype=np.int64)
    if matched:
        rows = database.read(
            MATCHES_OF_NETWORKS, network=network, other=other, row_cap=100_000_000
        ).rows
        if not rows:
            raise NotFound(
                f"{network!r} and {other!r} were not matched: `weightome match` does that."
            )
        for layer, _, neuron, other_neuron, _, _ in rows:
            mine, theirs = scope.place(here.layers, layer), there.by_name(layer)
            if theirs is not None:
                place = mine.first - here.first + neuron
                counterpart[place] = theirs.first - there.first + other_neuron
        return Pairing(here, there, counterpart)
    for layer in here.layers:
        twin = there.by_name(layer.name)
        if twin is not None:
            count = min(layer.size, twin.size)
            start = layer.first - here.first
            counterpart[start : start + count] = twin.first - there.first + np.arange(count)
    return Pairing(here, there, counterpart)


@dataclass(frozen=True)
class PairedLayer:
    """A layer of both networks, read.

    Parameters
    ----------
    before, after
        Weights of the links into it, here and there, pair by pair.
    sources, targets
        Their ends here, numbered from the network's first neuron.
    bias_before, bias_after
        Biases of its neurons, pair by pair; empty where one has none.
    neurons
        The neurons here that the biases belong to.
    """

    before: Array
    after: Array
    sources: Ints
    targets: Ints
    bias_before: Array
    bias_after: Array
    neurons: Ints


def paired_layer(
    database: Database, pair: Pairing, layer: Place, twin: Place
) -> PairedLayer | None:
    """Reads a layer of both networks; None where their links do not pair."""
    mine, theirs = layer_weights(database, layer), layer_weights(database, twin)
    sources = mine.links.sources - pair.here.first
    targets = mine.links.targets - pair.here.first
    ends = _sorted(pair.counterpart[sources], pair.counterpart[targets], mine.links)
    other_ends = _sorted(
        theirs.links.sources - pair.there.first,
        theirs.links.targets - pair.there.first,
        theirs.links,
    )
    if len(ends[0]) != len(other_ends[0]) or any(
        not np.array_equal(one, other) for one, other in zip(ends[1:], other_ends[1:], strict=True)
    ):
        return None
    order, other_order = ends[0], other_ends[0]
    bias_before, bias_after, neurons = _biases(pair, layer, twin, mine, theirs)
    return PairedLayer(
        mine.links.weights[order],
        theirs.links.weights[other_order],
        sources[order],
        targets[order],
        bias_before,
        bias_after,
        neurons,
    )


def _sorted(sources: Ints, targets: Ints, links: Edges) -> tuple[Ints, Ints, Ints, Ints]:
    order = np.lexsort((links.positions, sources, targets)).astype(np.int64)
    return order, targets[order], sources[order], links.positions[order]


def _biases(
    pair: Pairing, layer: Place, twin: Place, mine: LayerWeights, theirs: LayerWeights
) -> tuple[Array, Array, Ints]:
    start = layer.first - pair.here.first
    neurons = np.arange(start, start + layer.size)
    if mine.biases is None or theirs.biases is None:
        return np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    places = pair.counterpart[neurons] - (twin.first - pair.there.first)
    return mine.biases.values, theirs.biases.values[places], neurons
