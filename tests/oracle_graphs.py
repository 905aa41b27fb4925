"""A network's links as networkx graphs, made of its weight matrices alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

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
