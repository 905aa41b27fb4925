"""A network's links as networkx graphs, made of its weights alone, without the store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from ingest.network import DenseLinks, Network

Matrices = Sequence[NDArray[Any]]


def random_matrices(seed: int, most: int = 6) -> list[NDArray[np.float32]]:
    """Random weights of three layers; of odd seeds a third are 0."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, most + 1, size=4)
    matrices = [random.normal(size=ends).astype(np.float32) for ends in itertools.pairwise(sizes)]
    if seed % 2:
        for matrix in matrices:
            matrix[random.random(matrix.shape) < 1 / 3] = 0
    return matrices


def directed(
    matrices: Matrices, wanted: Callable[[float], bool] = lambda weight: weight != 0
) -> nx.DiGraph:
    """Neurons 0, 1, ... in order of layers; links with `weight`, its `magnitude` and `cost`."""
    graph = nx.DiGraph()
    firsts = np.cumsum([0, matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)])
    graph.add_nodes_from(range(firsts[-1]))
    for matrix, first, after in zip(matrices, firsts, firsts[1:], strict=False):
        for (source, target), value in np.ndenumerate(matrix.astype(np.float64)):
            weight = float(value)
            if wanted(weight):
                graph.add_edge(
                    int(first + source),
                    int(after + target),
                    weight=weight,
                    magnitude=abs(weight),
                    cost=1 / abs(weight),
                )
    return graph


def of_network(network: Network, *, wires: bool) -> nx.DiGraph:
    """Any network, recurrent ones and those with several links between two neurons too.

    Links of weight 0 are left out; of several between two neurons the `magnitude` is the sum.
    """
    graph = nx.DiGraph()
    graph.add_nodes_from(range(network.neuron_count))
    for source, target, weight in _ends_and_weights(network, wires):
        if weight:
            _add(graph, source, target, abs(weight))
    return graph


def undirected(graph: nx.DiGraph) -> nx.Graph:
    """Opposite links are one, and those from a neuron to itself are none."""
    both = nx.Graph()
    both.add_nodes_from(graph)
    for source, target, magnitude in graph.edges(data="magnitude"):
        if source != target:
            _add(both, source, target, magnitude)
    return both


def _add(graph: nx.Graph, source: int, target: int, magnitude: float) -> None:
    before = graph.get_edge_data(source, target, {"magnitude": 0.0})["magnitude"]
    graph.add_edge(source, target, magnitude=before + magnitude, cost=1 / (before + magnitude))


def _ends_and_weights(network: Network, wires: bool) -> Iterator[tuple[int, int, float]]:
    for links in network.links:
        if isinstance(links, DenseLinks):
            weights = links.tile(range(links.sources), range(links.targets))
            for (source, target), weight in np.ndenumerate(weights):
                first, after = network.firsts[links.source], network.firsts[links.target]
                yield first + source, after + target, float(weight)
        elif links.learned or wires:
            for block in links.blocks():
                yield from zip(
                    block.sources.tolist(), block.targets.tolist(), block.weights.tolist(),
                    strict=True,
                )  # fmt: skip
