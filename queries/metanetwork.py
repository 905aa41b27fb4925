"""A network in the form of Graph Metanetworks (arXiv 2312.04501): biases as nodes, arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.weights import layer_weights
from store.database import Database

NEURON, BIAS = 0, 1


@dataclass(frozen=True)
class Metanetwork:
    """Nodes and edges of a network in the construction of Graph Metanetworks.

    Parameters
    ----------
    node_layer
        (nodes,) index of the layer that a node belongs to.
    node_index
        (nodes,) its place in the layer; 0 for a bias node.
    node_kind
        (nodes,) `NEURON` or `BIAS`.
    edge_index
        (2, edges) source and target node.
    edge_weight
        (edges,) the parameter's value, signed.
    edge_param
        (edges,) its place in the network's flat parameter vector.
    """

    node_layer: NDArray[np.int64]
    node_index: NDArray[np.int64]
    node_kind: NDArray[np.int64]
    edge_index: NDArray[np.int64]
    edge_weight: NDArray[np.float64]
    edge_param: NDArray[np.int64]


def metanetwork(database: Database, network: str) -> Metanetwork:
    """Reads a network as one node per neuron, one per biased layer, and one edge per parameter.

    Returns
    -------
    Metanetwork
        Neurons in the order of the layers, then the bias nodes. A bias node has an edge to each
        neuron of its layer.

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    Lim et al., "Graph Metanetworks for Processing Diverse Neural Architectures",
    arXiv 2312.04501.

    Example
    -------
    >>> metanetwork(database, "digits-060").edge_index.shape            # doctest: +SKIP
    (2, 2778)
    """
    layers = scope.places(database, network)
    origin = layers[0].first
    neurons = sum(layer.size for layer in layers)
    read = [layer_weights(database, layer) for layer in layers]
    scope.unchanged(database, network, layers)
    biased = [(weights, weights.biases) for weights in read if weights.biases is not None]
    sources, targets, values, params = [], [], [], []
    for weights in read:
        sources.append(weights.links.sources - origin)
        targets.append(weights.links.targets - origin)
        values.append(weights.links.weights)
        params.append(weights.links.params)
    for number, (weights, held) in enumerate(biased):
        first, size = weights.layer.first - origin, weights.layer.size
        sources.append(np.full(size, neurons + number))
        targets.append(np.arange(first, first + size))
        values.append(held.values)
        params.append(held.params)
    of_layers = [np.full(layer.size, layer.index) for layer in layers]
    return Metanetwork(
        np.concatenate([*of_layers, np.array([w.layer.index for w, _ in biased], dtype=np.int64)]),
        np.concatenate(
            [*(np.arange(layer.size) for layer in layers), np.zeros(len(biased), dtype=np.int64)]
        ),
        np.repeat([NEURON, BIAS], [neurons, len(biased)]),
        np.stack([np.concatenate(sources), np.concatenate(targets)]),
        np.concatenate(values),
        np.concatenate(params),
    )
