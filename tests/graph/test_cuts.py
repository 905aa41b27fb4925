"""Minimum cuts against networkx, against brute force, and as what they say they are."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest

from ingest.layers.build import build
from queries import scope
from queries.cuts import minimum_cut
from store.database import Database
from store.errors import InvalidArgument
from tests.graph.test_path_mass import _everything
from tests.graphs import GRAPHS
from tests.networks import dense_network
from tests.oracle_graphs import directed, random_matrices


def _between(graph: nx.DiGraph, sources: list[int], targets: list[int]) -> nx.DiGraph:
    """With one node before all sources, and one behind all targets."""
    whole = graph.copy()
    whole.add_edges_from(("begin", node) for node in sources)
    whole.add_edges_from((node, "goal") for node in targets)
    return whole


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("source", "target"),
    [("input", "fc3"), ("input/0", "fc3"), ("fc1", "fc3/0"), ("input/0-1", "fc3/0-1")],
)
def test_as_networkx(
    database: Database, stored: Callable[..., str], seed: int, source: str, target: str
) -> None:
    matrices = random_matrices(seed)
    name = stored(dense_network(matrices))
    layers = scope.places(database, name)
    ends = [
        [neuron - layers[0].first for neuron in scope.neurons(layers, each).ids]
        for each in (source, target)
    ]
    graph = _between(directed(matrices), *ends)
    expected = nx.minimum_cut_value(graph, "begin", "goal", capacity="magnitude")
    table = minimum_cut(database, name, source, target)
    assert sum(table.column("capacity")) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if table.rows:
        assert table.notes[0].startswith("The cut is")
        assert len(table.notes) == 2, "the flow is as large as the cut"
    assert [abs(weight) for weight in table.column("weight")] == table.column("capacity")
    # Without the links that are cut no path is left.
    firsts = {layer.name: layer.first - layers[0].first for layer in layers}
    for row in table.records():
        one, other = (
            firsts[place.split("/")[0]] + int(place.split("/")[1])
            for place in (row["source"], row["target"])
        )
        graph.remove_edge(one, other)
    assert not nx.has_path(graph, "begin", "goal")


def test_by_brute_force(database: Database, stored: Callable[..., str]) -> None:
    matrices = [
        np.array([[1, -2], [3, 0.5]], dtype=np.float32),
        np.array([[2, 1], [-1, 4]], dtype=np.float32),
    ]
    name = stored(dense_network(matrices))
    graph = _between(directed(matrices), [0], [4])
    links = list(directed(matrices).edges)
    best = min(
        sum(graph[a][b]["magnitude"] for a, b in removed)
        for count in range(len(links) + 1)
        for removed in itertools.combinations(links, count)
        if not nx.has_path(nx.restricted_view(graph, [], removed), "begin", "goal")
    )
    table = minimum_cut(database, name, "input/0", "fc2/0")
    assert sum(table.column("capacity")) == best == 2.0


def test_parallel_links_and_wires_are_cut_together(
    database: Database, stored: Callable[..., str]
) -> None:
    name = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    layers = scope.places(database, name)
    graph = nx.DiGraph()
    for a, b, weight in _everything(database, name, wires=True).edges(data="weight"):
        before = graph[a][b]["magnitude"] if graph.has_edge(a, b) else 0.0
        graph.add_edge(a, b, magnitude=before + abs(weight))
    first, last = layers[0], layers[-1]
    whole = _between(
        graph,
        list(range(first.first, first.first + first.size)),
        list(range(last.first, last.first + last.size)),
    )
    expected = nx.minimum_cut_value(whole, "begin", "goal", capacity="magnitude")
    table = minimum_cut(database, name, first.name, last.name)
    assert sum(table.column("capacity")) == pytest.approx(expected, rel=1e-9)


def test_nothing_to_cut(database: Database, tiny: str, stored: Callable[..., str]) -> None:
    assert minimum_cut(database, tiny, "fc2", "input").rows == []
    name = stored(dense_network([np.zeros((2, 2), dtype=np.float32)] * 2))
    assert minimum_cut(database, name, "input", "fc2").rows == []
    with pytest.raises(InvalidArgument, match="stays in one layer"):
        minimum_cut(database, tiny, "fc1/0", "fc1/1")
