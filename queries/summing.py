"""Values from the graph itself, where each value is a neuron: sums and maxima over links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from queries.stored import StoredLayer
from queries.weights import Edges

Array = NDArray[np.float64]
Sources = Sequence[tuple[StoredLayer, Array]]

# Kinds whose values are sums over links, learned and fixed. Others compute something else of
# what comes in, or a part of it that only their inputs' order tells.
SUMS = (
    "activation", "add", "average_pool", "conv", "conv_transposed", "copy", "linear", "scale",
    "shift", "subtract",
)  # fmt: skip


def adds_up(layer: StoredLayer) -> bool:
    """Whether a layer's values are the sums over its neurons' links."""
    if layer.kind == "reduce":
        return layer.attributes["function"] in ("mean", "sum")
    return layer.kind in SUMS


def sums(layer: StoredLayer, edges: Edges, sources: Sources) -> Array:
    """The sum over each neuron's links, for all samples, in the layer's shape.

    Parameters
    ----------
    sources
        The layers that the links come from with their values, samples x shape.
    """
    samples = len(sources[0][1])
    total = np.zeros((layer.place.size, samples))
    for source, values in sources:
        into, out_of, among = _between(edges, source, layer)
        # Links that share both ends are added.
        shape = (layer.place.size, source.place.size)
        weights = csr_array((edges.weights[among], (into, out_of)), shape=shape)
        total += np.asarray(weights @ values.reshape(samples, -1).T)
    return total.T.reshape(samples, *layer.shape)


def maxima(layer: StoredLayer, edges: Edges, sources: Sources) -> Array:
    """The greatest value at the far end of each neuron's links."""
    samples = len(sources[0][1])
    found = np.full((layer.place.size, samples), -np.inf)
    for source, values in sources:
        into, out_of, _ = _between(edges, source, layer)
        np.maximum.at(found, into, values.reshape(samples, -1).T[out_of])
    return found.T.reshape(samples, *layer.shape)


def _between(
    edges: Edges, source: StoredLayer, target: StoredLayer
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Targets and sources, as indices in their layers, of the edges from a layer; and which."""
    first, size = source.place.first, source.place.size
    among = (edges.sources >= first) & (edges.sources < first + size)
    return edges.targets[among] - target.place.first, edges.sources[among] - first, among
