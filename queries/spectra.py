"""Singular values of each layer's weights."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from queries import scope
from queries.question import question
from queries.scope import Place
from queries.stored import OUTPUTS_OF_NETWORK
from queries.weights import LINKS_INTO_LAYER, Edges, layer_links
from store.database import Database
from store.query import Table

Array = NDArray[np.float64]

COLUMNS: Final = (
    "layer", "layer_index", "rows", "columns", "frobenius_norm", "spectral_norm", "stable_rank",
    "effective_rank", "rank",
)  # fmt: skip

LARGEST: Final = 16_000_000
"""Entries of a larger matrix are not laid out: of its singular values the greatest is found."""


@question(columns=COLUMNS, example={"network": "tiny"}, survives=("permutation",), kept=True)
def spectra(database: Database, network: str) -> Table:
    """Norms and ranks of each layer's weight matrix.

    Computed by NumPy and SciPy on the links, read in columns: singular values are dense linear
    algebra. The matrix holds all learned links into a layer, a row for each source and a column
    for each target neuron; of a convolution in a shared view a row for each source channel and
    place of the kernel, as is usual. A recurrent layer's matrix has its own neurons among the rows.

    Returns
    -------
    Table
        Per layer that links end in: ``layer``, ``layer_index``, ``rows``, ``columns`` (of the
        matrix), ``frobenius_norm`` and ``spectral_norm`` (>= 0, unit of the weights),
        ``stable_rank`` (squared ratio of the two, 1 up to the rank), ``effective_rank``
        (exponential of the entropy of the singular values' shares) and ``rank`` (singular values
        above rounding); the last two are None for a matrix of more than 16 million entries that
        are not all 0, the stable rank for one of zeros.

    Raises
    ------
    NotFound
        If there is no complete network of that name.

    References
    ----------
    Rudelson & Vershynin, "Sampling from large matrices", 2007: stable rank; Roy & Vetterli, "The
    effective rank", 2007.

    Example
    -------
    >>> spectra(database, "mnist").column("stable_rank")                # doctest: +SKIP
    [11.2, 9.8, 6.1]
    """
    layers = scope.places(database, network)
    started = time.perf_counter()
    unrolled = database.read(OUTPUTS_OF_NETWORK, network=network).rows[0][1] == "unrolled"
    rows: list[list[Any]] = []
    for layer in layers:
        edges = layer_links(database, layer)
        if len(edges.weights):
            rows.append(
                [layer.name, layer.index, *measures(weight_matrix(layer, edges, unrolled=unrolled))]
            )
    scope.unchanged(database, network, layers)
    return Table(
        COLUMNS,
        rows,
        LINKS_INTO_LAYER.cypher.strip(),
        scope.whole(layers),
        took_ms=(time.perf_counter() - started) * 1000,
        notes=(
            "Computed by NumPy and SciPy from the links that the Cypher reads, layer by layer.",
        ),
    ).cut(database.row_cap)


def weight_matrix(layer: Place, edges: Edges, *, unrolled: bool) -> csr_array:
    """The learned links into a layer, as a matrix of sources x targets."""
    # Several links between two neurons: in a shared view each is a place of the kernel, in an
    # unrolled one all take the same value.
    if unrolled:
        _, row = np.unique(edges.sources, return_inverse=True)
    else:
        ends = np.stack([edges.sources, edges.positions])
        _, row = np.unique(ends, axis=1, return_inverse=True)
    row = row.ravel()
    shape = (int(row.max()) + 1, layer.size)
    return csr_array((edges.weights, (row, edges.targets - layer.first)), shape=shape)


def measures(matrix: csr_array) -> list[Any]:
    """Shape, norms and ranks of a matrix.

    Example
    -------
    >>> measures(csr_array([[3.0, 0.0], [0.0, 4.0]]))[:5]
    [2, 2, 5.0, 4.0, 1.5625]
    """
    rows, columns = matrix.shape
    most = float(np.abs(matrix.data).max(initial=0.0))
    if most == 0:
        return [rows, columns, 0.0, 0.0, None, 0.0, 0]
    # Squares of weights alone may be beyond a float.
    frobenius = most * float(np.linalg.norm(matrix.data / most))
    # ARPACK takes no single row or column, which laid out is no larger than its links.
    if rows * columns > LARGEST and min(rows, columns) > 1:
        # It would begin at random, and answer in the last digits otherwise each time.
        begin = np.random.default_rng(0).normal(size=min(rows, columns))
        greatest = float(svds(matrix, k=1, return_singular_vectors=False, v0=begin)[0])
        return [rows, columns, frobenius, greatest, (frobenius / greatest) ** 2, None, None]
    values: Array = np.linalg.svd(matrix.toarray(), compute_uv=False)
    greatest = float(values[0])
    shares = values[values > 0] / values.sum()
    entropy = -float((shares * np.log(shares)).sum())
    above = int((values > greatest * max(rows, columns) * np.finfo(np.float64).eps).sum())
    stable = (frobenius / greatest) ** 2
    return [rows, columns, frobenius, greatest, stable, float(np.exp(entropy)), above]
