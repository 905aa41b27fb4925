"""Sums over paths against the enumeration of all of them, and against matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ingest.layers.build import build
from queries import scope
from queries.path_mass import attribution, bottleneck, path_mass
from queries.shortest import shortest_paths
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Query, Table
from tests import oracle
from tests.graphs import GRAPHS
from tests.networks import dense_network
from tests.oracle_graphs import directed, random_matrices

NAMES = ("input", "fc1", "fc2", "fc3")
LINKS = Query(
    "links_for_the_test",
    "All links and wires of a network.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->()-[:HAS_NEURON]->(a)-[l:LINK|WIRE]->(b)
RETURN a.id AS source, b.id AS target, l.weight AS weight, type(l) AS type
""",
    ("source", "target", "weight", "type"),
)


@pytest.fixture(params=range(4))
def network(request: pytest.FixtureRequest, stored: Callable[..., str]) -> tuple[str, list[Any]]:
    matrices = random_matrices(request.param, most=4)
    return stored(dense_network(matrices)), matrices


def _paths(matrices: list[Any], source: int | None, target: int) -> list[list[float]]:
    return [
        along
        for neurons, along in oracle.all_paths(matrices, 0, 3)
        if (source is None or neurons[0] == source) and neurons[-1] == target
    ]


def test_against_enumeration(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    table = path_mass(database, name, "input", "fc3")
    assert table.column("neuron") == [f"fc3/{n}" for n in range(matrices[-1].shape[1])]
    for neuron, row in enumerate(table.records()):
        found = _paths(matrices, None, neuron)
        assert row["paths"] == len(found)
        mass = sum(abs(math.prod(along)) for along in found)
        signed = sum(math.prod(along) for along in found)
        assert row["mass"] == pytest.approx(mass, rel=1e-12)
        assert row["signed"] == pytest.approx(signed, rel=1e-9, abs=1e-12)
        if found:
            assert row["log_mass"] == pytest.approx(math.log(mass), rel=1e-12, abs=1e-12)
        else:
            assert row["log_mass"] is None


def test_by_source_and_total_agree(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    by_target = path_mass(database, name, "input", "fc3")
    by_source = path_mass(database, name, "input", "fc3", by="source")
    total = path_mass(database, name, "input", "fc3", by="total")
    assert len(by_source.rows) == matrices[0].shape[0]
    assert total.column("neuron") == ["total"]
    for column in ("paths", "mass", "signed"):
        whole = pytest.approx(total.column(column)[0], rel=1e-9, abs=1e-12)
        assert sum(by_target.column(column)) == whole
        assert sum(by_source.column(column)) == whole


def test_a_wide_network_as_matrix_products(database: Database, stored: Callable[..., str]) -> None:
    random = np.random.default_rng(0)
    matrices = [random.normal(size=(60, 60)).astype(np.float32) for _ in range(3)]
    name = stored(dense_network(matrices))
    wide = [matrix.astype(np.float64) for matrix in matrices]
    table = path_mass(database, name, "input", "fc3")
    mass = (np.abs(wide[0]) @ np.abs(wide[1]) @ np.abs(wide[2])).sum(axis=0)
    assert table.column("log_mass") == pytest.approx(np.log(mass).tolist(), rel=1e-12)
    signed = (wide[0] @ wide[1] @ wide[2]).sum(axis=0)
    assert table.column("signed") == pytest.approx(signed.tolist(), rel=1e-9)
    assert table.column("paths") == [60.0**3] * 60


@pytest.mark.parametrize("scale", [1e8, 1e-8])
def test_a_deep_network_neither_overflows_nor_vanishes(
    database: Database, stored: Callable[..., str], scale: float
) -> None:
    depth = 60
    matrix = np.array([[1, -2], [3, 4]], dtype=np.float32) * np.float32(scale)
    name = stored(dense_network([matrix] * depth))
    row = path_mass(database, name, "input", f"fc{depth}", by="total").records()[0]
    # Python's integers know no bound: the same product without its scale.
    values = [1, 1]
    for _ in range(depth):
        values = [values[0] + 3 * values[1], 2 * values[0] + 4 * values[1]]
    expected = math.log(sum(values)) + depth * math.log(float(np.float32(scale)))
    assert row["log_mass"] == pytest.approx(expected, rel=1e-7)
    assert row["mass"] is None
    assert row["paths"] == 2.0 ** (depth + 1)


def _everything(database: Database, name: str, wires: bool) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    for source, target, weight, kind in database.read(LINKS, network=name, row_cap=100_000).rows:
        if wires or kind == "LINK":
            graph.add_edge(source, target, weight=weight)
    return graph


@pytest.mark.parametrize("wires", [True, False])
def test_shortcuts_and_parallel_links(
    database: Database, stored: Callable[..., str], wires: bool
) -> None:
    """A residual block: paths of several lengths, and several links between two neurons."""
    name = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    layers = scope.places(database, name)
    graph = _everything(database, name, wires)
    order = list(nx.topological_sort(graph))
    first, last = layers[0], layers[-1]
    sums = {node: np.zeros(3) for node in order}
    for node in range(first.first, first.first + first.size):
        sums.setdefault(node, np.zeros(3))[:] = 1
    for node in order:
        for _, target, weight in graph.out_edges(node, data="weight"):
            sums[target] = sums[target] + sums[node] * [weight != 0, abs(weight), weight]
    table = path_mass(database, name, first.name, last.name, wires=wires)
    expected = np.array(
        [sums.get(n, np.zeros(3)) for n in range(last.first, last.first + last.size)]
    )
    assert table.column("paths") == expected[:, 0].tolist()
    assert table.column("mass") == pytest.approx(expected[:, 1].tolist(), rel=1e-12)
    assert table.column("signed") == pytest.approx(expected[:, 2].tolist(), rel=1e-6, abs=1e-9)
    assert (expected[:, 0] > 0).any() == wires


def test_recurrent_layers_are_refused(database: Database, stored: Callable[..., str]) -> None:
    name = stored(build(GRAPHS["lstm"](), "shared", allow_opaque=False))
    layers = scope.places(database, name)
    with pytest.raises(InvalidArgument, match="is recurrent, so there is no end of paths"):
        path_mass(database, name, layers[0].name, layers[-1].name)


def test_attribution(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    for through, layer, chosen in (
        (("fc1/0", "fc1/1"), 1, {0, 1}),
        (("fc2/1",), 2, {1}),
        ((), 0, None),
    ):
        table = attribution(database, name, "input", "fc3/0", through=through)
        for source, row in enumerate(table.records()):
            every = [
                (neurons, math.prod(along))
                for neurons, along in oracle.all_paths(matrices, 0, 3)
                if neurons[0] == source and neurons[-1] == 0
            ]
            some = [p for neurons, p in every if chosen is None or neurons[layer] in chosen]
            total = sum(abs(product) for _, product in every)
            assert row["source"] == f"input/{source}"
            assert row["signed"] == pytest.approx(sum(some), rel=1e-9, abs=1e-12)
            assert row["mass"] == pytest.approx(sum(map(abs, some)), rel=1e-12, abs=1e-15)
            assert row["total_signed"] == pytest.approx(
                sum(product for _, product in every), rel=1e-9, abs=1e-12
            )
            assert row["total_mass"] == pytest.approx(total, rel=1e-12)
            if total:
                assert row["fraction"] == pytest.approx(row["mass"] / total, rel=1e-9)
            else:
                assert row["fraction"] is None


def test_bottleneck(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    table = bottleneck(database, name, "input", "fc3")
    best = {}
    for target in range(matrices[-1].shape[1]):
        widths = [min(map(abs, along)) for along in _paths(matrices, None, target)]
        if widths:
            best[f"fc3/{target}"] = max(widths)
    assert table.column("width") == sorted(best.values(), reverse=True)
    graph = directed(matrices)
    sizes = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    firsts = dict(zip(NAMES, np.cumsum([0, *sizes]).tolist(), strict=False))
    for row in table.records():
        assert best[row["path"][-1]] == row["width"]
        nodes = [firsts[a.split("/")[0]] + int(a.split("/")[1]) for a in row["path"]]
        along = [graph[a][b]["weight"] for a, b in itertools.pairwise(nodes)]
        assert row["weights"] == along
        assert min(map(abs, along)) == row["width"]


def test_shortest_paths(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    table = shortest_paths(database, name, "input", "fc3")
    expected = {neurons for neurons, _ in oracle.all_paths(matrices, 0, 3)}
    got = [tuple(int(each.split("/")[1]) for each in path) for path in table.column("path")]
    assert set(got) == expected
    assert len(got) == len(expected)
    assert set(table.column("hops")) <= {3}
    assert shortest_paths(database, name, "input", "fc3", most=2).rows == []


def test_between_sets(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    last = matrices[-1].shape[1] - 1
    ends = (f"fc1/0-1,{matrices[0].shape[1] - 1}", f"fc3/0,{last}")
    starts = sorted({0, 1, matrices[0].shape[1] - 1})
    found = {
        (f"fc1/{neurons[1]}", f"fc3/{neurons[-1]}", neurons[1:], tuple(along[1:]))
        for neurons, along in oracle.all_paths(matrices, 0, 3)
        if neurons[1] in starts and neurons[-1] in (0, last)
    }
    for by, names, end in (
        ("target", sorted({"fc3/0", f"fc3/{last}"}), 1),
        ("source", [f"fc1/{start}" for start in starts], 0),
    ):
        table = path_mass(database, name, *ends, by=by)  # type: ignore[arg-type]
        assert table.column("neuron") == names
        for neuron, mass in zip(names, table.column("mass"), strict=True):
            expected = sum(abs(math.prod(each[3])) for each in found if each[end] == neuron)
            assert mass == pytest.approx(expected, rel=1e-12)
    shortest = shortest_paths(database, name, *ends)
    assert sorted(map(tuple, shortest.column("path"))) == sorted(
        tuple(f"{layer}/{n}" for layer, n in zip(NAMES[1:], neurons, strict=True))
        for _, _, neurons, _ in found
    )
    widest = bottleneck(database, name, *ends)
    for row in widest.records():
        widths = [min(map(abs, each[3])) for each in found if each[1] == row["path"][-1]]
        assert row["width"] == max(widths)
    assert {row[2][-1] for row in widest.rows} == {each[1] for each in found}


def test_shortest_paths_take_the_shortcut(database: Database, stored: Callable[..., str]) -> None:
    name = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    layers = scope.places(database, name)
    graph = nx.DiGraph(_everything(database, name, wires=True))
    source, target = layers[0].first, layers[-1].first
    expected = sorted(nx.all_shortest_paths(graph, source, target))
    table = shortest_paths(database, name, f"{layers[0].name}/0", f"{layers[-1].name}/0")
    got = sorted([
        [next(each for each in layers if each.name == a.rpartition("/")[0]).first
         + int(a.rpartition("/")[2]) for a in path]
        for path in table.column("path")
    ])  # fmt: skip
    assert got == expected


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (
            lambda db: path_mass(db, "tiny", "fc1", "fc1/0"),
            InvalidArgument,
            "both ends are in 'fc1",
        ),
        (
            lambda db: path_mass(db, "tiny", "input", "fc2", by="row"),  # type: ignore[arg-type]
            InvalidArgument,
            "by cannot be",
        ),
        (lambda db: path_mass(db, "tiny", "fc9", "fc2"), NotFound, "There is no layer 'fc9'"),
        (
            lambda db: shortest_paths(db, "tiny", "input", "fc2", most=99),
            InvalidArgument,
            "most can",
        ),
        (lambda db: shortest_paths(db, "tiny", "fc1/0", "fc1"), InvalidArgument, "in one layer"),
        (
            lambda db: attribution(db, "tiny", "input", "fc2", through=("fc2/0",)),
            InvalidArgument,
            "through must name neurons of one layer between 'input' and 'fc2'",
        ),
        (
            lambda db: attribution(db, "tiny", "input", "fc2", through=("fc1/0", "input/0")),
            InvalidArgument,
            "through must name neurons of one layer",
        ),
    ],
)
def test_bad_questions(
    database: Database,
    tiny: str,
    ask: Callable[[Database], Table],
    error: type[Exception],
    sentence: str,
) -> None:
    assert tiny == "tiny"
    with pytest.raises(error, match=sentence):
        ask(database)


def test_no_way_is_no_error(database: Database, tiny: str) -> None:
    row = path_mass(database, tiny, "fc2", "input", by="total").records()[0]
    assert (row["paths"], row["mass"], row["log_mass"]) == (0, 0, None)
    assert bottleneck(database, tiny, "fc2", "input").rows == []
    assert shortest_paths(database, tiny, "fc2", "input").rows == []
