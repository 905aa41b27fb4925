"""Every family of layers: what is stored computes what the model computes, in both views."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingest.layers.build import build
from ingest.network import Network
from queries.forward import outputs
from queries.weights import tensors
from store.database import Database
from tests.graphs import GRAPHS, samples
from tests.interpreter import interpret

SAMPLES = 3
# As many as the embedding of the transformer has.
WORDS = 11


@pytest.mark.parametrize("view", ["shared", "unrolled"])
@pytest.mark.parametrize("name", GRAPHS)
def test_forward_and_export(
    database: Database, stored: Callable[[Network], str], name: str, view: str
) -> None:
    graph = GRAPHS[name]()
    network = build(graph, view)
    given = samples(graph, SAMPLES, WORDS)
    written = stored(network)
    got = outputs(database, written, given)
    expected = interpret(graph, given)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        assert np.ptp(one) > 1e-3, "a constant would agree with anything"
    back = {tensor.name: tensor.values for tensor in tensors(database, written)}
    assert list(back) == [tensor.name for tensor in graph.parameters]
    for tensor in graph.parameters:
        np.testing.assert_array_equal(back[tensor.name], tensor.array())
