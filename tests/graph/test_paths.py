"""Paths against brute force enumeration, and the projection that must not outlive them."""

from __future__ import annotations

import itertools
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from ingest.layers.build import build
from ingest.network import Network
from queries import paths as paths_module
from queries import scope
from queries.paths import CostName, paths
from queries.projection import projection
from store.database import Database
from store.errors import InvalidArgument, InvalidQuery, NotFound
from store.query import Query
from tests import oracle
from tests.graphs import GRAPHS
from tests.networks import dense_network

PROJECTIONS = Query("projections", "", "CALL gds.graph.list() YIELD graphName", ("graphName",))
SIZES = (5, 4, 4, 3)


def _matrices(seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    matrices = [random.normal(size=shape).astype(np.float32) for shape in itertools.pairwise(SIZES)]
    matrices[1][0, :2] = 0.0
    return matrices


def _expected(
    matrices: list[np.ndarray], cost: str, sources: list[int], targets: list[int], end: int = 3
) -> list[tuple[float, tuple[int, ...], list[float]]]:
    found = [
        (neurons, along)
        for neurons, along in oracle.all_paths(matrices, 0, end)
        if neurons[0] in sources and neurons[-1] in targets
    ]
    # The links that a path between these may use.
    usable = list(matrices[:end])
    usable[0] = usable[0][sources]
    usable[-1] = usable[-1][:, targets]
    heaviest = max(float(np.abs(matrix).max()) for matrix in usable)
    wanted = {"excitatory": 1, "inhibitory": -1}.get(cost, 0)
    found = [each for each in found if wanted == 0 or math.prod(each[1]) * wanted > 0]
    price = {
        "strongest": lambda w: -math.log(abs(w) / heaviest),
        "excitatory": lambda w: -math.log(abs(w) / heaviest),
        "inhibitory": lambda w: -math.log(abs(w) / heaviest),
        "nearest": lambda w: 1 / abs(w),
        "hops": lambda w: 1.0,
    }[cost]
    return sorted((sum(map(price, along)), neurons, along) for neurons, along in found)


@pytest.mark.parametrize("cost", ["strongest", "nearest", "excitatory", "inhibitory"])
@pytest.mark.parametrize(
    ("source", "target", "sources", "targets"),
    [
        ("input/2", "fc3/1", [2], [1]),
        ("input/2", "fc3", [2], [0, 1, 2]),
        ("input", "fc3/1", [0, 1, 2, 3, 4], [1]),
        ("input", "fc3", [0, 1, 2, 3, 4], [0, 1, 2]),
        ("input/4,0-1", "fc3/0,2", [0, 1, 4], [0, 2]),
    ],
)
def test_against_enumeration(
    database: Database,
    stored: Callable[..., str],
    cost: CostName,
    source: str,
    target: str,
    sources: list[int],
    targets: list[int],
) -> None:
    matrices = _matrices(11)
    name = stored(dense_network(matrices))
    expected = _expected(matrices, cost, sources, targets)[:12]
    table = paths(database, name, source, target, k=12, cost=cost)
    assert table.column("rank") == list(range(1, len(expected) + 1))
    np.testing.assert_allclose(table.column("cost"), [e[0] for e in expected], atol=1e-12)
    for row, (_, neurons, along) in zip(table.records(), expected, strict=True):
        names = ("input", "fc1", "fc2", "fc3")
        assert row["path"] == [f"{n}/{i}" for n, i in zip(names, neurons, strict=True)]
        assert row["weights"] == along
        assert row["product"] == pytest.approx(math.prod(along), rel=1e-12)
        assert row["hops"] == 3
    assert table.notes[0] == paths_module.COSTS[cost].meaning
    assert database.read(PROJECTIONS).rows == []


def test_all_paths_when_there_are_fewer_than_k(
    database: Database, stored: Callable[..., str]
) -> None:
    matrices = _matrices(5)
    name = stored(dense_network(matrices))
    table = paths(database, name, "input/0", "fc2/1", k=50)
    expected = _expected(matrices, "strongest", [0], [1], end=2)
    assert len(table.rows) == len(expected) == 3
    np.testing.assert_allclose(table.column("cost"), [e[0] for e in expected], atol=1e-12)


def test_hops_costs_links(database: Database, stored: Callable[..., str]) -> None:
    name = stored(dense_network(_matrices(2)))
    table = paths(database, name, "input/0", "fc3/2", k=20, cost="hops")
    assert table.column("cost") == [3.0] * len(table.rows)
    assert len(table.rows) == 4 * 4 - 2
    assert len({tuple(path) for path in table.column("path")}) == len(table.rows)


def test_no_way(database: Database, stored: Callable[..., str]) -> None:
    matrices = _matrices(2)
    matrices[0][1] = 0.0
    name = stored(dense_network(matrices))
    assert paths(database, name, "input/1", "fc3/0").rows == []
    assert paths(database, name, "fc3/0", "input/0").rows == [], "links have a direction"


def test_bad_ends(database: Database, tiny: str) -> None:
    with pytest.raises(NotFound, match="Layer 'fc1' has neurons 0 to 2; there is no neuron 3"):
        paths(database, tiny, "fc1/3", "fc2")
    with pytest.raises(NotFound, match="There is no layer 'fc7'"):
        paths(database, tiny, "input", "fc7")
    with pytest.raises(InvalidArgument, match="stays in one layer"):
        paths(database, tiny, "fc1/0", "fc1/1")
    with pytest.raises(InvalidArgument, match="cost cannot be 'best'"):
        paths(database, tiny, "input", "fc2", cost="best")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="k cannot be 0"):
        paths(database, tiny, "input", "fc2", k=0)


def _fail_while_projected(database: Database, graph: str, bad: Query) -> None:
    assert database.read(PROJECTIONS).rows == [[graph]]
    database.read(bad)


def test_projection_is_dropped_after_an_error(database: Database, tiny: str) -> None:
    whole = Query(
        "p", "", "MATCH (a:Neuron)-[:LINK]->(b) RETURN gds.graph.project($graph, a, b) AS g", ("g",)
    )
    bad = Query("bad", "", "RETURN nonsense", ())
    with pytest.raises(InvalidQuery), projection(database, whole) as (graph, _):
        _fail_while_projected(database, graph, bad)
    assert database.read(PROJECTIONS).rows == []


INTERRUPTED = """
import signal, sys
from queries.projection import projection
from store.connection import connect
from store.query import Query

SLOW = Query("slow", "", '''
UNWIND range(1, 3000000) AS x
RETURN gds.graph.project($graph, x, x + 1) AS g''', ("g",))
SLEEP = Query("sleep", "", "UNWIND range(1, 100000000000) AS x RETURN count(x) AS n", ("n",))
# Whoever runs the tests in the background has children ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
with connect() as database:
    if sys.argv[1] == "projecting":
        print("ready", flush=True)
    with projection(database, SLOW):
        print("ready", flush=True)
        database.read(SLEEP)
"""


@pytest.mark.parametrize("moment", ["projecting", "running"])
def test_projection_is_dropped_after_ctrl_c(
    database: Database, tiny: str, command_environment: dict[str, str], moment: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, moment],
        env=command_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert complaint.rstrip().endswith(b"KeyboardInterrupt")
    # What the server had begun for the interrupted client must not come to life later either.
    deadline = time.monotonic() + 20
    quiet_since = None
    while time.monotonic() < deadline:
        if database.read(PROJECTIONS).rows:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > 4:
            return
        time.sleep(0.2)
    pytest.fail("a projection outlived its client")


def test_larger_network(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    """Against a dynamic programme, where enumeration would be too long."""
    network = random_network(50, 40, 30, 10, seed=4)
    matrices = [block.weights.array().T.astype(np.float64) for block in network.dense]
    name = stored(network)
    best = matrices[0][7:8]
    magnitude = np.abs(best)
    for matrix in matrices[1:]:
        magnitude = (magnitude[0][:, None] * np.abs(matrix)).max(axis=0, keepdims=True)
    table = paths(database, name, "input/7", "fc3/4", k=1)
    assert abs(table.rows[0][2]) == pytest.approx(magnitude[0, 4], rel=1e-12)


def test_signed_paths_over_parallel_links(database: Database, stored: Callable[..., str]) -> None:
    """Of a kernel's links between two neurons, that of the wanted sign is named."""
    name = stored(build(GRAPHS["convolutions"](), "shared", allow_opaque=False))
    layers = [layer.name for layer in scope.places(database, name)]
    for cost, sign in (("excitatory", 1), ("inhibitory", -1)):
        table = paths(database, name, layers[0], layers[-1], k=20, cost=cost)  # type: ignore[arg-type]
        assert len(table.rows) == 20
        assert all(product * sign > 0 for product in table.column("product"))
        for weights, product in zip(table.column("weights"), table.column("product"), strict=True):
            assert math.prod(weights) == pytest.approx(product)
        assert table.column("cost") == sorted(table.column("cost"))


def test_signed_paths_through_a_recurrent_layer(
    database: Database, stored: Callable[..., str]
) -> None:
    name = stored(build(GRAPHS["lstm"](), "shared", allow_opaque=False))
    layers = [layer.name for layer in scope.places(database, name)]
    table = paths(database, name, layers[0], layers[-1], k=30, cost="inhibitory")
    assert table.rows
    for path, product in zip(table.column("path"), table.column("product"), strict=True):
        assert len(set(path)) == len(path)
        assert product < 0
