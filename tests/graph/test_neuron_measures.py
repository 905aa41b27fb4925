"""The measures of Scabini & Bruno against networkx, which computes each in another way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ingest.layers.build import build
from queries import neuron_measures as measures
from queries.neuron_measures import MEASURES, neuron_measures
from queries.strength import strength
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query
from tests.graphs import convolutions
from tests.networks import dense_network

SEEDS = range(4)

NEIGHBOURS = Query(
    "neighbours_for_the_test",
    "Distinct neurons that learned links tie to each neuron, and those links.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(:Layer)-[:HAS_NEURON]->(neuron)
OPTIONAL MATCH (neuron)-[link:LINK]-(other)
RETURN neuron.id AS id, count(DISTINCT other) AS neighbours, count(link) AS links ORDER BY id
""",
    ("id", "neighbours", "links"),
)


def _matrices(seed: int) -> list[np.ndarray[Any, Any]]:
    """Random weights of three layers; of odd seeds a third are 0."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 7, size=4)
    matrices = [random.normal(size=ends).astype(np.float32) for ends in itertools.pairwise(sizes)]
    if seed % 2:
        for matrix in matrices:
            matrix[random.random(matrix.shape) < 1 / 3] = 0
    return matrices


def _graphs(matrices: list[np.ndarray[Any, Any]]) -> tuple[nx.DiGraph, nx.Graph, nx.Graph]:
    """Directed; undirected with all signs; undirected with w > 0."""
    directed, signed, positive = nx.DiGraph(), nx.Graph(), nx.Graph()
    firsts = np.cumsum([0, matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)])
    for graph in (directed, signed, positive):
        graph.add_nodes_from(range(firsts[-1]))
    for matrix, first, after in zip(matrices, firsts, firsts[1:], strict=False):
        for (source, target), weight in np.ndenumerate(matrix.astype(np.float64)):
            ends = (first + source, after + target)
            if weight:
                signed.add_edge(*ends, weight=float(weight))
            if weight > 0:
                positive.add_edge(*ends, weight=float(weight))
                directed.add_edge(*ends, weight=float(weight))
    return directed, signed, positive


def _column(database: Database, name: str, measure: str) -> list[float | None]:
    found: list[float | None] = neuron_measures(database, name).column(measure)
    return found


@pytest.fixture(params=SEEDS)
def network(request: pytest.FixtureRequest) -> list[np.ndarray[Any, Any]]:
    return _matrices(request.param)


@pytest.fixture
def name(network: list[np.ndarray[Any, Any]], stored: Callable[..., str]) -> str:
    return stored(dense_network(network))


def test_as_networkx(database: Database, name: str, network: list[np.ndarray[Any, Any]]) -> None:
    directed, signed, positive = _graphs(network)
    table = neuron_measures(database, name)
    nodes = sorted(signed)
    strengths = dict(signed.degree(weight="weight"))
    expected: dict[str, dict[int, float]] = {
        "strength": strengths,
        "average_neighbour_degree": {
            node: sum(d["weight"] * signed.degree(o) for _, o, d in signed.edges(node, data=True))
            / strengths[node]
            for node in nodes
            if strengths[node]
        },
        "bipartite_clustering": {
            node: float(np.mean(_overlaps(positive, node) or [0.0])) for node in nodes
        },
        "subgraph_centrality": nx.subgraph_centrality(positive),
        "harmonic_centrality": nx.harmonic_centrality(positive, distance="weight"),
        "maximal_cliques": {
            node: sum(node in clique for clique in nx.find_cliques(positive)) for node in nodes
        },
        "directed_betweenness": {
            node: value / ((len(nodes) - 1) * (len(nodes) - 2))
            for node, value in nx.betweenness_centrality_subset(
                directed,
                [node for node in nodes if node < network[0].shape[0]],
                [node for node in nodes if node >= len(nodes) - network[-1].shape[1]],
                weight="weight",
                normalized=False,
            ).items()
        },
    }
    for measure, values in expected.items():
        got = table.column(measure)
        assert got == pytest.approx([values.get(node) for node in nodes], rel=1e-9), measure
    logarithms = table.column("log_subgraph_centrality")
    assert [math.exp(value) for value in logarithms] == pytest.approx(
        table.column("subgraph_centrality"), rel=1e-12
    )


def _overlaps(graph: nx.Graph, node: int) -> list[float]:
    """The definition, written out: of neurons two links away, common neighbours / max degree."""
    near = set(graph[node])
    second = {far for neighbour in near for far in graph[neighbour]} - {node}
    return [len(near & set(graph[far])) / max(len(near), graph.degree(far)) for far in second]


def test_second_order_as_networkx(database: Database, stored: Callable[..., str]) -> None:
    matrices = [np.abs(matrix) + np.float32(0.1) for matrix in _matrices(0)]
    _, _, positive = _graphs(matrices)
    name = stored(dense_network(matrices))
    expected = nx.second_order_centrality(positive)
    got = _column(database, name, "second_order_centrality")
    assert got == pytest.approx([expected[node] for node in sorted(positive)], rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_current_flow_of_each_part(
    database: Database, stored: Callable[..., str], seed: int
) -> None:
    """On positive weights as networkx; with signs by the pseudo-inverse, part by part."""
    matrices = _matrices(seed)
    name = stored(dense_network(matrices))
    _, signed, _ = _graphs(matrices)
    expected: dict[int, float] = {}
    for part in nx.connected_components(signed):
        nodes = sorted(part)
        if len(nodes) < 2:
            continue
        laplacian = nx.laplacian_matrix(signed.subgraph(nodes), nodes).toarray()
        inverse = np.linalg.pinv(laplacian)
        diagonal = np.diag(inverse)
        resistances = diagonal[:, None] + diagonal[None, :] - 2 * inverse
        expected |= dict(zip(nodes, 1 / resistances.sum(axis=1), strict=True))
    got = _column(database, name, "current_flow_closeness")
    assert got == pytest.approx([expected.get(node) for node in sorted(signed)], rel=1e-6)


def test_current_flow_as_networkx(database: Database, stored: Callable[..., str]) -> None:
    matrices = [np.abs(matrix) + np.float32(0.1) for matrix in _matrices(2)]
    _, signed, _ = _graphs(matrices)
    name = stored(dense_network(matrices))
    expected = nx.current_flow_closeness_centrality(signed, weight="weight")
    assert _column(database, name, "current_flow_closeness") == pytest.approx(
        [expected[node] for node in sorted(signed)], rel=1e-9
    )


def test_some_measures_alone(database: Database, tiny: str) -> None:
    whole = neuron_measures(database, tiny)
    some = neuron_measures(database, tiny, measure=("maximal_cliques", "subgraph_centrality"))
    assert some.columns == whole.columns
    for name in MEASURES:
        if name in ("maximal_cliques", "subgraph_centrality"):
            assert some.column(name) == whole.column(name)
        else:
            assert set(some.column(name)) == {None}


def test_parallel_links_are_summed(database: Database, stored: Callable[..., str]) -> None:
    """A shared convolution's kernel elements are links between the same two neurons."""
    name = stored(build(convolutions(), "shared", allow_opaque=False))
    table = neuron_measures(database, name)
    totals = strength(database, name).column("total")
    assert table.column("strength") == pytest.approx(totals, rel=1e-12, abs=1e-12)
    neighbours = database.read(NEIGHBOURS, network=name).column("neighbours")
    # Less than its links: several of them lead to the same neuron.
    assert max(neighbours) < max(database.read(NEIGHBOURS, network=name).column("links"))
    positive = [value or 0 for value in table.column("maximal_cliques")]
    assert all(
        1 <= cliques <= max(1, few) for cliques, few in zip(positive, neighbours, strict=True)
    )


def test_refusals(database: Database, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="measure cannot be 'centrality': choose from stren"):
        neuron_measures(database, tiny, measure=("centrality",))  # type: ignore[arg-type]
    monkeypatch.setattr(measures, "MOST_NEURONS", 6)
    with pytest.raises(InvalidArgument, match="'tiny' has 7 neurons, and 6 at most are measured"):
        neuron_measures(database, tiny, measure=("strength",))
