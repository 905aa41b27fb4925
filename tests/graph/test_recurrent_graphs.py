"""Graph algorithms where links lead back, run parallel or close triangles, against networkx."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import networkx as nx
import pytest

from ingest.layers.build import build
from ingest.removal import delete
from ingest.writer import write
from queries.centrality import betweenness, closeness, eigenvector, harmonic, pagerank
from queries.communities import clustering, k_core, leiden, strong_components, weak_components
from queries.similarity import similar_neurons
from queries.subgraph import Subgraph
from store.database import Database
from store.query import Table
from tests.graphs import GRAPHS
from tests.oracle_graphs import of_network, undirected

# Which of them have what, see `test_they_are_what_they_are_for`.
CASES = [("gru", "shared"), ("residual", "shared"), ("padded", "shared")]
OF = Subgraph(wires=True)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def case(request: pytest.FixtureRequest, database: Database) -> Iterator[Any]:
    """The stored name of a network, and its graph with all links and wires."""
    kind, view = request.param
    network = build(GRAPHS[kind](), view, allow_opaque=False)
    name = f"recurrent graphs {uuid.uuid4()}"
    write(database, network, name=name)
    yield name, of_network(network, wires=True)
    delete(database, name)


def test_they_are_what_they_are_for() -> None:
    graphs = {
        kind: of_network(build(GRAPHS[kind](), view, allow_opaque=False), wires=True)
        for kind, view in CASES
    }
    recurrent = graphs["gru"]
    assert nx.number_of_selfloops(recurrent) > 0
    assert any(recurrent.has_edge(b, a) for a, b in recurrent.edges if a != b)
    for kind in ("residual", "padded"):
        network = build(GRAPHS[kind](), "shared", allow_opaque=False)
        links = network.link_count + network.wire_count
        assert graphs[kind].number_of_edges() < links
    assert any(nx.triangles(undirected(graph)) for graph in graphs.values())


def _values(table: Table, column: str = "value") -> Any:
    return pytest.approx(table.column(column), rel=1e-6, abs=1e-9)


def _in_order(values: Mapping[int, float]) -> list[float]:
    return [values[node] for node in sorted(values)]


@pytest.mark.parametrize("weighted", [True, False])
def test_weighted_centralities(database: Database, case: Any, weighted: bool) -> None:
    name, graph = case
    weight, cost = ("magnitude", "cost") if weighted else (None, None)
    expected = nx.pagerank(graph, tol=1e-13, max_iter=5000, weight=weight)
    assert _in_order(expected) == _values(pagerank(database, name, of=OF, weighted=weighted))
    for both, seen in ((False, graph), (True, undirected(graph))):
        expected = nx.betweenness_centrality(seen, normalized=False, weight=cost)
        table = betweenness(database, name, of=OF, weighted=weighted, undirected=both)
        assert _in_order(expected) == _values(table), both


def test_eigenvector(database: Database, case: Any) -> None:
    name, graph = case
    expected = nx.eigenvector_centrality(
        undirected(graph), max_iter=100_000, tol=1e-12, weight="magnitude"
    )
    got = eigenvector(database, name, of=OF).column("value")
    assert got == pytest.approx(_in_order(expected), rel=1e-4, abs=1e-6)


def test_centralities_by_number_of_links(database: Database, case: Any) -> None:
    name, graph = case
    for is_directed, seen in ((True, graph), (False, undirected(graph))):
        near = closeness(database, name, of=OF, improved=True, directed=is_directed)
        assert _in_order(nx.closeness_centrality(seen)) == _values(near)
        others = len(graph) - 1
        expected = [value / others for value in _in_order(nx.harmonic_centrality(seen))]
        assert expected == _values(harmonic(database, name, of=OF, directed=is_directed))


def test_parts_and_cores(database: Database, case: Any) -> None:
    name, graph = case
    for ask, parts in (
        (weak_components, nx.weakly_connected_components(graph)),
        (strong_components, nx.strongly_connected_components(graph)),
    ):
        expected = {
            node: number for number, part in enumerate(sorted(parts, key=min)) for node in part
        }
        assert ask(database, name, of=OF).column("community") == _in_order(expected)
    cores = nx.core_number(undirected(graph))
    assert k_core(database, name, of=OF).column("core") == _in_order(cores)
    squares = nx.square_clustering(undirected(graph))
    assert _in_order(squares) == _values(clustering(database, name, of=OF), "clustering")


def test_leiden(database: Database, case: Any) -> None:
    name, graph = case
    table = leiden(database, name, of=OF)
    parts: dict[int, set[int]] = {}
    for node, community in enumerate(table.column("community")):
        parts.setdefault(community, set()).add(node)
    got = nx.community.modularity(undirected(graph), parts.values(), weight="magnitude")
    assert f"communities at resolution 1 is {got:.5g}"[:-1] in "\n".join(table.notes)


def test_similar_neurons(database: Database, case: Any) -> None:
    name, graph = case
    table = similar_neurons(database, name, of=OF, k=1000)
    firsts: dict[str, int] = {}
    for node, (layer, _, index) in enumerate(
        row[:3] for row in weak_components(database, name, of=OF).rows
    ):
        firsts.setdefault(layer, node - index)
    got = {(firsts[row[0]] + row[2], firsts[row[3]] + row[4]): row[5] for row in table.rows}
    expected = {
        (one, other): value
        for one in graph
        for other in graph
        if one != other and (value := _jaccard(graph, one, other)) > 0
    }
    assert got == pytest.approx(expected, rel=1e-6)


def _jaccard(graph: nx.DiGraph, one: int, other: int) -> float:
    """Sum of lesser / sum of greater magnitudes; links from a neuron to itself are none."""
    sizes = [
        {target: sent["magnitude"] for target, sent in graph[node].items() if target != node}
        for node in (one, other)
    ]
    reached = sizes[0].keys() | sizes[1].keys()
    pairs = [tuple(size.get(target, 0.0) for size in sizes) for target in reached]
    greater = sum(map(max, pairs))
    return sum(map(min, pairs)) / greater if greater else 0.0
