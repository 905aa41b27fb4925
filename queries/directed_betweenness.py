"""Shortest ways from the inputs to the outputs, and which neurons they pass (arXiv 2107.14062)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

Array = NDArray[np.float64]


def directed_betweenness(
    links: csr_array, inputs: NDArray[np.int64], outputs: NDArray[np.int64]
) -> Array:
    """Share of the shortest ways from inputs to outputs that pass through each neuron.

    Parameters
    ----------
    links
        Directed, w > 0 only; a link's length is its weight.
    inputs, outputs
        Neurons where ways begin and end.

    Returns
    -------
    numpy.ndarray
        Sum over pairs (s, t) of the fraction of their shortest ways that pass, s and t themselves
        left out, divided by (n - 1)(n - 2) with n neurons in all.

    References
    ----------
    Brandes, "On Variants of Shortest-Path Betweenness Centrality", 2008.

    Example
    -------
    >>> directed_betweenness(
    ...     csr_array([[0, 1.0, 3.0], [0, 0, 1.0], [0, 0, 0]]), np.array([0]), np.array([2])
    ... )
    array([0. , 0.5, 0. ])
    """
    size = links.shape[0]
    # Ways read backwards pass the same neurons: begin at the smaller side.
    if len(outputs) < len(inputs):
        links, inputs, outputs = csr_array(links.T), outputs, inputs
    towards = csr_array(links.T)
    goal = np.zeros(size)
    goal[outputs] = 1
    total = np.zeros(size)
    for origin in inputs:
        total += _dependency(links, towards, int(origin), goal)
    return total / max((size - 1) * (size - 2), 1)


def _dependency(links: csr_array, towards: csr_array, origin: int, goal: Array) -> Array:
    """Sum over goals of the fraction of shortest ways from the origin that pass each neuron."""
    distances = dijkstra(links, indices=[origin])[0]
    reached = np.flatnonzero(np.isfinite(distances))
    order = reached[np.argsort(distances[reached], kind="stable")]
    ways = np.zeros(len(distances))
    ways[origin] = 1
    before: list[NDArray[np.int64]] = []
    for neuron in order:
        span = slice(towards.indptr[neuron], towards.indptr[neuron + 1])
        sources = towards.indices[span]
        last = sources[distances[sources] + towards.data[span] == distances[neuron]]
        before.append(last)
        if neuron != origin:
            ways[neuron] = ways[last].sum()
    passed = np.zeros(len(distances))
    for neuron, last in zip(order[::-1], before[::-1], strict=True):
        if neuron != origin:
            passed[last] += ways[last] * (passed[neuron] + goal[neuron]) / ways[neuron]
    passed[origin] = 0
    return passed
