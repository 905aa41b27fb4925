"""The links of a network as one sparse matrix, for measures that want linear algebra."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from queries import scope
from queries.scope import Place
from queries.subgraph import (
    SUBGRAPH_LINKS,
    TOP_SUBGRAPH_LINKS,
    Subgraph,
    notes_on,
    refuse_large_columns,
    selection,
)
from queries.undirected import symmetric
from queries.weights import Edges, layer_links
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def adjacency(database: Database, layers: list[Place]) -> csr_array:
    """Reads all learned links of a network in columns.

    Parameters
    ----------
    layers
        All layers, as :func:`queries.scope.places` gives them.

    Returns
    -------
    scipy.sparse.csr_array
        float64, neurons x neurons: signed weight from row to column; of links between the same
        two neurons the sum. Row and column are ``id - layers[0].first``. A link of weight 0 is
        stored as an explicit 0.

    Example
    -------
    >>> adjacency(database, scope.places(database, "tiny")).shape      # doctest: +SKIP
    (7, 7)
    """
    return matrix_of(layers, [layer_links(database, layer) for layer in layers])


def matrix_of(layers: list[Place], read: Sequence[Edges]) -> csr_array:
    """Links that were read, as the matrix that :func:`adjacency` gives."""
    return _matrix(
        layers,
        np.concatenate([edges.sources for edges in read]),
        np.concatenate([edges.targets for edges in read]),
        np.concatenate([edges.weights for edges in read]),
    )


def _matrix(layers: list[Place], sources: Ints, targets: Ints, weights: Array) -> csr_array:
    whole = scope.whole(layers)
    ends = (sources - whole["first"], targets - whole["first"])
    return csr_array(coo_array((weights, ends), shape=(whole["size"], whole["size"])))


def selected(
    database: Database, layers: list[Place], parameters: Mapping[str, Any]
) -> tuple[csr_array, Table]:
    """The links of a subgraph as an undirected graph of all neurons.

    Parameters
    ----------
    layers, parameters
        As :func:`queries.subgraph.selection` gives them.

    Returns
    -------
    tuple of scipy.sparse.csr_array and Table
        Symmetric, with the magnitudes summed; and the Cypher that read them.
    """
    query = TOP_SUBGRAPH_LINKS if "top" in parameters else SUBGRAPH_LINKS
    started = time.perf_counter()
    read = database.columns(query, **parameters)
    links = _matrix(
        layers,
        read["sources"].astype(np.int64),
        read["targets"].astype(np.int64),
        np.abs(read["weights"].astype(np.float64)),
    )
    took = (time.perf_counter() - started) * 1000
    return symmetric(links), Table((), [], query.cypher.strip(), parameters, took_ms=took)


def measured_on_links(
    database: Database,
    network: str,
    of: Subgraph,
    columns: Sequence[str],
    measure: Callable[[csr_array], Array],
    *,
    most: int,
    needed: Callable[[int], int],
    notes: tuple[str, ...] = (),
) -> Table:
    """A measure of every neuron of a subgraph, computed from its links alone.

    Parameters
    ----------
    columns
        ``layer``, ``layer_index``, ``neuron`` and the name of the measure.
    measure
        From the undirected graph of all neurons, with magnitudes, to a value for each.
    most
        So many neurons it can take.
    needed
        From the number of neurons to the bytes that it needs beside the links.

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If an option of the subgraph cannot be, or the layers have more neurons.
    MemoryLimitExceeded
        If the estimate is greater than the subgraph's limit.
    """
    layers, parameters = selection(database, network, of)
    refuse_large_columns(database, of, layers, parameters, needed)
    chosen = [layer for layer in layers if layer.index in parameters["layers"]]
    size = sum(layer.size for layer in chosen)
    if size > most:
        raise InvalidArgument(
            f"These layers have {size:,} neurons, and {most:,} at most are measured; choose fewer "
            "layers."
        )
    links, table = selected(database, layers, parameters)
    scope.unchanged(database, network, layers)
    values = measure(links).tolist()
    rows = [
        [layer.name, layer.index, neuron, value]
        for layer in chosen
        for neuron, value in enumerate(values[scope.span(layers, layer)])
    ]
    said = (*notes, "Computed by SciPy from the links that the Cypher reads.", *notes_on(of))
    return replace(table, columns=tuple(columns), rows=rows, notes=said).cut(database.row_cap)
