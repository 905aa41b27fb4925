"""The links of a network as one sparse matrix, for measures that want linear algebra."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array

from queries.scope import Place
from queries.weights import Edges, layer_links, layer_wires
from store.database import Database


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
    first = layers[0].first
    neurons = layers[-1].first + layers[-1].size - first
    sources = np.concatenate([edges.sources for edges in read]) - first
    targets = np.concatenate([edges.targets for edges in read]) - first
    weights = np.concatenate([edges.weights for edges in read])
    return csr_array(coo_array((weights, (sources, targets)), shape=(neurons, neurons)))
