"""Centrality, communities and similarity against networkx, which knows nothing of the store."""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries import communities
from queries.centrality import (
    betweenness,
    closeness,
    eigenvector,
    harmonic,
    pagerank,
    principal_vector,
)
from queries.communities import (
    clustering,
    k_core,
    leiden,
    louvain,
    strong_components,
    weak_components,
)
from queries.similarity import embeddings, similar_neurons
from queries.subgraph import Subgraph
from queries.undirected import square_clustering
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table
from tests.networks import dense_network
from tests.oracle_graphs import Matrices, directed, random_matrices

PARTS = [Subgraph(), Subgraph(least=0.6), Subgraph(sign="positive")]


def _graph(matrices: Matrices, of: Subgraph) -> nx.DiGraph:
    positive = of.sign == "positive"
    return directed(matrices, lambda w: w != 0 and abs(w) >= of.least and (w > 0 or not positive))


@pytest.fixture(scope="module")
def names(database: Database) -> Iterator[list[str]]:
    """Names under which the matrices of the seeds 0, 1, 2 are stored, once for all tests."""
    written = [f"graph algorithms {uuid.uuid4()}" for _ in range(3)]
    for seed, name in enumerate(written):
        write(database, dense_network(random_matrices(seed)), name=name)
    yield written
    for name in written:
        delete(database, name)


@pytest.fixture(params=[(0, 0), (1, 1), (2, 2)])
def network(request: pytest.FixtureRequest, names: list[str]) -> Any:
    """The stored name, what of it counts, and the same as a networkx graph."""
    seed, part = request.param
    return names[seed], PARTS[part], _graph(random_matrices(seed), PARTS[part])


def _values(table: Table, column: str = "value") -> list[Any]:
    return table.column(column)


def _listed(graph: nx.Graph, values: dict[int, float]) -> Any:
    return pytest.approx([values[node] for node in sorted(graph)], rel=1e-6, abs=1e-9)


def test_pagerank(database: Database, network: Any) -> None:
    name, of, graph = network
    for weighted, weight in ((True, "magnitude"), (False, None)):
        for damping in (0.85, 0.5):
            expected = nx.pagerank(graph, alpha=damping, tol=1e-13, max_iter=1000, weight=weight)
            table = pagerank(database, name, of=of, damping=damping, weighted=weighted)
            assert _values(table) == _listed(graph, expected)


def test_betweenness(database: Database, network: Any) -> None:
    name, of, graph = network
    for undirected, seen in ((False, graph), (True, graph.to_undirected())):
        for weighted, weight in ((True, "cost"), (False, None)):
            expected = nx.betweenness_centrality(seen, normalized=False, weight=weight)
            table = betweenness(database, name, of=of, weighted=weighted, undirected=undirected)
            assert _values(table) == _listed(graph, expected), (undirected, weighted)


def test_closeness(database: Database, network: Any) -> None:
    name, of, graph = network
    for is_directed, seen in ((True, graph), (False, graph.to_undirected())):
        for improved in (False, True):
            expected = nx.closeness_centrality(seen, wf_improved=improved)
            table = closeness(database, name, of=of, improved=improved, directed=is_directed)
            assert _values(table) == _listed(graph, expected), (is_directed, improved)


def test_harmonic(database: Database, network: Any) -> None:
    name, of, graph = network
    for is_directed, seen in ((True, graph), (False, graph.to_undirected())):
        expected = {
            node: value / (len(graph) - 1) for node, value in nx.harmonic_centrality(seen).items()
        }
        table = harmonic(database, name, of=of, directed=is_directed)
        assert _values(table) == _listed(graph, expected), is_directed


@pytest.mark.parametrize("weighted", [True, False])
def test_eigenvector(database: Database, names: list[str], weighted: bool) -> None:
    graph = directed(random_matrices(0)).to_undirected()
    weights = nx.to_numpy_array(
        graph, nodelist=sorted(graph), weight="magnitude" if weighted else None
    )
    values, vectors = np.linalg.eigh(weights)
    leading = np.abs(vectors[:, values.argmax()])
    got = _values(eigenvector(database, names[0], weighted=weighted))
    assert got == pytest.approx(leading.tolist(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("other", [1.0, 0.5], ids=["equal parts", "one is weaker"])
def test_eigenvector_of_separate_parts(
    database: Database, stored: Callable[..., str], other: float
) -> None:
    one, none = np.array([[2, 1, 3]], dtype=np.float32), np.zeros((1, 3), dtype=np.float32)
    matrix = np.block([[one, none], [none, other * one]])
    name = stored(dense_network([matrix]))
    graph = directed([matrix]).to_undirected()
    expected = nx.eigenvector_centrality(graph, max_iter=10_000, tol=1e-13, weight="magnitude")
    got = _values(eigenvector(database, name))
    assert got == pytest.approx([expected[node] for node in sorted(graph)], abs=1e-7)
    assert np.count_nonzero(got) == (8 if other == 1 else 4)


def test_eigenvector_beyond_dense_matrices() -> None:
    random = np.random.default_rng(3)
    half = np.abs(random.normal(size=(150, 120)))
    graph = np.block([[np.zeros((150, 150)), half], [half.T, np.zeros((120, 120))]])
    leading = np.abs(np.linalg.eigh(graph)[1][:, -1])
    assert principal_vector(csr_array(graph)) == pytest.approx(leading, abs=1e-9)


def _parts(table: Table) -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for neuron, community in enumerate(table.column("community")):
        found.setdefault(community, set()).add(neuron)
    assert sorted(found) == list(range(len(found)))
    assert list(found) == sorted(found), "numbered as they come"
    return list(found.values())


def test_components(database: Database, network: Any) -> None:
    name, of, graph = network
    weak = sorted(nx.weakly_connected_components(graph), key=min)
    assert _parts(weak_components(database, name, of=of)) == weak
    assert _parts(strong_components(database, name, of=of)) == [{node} for node in sorted(graph)]


@pytest.mark.parametrize("find", [louvain, leiden])
@pytest.mark.parametrize("weighted", [True, False])
def test_communities(
    database: Database, network: Any, find: Callable[..., Table], weighted: bool
) -> None:
    name, of, graph = network
    seen, weight = graph.to_undirected(), "magnitude" if weighted else None
    table = find(database, name, of=of, weighted=weighted)
    found = _parts(table)
    assert set().union(*found) == set(graph)
    got = nx.community.modularity(seen, found, weight=weight)
    assert _modularity(table) == pytest.approx(got, rel=1e-5, abs=1e-9)
    # The kept answer would be the same in any case.
    assert inspect.unwrap(find)(database, name, of=of, weighted=weighted).rows == table.rows
    if find is leiden:
        whole = nx.community.modularity(seen, [set(graph)], weight=weight)
        theirs = nx.community.louvain_communities(seen, weight=weight, seed=1)
        best = nx.community.modularity(seen, theirs, weight=weight)
        assert got >= max(whole, 0.85 * best)


def _modularity(table: Table) -> float:
    found = re.search(
        r"The modularity of these .* is (\S+)\.$", "\n".join(table.notes), re.MULTILINE
    )
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("resolution", [0.5, 2.0])
def test_resolution(database: Database, names: list[str], resolution: float) -> None:
    table = leiden(database, names[0], resolution=resolution)
    graph = directed(random_matrices(0)).to_undirected()
    got = nx.community.modularity(graph, _parts(table), weight="magnitude", resolution=resolution)
    assert _modularity(table) == pytest.approx(got, rel=1e-5, abs=1e-9)
    assert f" communities at resolution {resolution:g} is " in "\n".join(table.notes)


def test_only_the_seed_of_leiden_changes_its_answer(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    """Not the order in which a copy of the network lies in the store."""
    copies = [stored(random_network(30, 30, 20)) for _ in range(2)]

    def ask(name: str, seed: int) -> list[Any]:
        # The kept answer would be the same in any case.
        table = inspect.unwrap(leiden)(
            database, name, of=Subgraph(least=1.0), weighted=False, seed=seed
        )
        return list(table.column("community"))

    # Two seeds may agree by chance, six do not.
    first, second = ([ask(name, seed) for seed in range(6)] for name in copies)
    assert first == second
    assert any(answer != first[0] for answer in first)


@pytest.mark.parametrize("options", [{"of": Subgraph(least=99.0)}, {"resolution": 1e4}], ids=str)
@pytest.mark.parametrize("weighted", [True, False])
def test_leiden_may_leave_each_neuron_alone(
    database: Database, names: list[str], options: dict[str, Any], weighted: bool
) -> None:
    """Graph Data Science 2.26 fails with a NullPointerException when that is streamed."""
    table = leiden(database, names[0], weighted=weighted, **options)
    neurons = directed(random_matrices(0)).number_of_nodes()
    assert table.column("community") == list(range(neurons))
    assert "gds.leiden.stats" in table.cypher
    assert ("modularity" in "".join(table.notes)) == ("resolution" in options)
    few = inspect.unwrap(leiden)(database.limited(row_cap=2), names[0], **options)
    assert (len(few.rows), few.truncated) == (2, True)


def test_two_halves_are_two_communities(database: Database, stored: Callable[..., str]) -> None:
    half, none = np.ones((4, 4), dtype=np.float32), np.zeros((4, 4), dtype=np.float32)
    matrix = np.block([[half, none], [none, half]])
    name = stored(dense_network([matrix, matrix]))
    expected = [0] * 4 + [1] * 4
    for find in (louvain, leiden, weak_components):
        assert find(database, name).column("community") == expected * 3


def test_k_core(database: Database, network: Any) -> None:
    name, of, graph = network
    expected = nx.core_number(graph.to_undirected())
    assert k_core(database, name, of=of).column("core") == [expected[n] for n in sorted(graph)]


def test_square_clustering(database: Database, network: Any) -> None:
    name, of, graph = network
    expected = nx.square_clustering(graph.to_undirected())
    assert clustering(database, name, of=of).column("clustering") == _listed(graph, expected)


def test_square_clustering_takes_no_more_neurons_than_have_links(
    database: Database, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its matrices are dense: those of a few layers of a large network must be small."""
    sizes = []

    def record(links: csr_array) -> Any:
        sizes.append(links.shape[0])
        return square_clustering(links)

    monkeypatch.setattr(communities, "square_clustering", record)
    of = Subgraph(layers=("fc1", "fc2"))
    got = inspect.unwrap(clustering)(database, names[0], of=of).column("clustering")
    matrix = random_matrices(0)[1]
    assert sizes == [sum(matrix.shape)]
    expected = nx.square_clustering(directed([matrix]).to_undirected())
    assert got == pytest.approx([expected[node] for node in sorted(expected)])


def test_similar_neurons(database: Database, network: Any) -> None:
    name, of, graph = network
    for weighted in (True, False):
        table = similar_neurons(database, name, of=of, k=100, weighted=weighted)
        firsts = _firsts(database, name)
        got = {(firsts[row[0]] + row[2], firsts[row[3]] + row[4]): row[5] for row in table.rows}
        expected = {}
        for one in graph:
            for other in graph:
                value = _jaccard(graph, one, other, weighted)
                if one != other and value > 0:
                    expected[one, other] = value
        assert got == pytest.approx(expected, rel=1e-6)


def _jaccard(graph: nx.DiGraph, one: int, other: int, weighted: bool) -> float:
    reached = set(graph[one]) | set(graph[other])

    def size(node: int, target: int) -> float:
        if not graph.has_edge(node, target):
            return 0.0
        return float(graph[node][target]["magnitude"]) if weighted else 1.0

    lesser = sum(min(size(one, target), size(other, target)) for target in reached)
    greater = sum(max(size(one, target), size(other, target)) for target in reached)
    return lesser / greater if greater else 0.0


def _firsts(database: Database, name: str) -> dict[str, int]:
    from queries import scope

    layers = scope.places(database, name)
    return {layer.name: layer.first - layers[0].first for layer in layers}


def test_embeddings(database: Database, stored: Callable[..., str]) -> None:
    half, none = np.ones((4, 4), dtype=np.float32), np.zeros((4, 4), dtype=np.float32)
    matrix = np.block([[half, none], [none, half]])
    name = stored(dense_network([matrix, matrix]))
    table = embeddings(database, name, dimension=32)
    vectors = np.array(table.column("embedding"))
    assert vectors.shape == (24, 32)
    layer = np.array(table.column("layer_index"))
    for each in range(3):
        of_layer = vectors[layer == each]
        # Neurons with the same neighbours have the same vector.
        assert np.abs(of_layer[:4] - of_layer[0]).max() < 1e-6
        assert np.abs(of_layer[0] - of_layer[4]).max() > 1e-3
    # The kept answer would be the same in any case.
    again = inspect.unwrap(embeddings)(database, name, dimension=32, seed=0)
    np.testing.assert_array_equal(np.array(again.column("embedding")), vectors)
    other = np.array(embeddings(database, name, dimension=32, seed=1).column("embedding"))
    assert np.abs(other - vectors).max() > 1e-3


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda db, n: pagerank(db, n, damping=1.0), "damping cannot be 1.0: give a number from 0"),
        (lambda db, n: pagerank(db, n, iterations=0), "iterations cannot be 0"),
        (lambda db, n: leiden(db, n, resolution=0.0), "resolution cannot be 0.0: give a number"),
        (lambda db, n: similar_neurons(db, n, cutoff=0.0), "cutoff cannot be 0.0: give a number"),
        (lambda db, n: similar_neurons(db, n, k=0), "k cannot be 0"),
        (lambda db, n: embeddings(db, n, dimension=0), "dimension cannot be 0"),
    ],
)
def test_bad_options(
    database: Database, names: list[str], ask: Callable[[Database, str], Table], sentence: str
) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        ask(database, names[0])


def test_square_clustering_is_bounded(
    database: Database, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(random_matrices(0)[0].shape)
    monkeypatch.setattr(communities, "MOST_NEURONS", size - 1)
    sentence = f"These layers have {size} neurons, and {size - 1} at most"
    with pytest.raises(InvalidArgument, match=sentence):
        clustering(database, names[0], of=Subgraph(layers=("input", "fc1")))
