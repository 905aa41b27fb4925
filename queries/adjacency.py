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
from queries.subgraph import SUBGRAPH_LINKS, TOP_SUBGRAPH_LINKS, Subgraph, selection
from queries.undirected import symmetric
from queries.weights import Edges, layer_links, layer_wires
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table


def adjacency(database: Database, layers: list[Place], *, wires: bool = False) -> csr_array:
    """Reads all links of a network in columns.

    Parameters
    ----------
    layers
        All layers, as :func:`queries.scope.places` gives them.
    wires
        Whether fixed links count too.

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
    read: list[Edges] = []
    for layer in layers:
        read.append(layer_links(database, layer))
        if wires:
            read.append(layer_wires(database, layer))
    return matrix_of(layers, read)


def matrix_of(layers: list[Place], read: Sequence[Edges]) -> csr_array:
    """Links that were read, as the matrix that :func:`adjacency` gives."""
    first = layers[0].first
    neurons = layers[-1].first + layers[-1].size - first
    sources = np.concatenate([edges.sources for edges in read]) - first
    targets = np.concatenate([edges.targets for edges in read]) - first
    weights = np.concatenate([edges.weights for edges in read])
    return csr_array(coo_array((weights, (sources, targets)), shape=(neurons, neurons)))


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
    first = layers[0].first
    neurons = layers[-1].first + layers[-1].size - first
    sources = read["sources"].astype(np.int64) - first
    targets = read["targets"].astype(np.int64) - first
    weights = np.abs(read["weights"].astype(np.float64))
    links = csr_array(coo_array((weights, (sources, targets)), shape=(neurons, neurons)))
    took = (time.perf_counter() - started) * 1000
    return symmetric(links), Table((), [], query.cypher.strip(), parameters, took_ms=took)


def measured_on_links(
    database: Database,
    network: str,
    of: Subgraph,
    columns: Sequence[str],
    measure: Callable[[csr_array], NDArray[np.float64]],
    most: int,
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

    Raises
    ------
    InvalidArgument
        If the layers have more.
    """
    layers, parameters = selection(database, network, of)
    chosen = [layer for layer in layers if layer.index in parameters["layers"]]
    size = sum(layer.size for layer in chosen)
    if size > most:
        raise InvalidArgument(
            f"These layers have {size:,} neurons, and "
            f"{most:,} at most are measured; choose fewer layers."
        )
    links, table = selected(database, layers, parameters)
    scope.unchanged(database, network, layers)
    first = layers[0].first
    values = measure(links).tolist()
    rows = [
        [layer.name, layer.index, neuron, values[layer.first - first + neuron]]
        for layer in chosen
        for neuron in range(layer.size)
    ]
    return replace(
        table,
        columns=tuple(columns),
        rows=rows[: database.row_cap],
        truncated=len(rows) > database.row_cap,
        notes=("Computed by SciPy from the links that the Cypher reads.",),
    )
