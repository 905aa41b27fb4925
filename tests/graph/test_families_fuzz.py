"""Random networks: what is stored computes what the model computes, in both views."""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.check import check_finite
from ingest.layers.build import VIEWS, build
from ingest.network import DenseLinks, LinkBlock, Network
from ingest.operations import OperationGraph
from ingest.removal import delete
from ingest.writer import write
from queries.forward import outputs
from queries.weights import tensors
from store.database import Database
from store.errors import ShapeMismatch, UnsupportedOperation
from store.query import Query
from tests.broken_graphs import broken
from tests.graphs import samples
from tests.interpreter import interpret
from tests.memory_store import MemoryStore
from tests.random_choices import VOCABULARY
from tests.random_graphs import random_graph

IDENTITY = Query(
    "identity", "Id of a network.",
    "MATCH (network:Network {name: $name}) RETURN network.id AS id", ("id",),
)  # fmt: skip
FIRST_NEURON = Query(
    "first_neuron", "Id of the first neuron of a network.",
    "MATCH (layer:Layer {network: $id, index: 0}) RETURN layer.first AS first", ("first",),
)  # fmt: skip
COUNTS = Query(
    "counts",
    "What a network holds.",
    """
MATCH (:Network {id: $id})-[:HAS_LAYER]->(layer:Layer)
WITH collect(layer) AS layers
UNWIND layers AS layer
MATCH (layer)-[:HAS_NEURON]->(neuron:Neuron)
RETURN size(layers) AS layers, count(neuron) AS neurons,
       sum(COUNT { (neuron)<-[:LINK]-() }) AS links, sum(COUNT { (neuron)<-[:WIRE]-() }) AS wires
""",
    ("layers", "neurons", "links", "wires"),
)
REMAINS = Query(
    "remains",
    "What is left of a network.",
    """
RETURN COUNT { (node) WHERE node.network = $id OR (node:Network AND node.id = $id) } AS others,
       COUNT { (neuron:Neuron) WHERE $first <= neuron.id < $end } AS neurons
""",
    ("others", "neurons"),
)

SAMPLES = 2
TOLERANCE = 1e-8


def agrees(graph: OperationGraph, view: str) -> str:
    """Builds a network and asks a store of it; says why where there is nothing to ask."""
    given = samples(graph, SAMPLES, VOCABULARY)
    with np.errstate(all="ignore"):
        expected = interpret(graph, given)
    if not all(np.isfinite(values).all() for values in expected):
        return "not finite"
    try:
        network = build(graph, view)
    except UnsupportedOperation as error:
        assert "no layer with learned links" in str(error)
        return "nothing learned"
    check_finite(network)
    consistent(network)
    same_as(Database(MemoryStore(network)), "any", graph, given, expected)
    return ""


def same_as(
    database: Database,
    name: str,
    graph: OperationGraph,
    given: dict[str, NDArray[np.float64]],
    expected: list[NDArray[Any]],
) -> None:
    """The outputs and the tensors of a stored network are those of the graph."""
    got = outputs(database, name, given)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, float(np.abs(other).max(initial=0.0)))
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale)
    back = list(tensors(database, name))
    assert [each.name for each in back] == [each.name for each in graph.parameters]
    for tensor, found in zip(graph.parameters, back, strict=True):
        assert found.values.shape == tensor.shape
        np.testing.assert_array_equal(found.values, tensor.array())
        assert found.values.dtype.kind == tensor.array().dtype.kind


def consistent(network: Network) -> None:
    """Counts are those promised, ends lie in their layers, no two links are the same."""
    names = [layer.name for layer in network.layers]
    assert len(set(names)) == len(names)
    ends = [*network.firsts[1:], network.neuron_count]
    counted = {True: 0, False: 0}
    made: dict[tuple[int, bool], list[LinkBlock]] = {}
    for links in network.links:
        if isinstance(links, DenseLinks):
            assert links.sources == network.layers[links.source].size
            assert links.targets == network.layers[links.target].size
            counted[True] += links.count
            continue
        blocks = list(links.blocks())
        assert sum(block.count for block in blocks) == links.count > 0
        counted[links.learned] += links.count
        made.setdefault((links.target, links.learned), []).extend(blocks)
    assert (counted[True], counted[False]) == (network.link_count, network.wire_count)
    for (target, learned), blocks in made.items():
        fed = {target, *network.layers[target].sources, *network.layers[target].recurrent_sources}
        seen = []
        for block in blocks:
            assert (
                (block.targets >= network.firsts[target]) & (block.targets < ends[target])
            ).all()
            assert {*np.searchsorted(ends, block.sources, side="right").tolist()} <= fed
            assert (block.params is not None) == learned
            positions = (
                np.zeros(block.count, dtype=np.int64)
                if block.positions is None
                else block.positions
            )
            seen.append(np.stack([block.sources, block.targets, positions]))
        whole = np.concatenate(seen, axis=1)
        assert np.unique(whole, axis=1).shape == whole.shape, (names[target], learned)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_random_network_means_itself(random: Random) -> None:
    graph = random_graph(random)
    for view in VIEWS:
        agrees(graph, view)


# A run of these found each mistake that was in the families when they were written.
@pytest.mark.parametrize("first", range(0, 200, 100))
def test_many_random_networks(first: int) -> None:
    told = [agrees(random_graph(Random(seed)), view) for seed in range(first, first + 100)
            for view in VIEWS]  # fmt: skip
    assert told.count("") > 190, "most of them can be asked"


def test_a_network_that_does_not_fit_is_refused_in_a_sentence_or_means_itself() -> None:
    refused = 0
    for seed in range(400):
        random = Random(seed)
        graph = broken(random_graph(random), random)
        try:
            network = build(graph, random.choice(VIEWS))
        except (ShapeMismatch, UnsupportedOperation) as error:
            assert str(error).count(". ") == 0
            refused += 1
        else:
            consistent(network)
    assert 200 < refused < 390


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("seed", [3, 38, 164, 2440, 5002])
def test_a_stored_network_means_itself(database: Database, seed: int, view: str) -> None:
    graph = random_graph(Random(seed))
    network = build(graph, view)
    name = f"fuzz-{seed}-{view}-{uuid4()}"
    report = write(database, network, name=name)
    assert (report.links, report.wires) == (network.link_count, network.wire_count)
    given = samples(graph, SAMPLES, VOCABULARY)
    same_as(database, name, graph, given, interpret(graph, given))
    identity = database.read(IDENTITY, name=name).rows[0][0]
    assert database.read(COUNTS, id=identity).rows == [
        [len(network.layers), network.neuron_count, network.link_count, network.wire_count]
    ]
    first = database.read(FIRST_NEURON, id=identity).rows[0][0]
    delete(database, name)
    ends = {"id": identity, "first": first, "end": first + network.neuron_count}
    assert database.read(REMAINS, **ends).rows == [[0, 0]]
