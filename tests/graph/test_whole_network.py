"""Questions about a network as a whole: its architecture, and its form for graph metanetworks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingest.network import Network
from queries.architecture import architecture
from queries.metanetwork import BIAS, NEURON, metanetwork
from store.database import Database
from store.errors import NotFound


def test_architecture_of_a_chain(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    table = architecture(database, stored(random_network(6, 5, 4, 3)))
    assert table.columns == ("paths", "effective_depth", "effective_width")
    assert table.rows == [[1, 3.0, pytest.approx(1 / 3)]]
    with pytest.raises(NotFound):
        architecture(database, "nothing")


def test_golden_counts_of_graph_metanetworks(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    """MLP 64-32-16-10: 2778 parameters, 125 nodes, 2778 edges (arXiv 2312.04501's construction)."""
    network = random_network(64, 32, 16, 10, seed=9)
    found = metanetwork(database, stored(network))
    assert found.node_kind.size == found.node_layer.size == found.node_index.size == 125
    assert found.edge_index.shape == (2, 2778)
    assert (found.node_kind == BIAS).sum() == 3
    assert sorted(found.edge_param.tolist()) == list(range(2778))
    flat = np.concatenate([tensor.array().ravel() for tensor in network.parameters])
    np.testing.assert_array_equal(found.edge_weight, flat[found.edge_param].astype(np.float64))
    # Each edge stands where its parameter does.
    sources, targets = found.edge_index
    assert (found.node_layer[targets] >= 1).all()
    neuron = found.node_kind[sources] == NEURON
    assert (found.node_layer[sources][neuron] == found.node_layer[targets][neuron] - 1).all()
    assert (found.node_layer[sources][~neuron] == found.node_layer[targets][~neuron]).all()
    first = network.dense[0]
    of_first = neuron & (found.node_layer[targets] == 1)
    matrix = np.zeros((64, 32))
    ends = found.node_index[sources[of_first]], found.node_index[targets[of_first]]
    matrix[ends] = found.edge_weight[of_first]
    np.testing.assert_array_equal(matrix, first.weights.array().T.astype(np.float64))
