"""A network as the undirected graph of all its neurons, as Scabini & Bruno measure it.

The measures here are functions of a sparse matrix, without a database: dense linear algebra that
neither Cypher nor Graph Data Science offers (inverses, matrix exponentials, all distances).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.sparse.linalg import eigsh

Array = NDArray[np.float64]

# Below this a dense solver is as fast, and needs no iteration.
_SMALL = 200


def symmetric(links: csr_array) -> csr_array:
    """The signed undirected graph of directed links: parallel and opposite ones are summed.

    Links from a neuron to itself and those of weight 0 are no part of it.

    Parameters
    ----------
    links
        Neurons x neurons, as :func:`queries.adjacency.adjacency` reads it.

    Returns
    -------
    scipy.sparse.csr_array
        Symmetric, with an empty diagonal.

    Example
    -------
    >>> symmetric(csr_array([[0, -2.0], [0, 1.0]])).toarray()
    array([[ 0., -2.],
           [-2.,  0.]])
    """
    both = (links + links.T).tocoo()
    rows, columns = both.coords
    wanted = (rows != columns) & (both.data != 0)
    return csr_array(
        (both.data[wanted], (rows[wanted], columns[wanted])), shape=both.shape, dtype=np.float64
    )


def positive(graph: csr_array) -> csr_array:
    """The part of a graph with w > 0, called G+ in the paper."""
    part = graph.tocoo()
    rows, columns = part.coords
    wanted = part.data > 0
    return csr_array((part.data[wanted], (rows[wanted], columns[wanted])), shape=part.shape)


def degrees(graph: csr_array) -> Array:
    """Number of links of each neuron."""
    return np.diff(graph.indptr).astype(np.float64)


def average_neighbour_degree(graph: csr_array) -> Array:
    """sum_j w_ij k_j / s_i with the unweighted degree k; NaN where the strength s_i is 0."""
    strengths = graph.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = graph @ degrees(graph) / strengths
    return np.where(strengths == 0, np.nan, means)


def current_flow_closeness(graph: csr_array) -> Array:
    """1 / sum_u R_vu, R the effective resistance in the signed Laplacian D_s - A.

    Each connected part is a circuit of its own; NaN where a part is one neuron, or where signs
    make its Laplacian singular.
    """
    found = np.full(graph.shape[0], np.nan)
    count, part_of = connected_components(graph, directed=False)
    for part in range(count):
        members = np.flatnonzero(part_of == part)
        size = len(members)
        if size < 2:
            continue
        weights = graph[members][:, members].toarray()
        laplacian = np.diag(weights.sum(axis=1)) - weights
        # Grounding one neuron takes the constant vector out of the kernel.
        inverse = np.zeros((size, size))
        try:
            inverse[1:, 1:] = np.linalg.inv(laplacian[1:, 1:])
        except np.linalg.LinAlgError:
            continue
        resistances = size * np.diag(inverse) + np.trace(inverse) - 2 * inverse.sum(axis=1)
        found[members] = 1 / resistances
    return found


def bipartite_clustering(graph: csr_array) -> Array:
    """Mean over neurons u at distance two of common neighbours / max of both degrees; or 0."""
    linked = graph.astype(bool).astype(np.float64)
    degree = degrees(graph)
    common = (linked @ linked).tocoo()
    rows, columns = common.coords
    wanted = rows != columns
    rows, columns, shared = rows[wanted], columns[wanted], common.data[wanted]
    overlap = shared / np.maximum(degree[rows], degree[columns])
    size = graph.shape[0]
    total = np.bincount(rows, overlap, minlength=size)
    neighbours = np.bincount(rows, minlength=size)
    return total / np.maximum(neighbours, 1)


def log_subgraph_centrality(graph: csr_array) -> Array:
    """Natural logarithm of (e^B)_ii, B the 0/1 adjacency."""
    values, vectors = np.linalg.eigh(graph.astype(bool).toarray().astype(np.float64))
    greatest = values[-1]
    logarithms: Array = greatest + np.log(vectors**2 @ np.exp(values - greatest))
    return logarithms


def harmonic_centrality(graph: csr_array) -> Array:
    """sum over u != v of 1 / d(u, v), the length of a link its weight (> 0)."""
    distances = shortest_path(graph, directed=False)
    np.fill_diagonal(distances, np.inf)
    sums: Array = (1 / distances).sum(axis=1)
    return sums


def second_order_centrality(graph: csr_array) -> Array:
    """Standard deviation of the return times of a random walk that every neuron holds up as long.

    P = A / s_max with self-loops 1 - s_i / s_max, Z = (I - P + J/n)^-1,
    sqrt(2 n^2 z_ii - n (n + 1)). NaN where not all neurons are connected: then it never returns.
    """
    size = graph.shape[0]
    if size == 0 or connected_components(graph, directed=False)[0] > 1:
        return np.full(size, np.nan)
    strengths = graph.sum(axis=1)
    greatest = strengths.max() if size > 1 else 1.0
    walk = graph.toarray() / greatest
    np.fill_diagonal(walk, 1 - strengths / greatest)
    fundamental = np.linalg.inv(np.eye(size) - walk + 1 / size)
    variances = 2 * size**2 * np.diag(fundamental) - size * (size + 1)
    return np.asarray(np.sqrt(np.maximum(variances, 0)), dtype=np.float64)


def maximal_cliques(graph: csr_array) -> Array:
    """Number of maximal cliques that hold each neuron; NaN where the graph has triangles.

    Without triangles each link is one, and so is a neuron without links.
    """
    linked = graph.astype(bool).astype(np.float64)
    if (linked @ linked).multiply(linked).nnz:
        return np.full(graph.shape[0], np.nan)
    return np.maximum(degrees(graph), 1)


def square_clustering(graph: csr_array) -> Array:
    """Fraction of the squares that may be at each neuron which are there; 0 with one neighbour.

    Over pairs u, w of v's neighbours: q common neighbours beside v, and a = (k_u - 1 - q - t) +
    (k_w - 1 - q - t) that might be, where t tells whether u and w are linked; sum q / sum (a + q).
    """
    linked = graph.astype(bool).toarray().astype(np.float64)
    degree = degrees(graph)
    common = linked @ linked
    # Sums over ordered pairs u != w of neighbours of v, as quadratic forms of v's row.
    pairs = degree * (degree - 1)
    np.fill_diagonal(common, 0)
    squares = ((linked @ common) * linked).sum(axis=1) - pairs
    triangles = ((linked @ linked) * linked).sum(axis=1)
    ends = 2 * (degree - 1) * (linked @ degree)
    possible = ends - 2 * pairs - 2 * squares - 2 * triangles + squares
    found: Array = np.divide(squares, possible, out=np.zeros_like(degree), where=possible > 0)
    return found


def leading_eigenvector(graph: csr_array) -> Array:
    """Eigenvector of the greatest eigenvalue, of length 1 and not negative; 0 without links."""
    size = graph.shape[0]
    if graph.nnz == 0:
        return np.zeros(size)
    weights = graph.astype(np.float64)
    if size <= _SMALL:
        vector = np.linalg.eigh(weights.toarray())[1][:, -1]
    else:
        # Always from the same start, so that the answer is always the same.
        vector = eigsh(weights, k=1, which="LA", v0=np.ones(size))[1][:, 0]
    return np.asarray(np.abs(vector), dtype=np.float64)
