"""Which neurons and links an algorithm sees, and what is refused before anything is projected."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from ingest.layers.build import build
from ingest.removal import delete
from ingest.writer import write
from queries import centrality, communities, similarity
from queries.adjacency import selected
from queries.centrality import PAGERANK, eigenvector, pagerank
from queries.communities import clustering
from queries.memory import PROJECTION_MEMORY
from queries.subgraph import Algorithm, Sign, Subgraph, projected, selection
from store.database import Answer, Connection, Database
from store.errors import InvalidArgument, MemoryLimitExceeded, NotFound
from store.query import Query
from tests.graphs import GRAPHS
from tests.networks import dense_network
from tests.oracle_graphs import directed, random_matrices

SIZE = Query(
    "projected_size_for_the_test",
    "Nodes and relationships of a projected graph.",
    "CALL gds.graph.list($graph) YIELD nodeCount, relationshipCount "
    "RETURN nodeCount, relationshipCount",
    ("nodes", "relationships"),
)
LEFT = Query(
    "projections_of_a_network_for_the_test",
    "Projected graphs.",
    "CALL gds.graph.list() YIELD graphName RETURN collect(graphName) AS graphs",
    ("graphs",),
)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"least": 0.7},
    {"sign": "positive"},
    {"sign": "negative", "least": 0.2},
    {"top": 5},
    {"top": 4, "sign": "negative", "least": 0.1},
    {"layers": ("fc1", "fc2")},
    {"layers": ("input", "fc3")},
    {"layers": ("fc2", "input", "fc1"), "top": 3, "sign": "positive"},
    {"top": 1_000_000},
]


def expected_part(
    matrices: list[Any], options: dict[str, Any]
) -> tuple[set[int], dict[Any, float]]:
    """Neurons and links, from the matrices alone."""
    names = ("input", "fc1", "fc2", "fc3")
    sizes = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    layer_of = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
    layers = options.get("layers") or names
    neurons = {neuron for neuron, name in enumerate(layer_of) if name in layers}
    sign = {"both": 0, "positive": 1, "negative": -1}[options.get("sign", "both")]
    links = [
        ((source, target), weight)
        for source, target, weight in directed(matrices).edges(data="weight")
        if source in neurons
        and target in neurons
        and abs(weight) >= options.get("least", 0)
        and weight * sign >= 0
    ]
    links.sort(key=lambda link: -abs(link[1]))
    return neurons, dict(links[: options.get("top", len(links))])


@pytest.fixture(scope="module")
def name(database: Database) -> Iterator[str]:
    """Where the matrices of seed 1 are stored, some of whose weights are 0."""
    written = f"subgraphs {uuid.uuid4()}"
    write(database, dense_network(random_matrices(1)), name=written)
    yield written
    delete(database, written)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_selection(database: Database, name: str, options: dict[str, Any]) -> None:
    matrices = random_matrices(1)
    assert any((matrix == 0).any() for matrix in matrices)
    neurons, links = expected_part(matrices, options)
    of = Subgraph(**options)
    with projected(database, name, of) as part:
        assert database.read(SIZE, graph=part.graph).rows == [[len(neurons), len(links)]]
        assert part.links == len(links)
    with projected(database, name, of, undirected=True) as part:
        assert database.read(SIZE, graph=part.graph).rows == [[len(neurons), 2 * len(links)]]
    layers, parameters = selection(database, name, of)
    graph, _ = selected(database, layers, parameters)
    found = {
        (int(a), int(b)): value
        for (a, b), value in zip(
            np.transpose(graph.tocoo().coords), graph.tocoo().data, strict=True
        )
        if a < b
    }
    assert found == pytest.approx({ends: abs(weight) for ends, weight in links.items()})
    # Every neuron is a node, isolated ones too.
    assert len(pagerank(database, name, of=of).rows) == len(neurons)


def test_wires_and_parallel_links(database: Database, stored: Callable[..., str]) -> None:
    name = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    pairs = Query(
        "pairs_for_the_test",
        "Pairs of neurons.",
        "MATCH (:Network {name: $network})-[:HAS_LAYER]->()-[:HAS_NEURON]->(a)-[l:LINK|WIRE]->(b) "
        "WHERE l.weight <> 0.0 AND type(l) IN $types RETURN count(DISTINCT [a.id, b.id]) AS pairs",
        ("pairs",),
    )
    sizes = {}
    for wires, types in ((False, ["LINK"]), (True, ["LINK", "WIRE"])):
        with projected(database, name, Subgraph(wires=wires)) as part:
            sizes[wires] = database.read(SIZE, graph=part.graph).rows[0][1]
        assert sizes[wires] == database.read(pairs, network=name, types=types).rows[0][0]
    assert sizes[True] > sizes[False] > 0


def test_nothing_stays_after_an_error(database: Database, name: str) -> None:
    seen = []

    def fail() -> None:
        with projected(database, name, Subgraph()) as part:
            seen.append(part.graph)
            assert part.graph in database.read(LEFT).rows[0][0]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not set(seen) & set(database.read(LEFT).rows[0][0])


@pytest.fixture
def large(stored: Callable[..., str]) -> str:
    """A network of 600 neurons and 90,000 links."""
    return stored(dense_network([np.ones((300, 300), dtype=np.float32)]))


class _Watched:
    """A connection that remembers what was sent, to a server that has so much heap at most."""

    def __init__(self, connection: Connection, heap: int = 2**60) -> None:
        self._connection = connection
        self._heap = heap
        self.sent: list[str] = []

    def run(self, cypher: str, parameters: Mapping[str, Any], **how: Any) -> Answer:
        self.sent.append(cypher)
        answer = self._connection.run(cypher, parameters, **how)
        if cypher == PROJECTION_MEMORY.cypher:
            (needed, heap), *_ = answer.rows
            assert heap >= 2**28
            return Answer(answer.columns, [[needed, min(heap, self._heap)]])
        return answer

    def close(self) -> None:
        self._connection.close()

    @property
    def projections(self) -> int:
        return sum("gds.graph.project($graph" in cypher for cypher in self.sent)


def test_what_needs_too_much_memory_is_refused_before(database: Database, large: str) -> None:
    connection = _Watched(database._connection)
    watched = Database(connection)
    with pytest.raises(
        MemoryLimitExceeded,
        match=r"^This would need about 77 MiB in the database, more than the 76 allowed: choose "
        r"fewer layers, a greater least or a top, or allow more memory\.$",
    ):
        pagerank(watched, large, of=Subgraph(memory=76))
    assert connection.projections == 0
    assert pagerank(watched, large, of=Subgraph(memory=76, top=10)).rows
    assert connection.projections == 1


def test_what_needs_too_much_memory_here_is_not_read(database: Database, large: str) -> None:
    for ask, needed in ((eigenvector, 22), (clustering, 34)):
        connection = _Watched(database._connection)
        with pytest.raises(MemoryLimitExceeded, match=f"about {needed} MiB here, more than the 21"):
            ask(Database(connection), large, of=Subgraph(memory=21))
        assert not [cypher for cypher in connection.sent if "collect(link.weight)" in cypher]
        assert ask(database, large, of=Subgraph(memory=needed)).rows


def test_the_estimate_is_not_less_than_what_is_taken(database: Database, large: str) -> None:
    taken = Query(
        "size_for_the_test",
        "Bytes of a projected graph.",
        "CALL gds.graph.list($graph) YIELD sizeInBytes RETURN sizeInBytes",
        ("bytes",),
    )
    for undirected in (False, True):
        with projected(database, large, Subgraph(), undirected=undirected) as part:
            size = database.read(taken, graph=part.graph).rows[0][0]
        allowed = size // 2**20
        with (
            pytest.raises(MemoryLimitExceeded),
            projected(database, large, Subgraph(memory=allowed), undirected=undirected),
        ):
            pass


def test_what_the_heap_cannot_hold_is_refused(database: Database, name: str) -> None:
    connection = _Watched(database._connection, heap=2**26)
    with pytest.raises(
        MemoryLimitExceeded,
        match=r"need about 74 MiB in the database, which has a heap of 64: choose fewer layers, a "
        r"greater least or a top, or give the database more heap\.$",
    ):
        inspect.unwrap(pagerank)(Database(connection), name)
    assert connection.projections == 0


ALGORITHMS = [
    value
    for module in (centrality, communities, similarity)
    for value in vars(module).values()
    if isinstance(value, Algorithm)
]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.run.name)
def test_algorithms_can_be_planned(database: Database, algorithm: Algorithm) -> None:
    for query in (algorithm.run, algorithm.estimate):
        values = dict.fromkeys(query.parameters, 0) | {"graph": "x", "weight": "x"}
        assert database.explain(query.cypher, values)
        assert query.doc.endswith(".")
        for column in query.columns:
            assert f"{column}" in query.cypher
    assert len({each.run.name for each in ALGORITHMS}) == len(ALGORITHMS) == 12


def test_answers_say_when_links_were_chosen_by_magnitude(database: Database, name: str) -> None:
    said = "Links were chosen by magnitude: rescaling neurons changes which, and so the answer."
    for ask in (pagerank, eigenvector, clustering):
        assert said in ask(database, name, of=Subgraph(top=3)).notes
        assert said in ask(database, name, of=Subgraph(least=0.1)).notes
        assert said not in ask(database, name, of=Subgraph(sign="positive")).notes


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"layers": ("fc9",)}, NotFound, "There is no layer 'fc9' in this network; it has input"),
        ({"least": -1.0}, InvalidArgument, "least cannot be -1.0: give a magnitude of 0 or more."),
        ({"least": float("nan")}, InvalidArgument, "least cannot be nan"),
        ({"sign": "plus"}, InvalidArgument, "sign cannot be 'plus': choose from both, positive"),
        ({"top": 0}, InvalidArgument, "top cannot be 0: give a number from 1"),
        ({"memory": 0}, InvalidArgument, "memory cannot be 0: give a number from 1"),
    ],
)
def test_bad_options(
    database: Database,
    name: str,
    options: dict[str, Any],
    error: type[Exception],
    sentence: str,
) -> None:
    with pytest.raises(error, match=sentence):
        pagerank(database, name, of=Subgraph(**options))


def test_the_cypher_is_what_was_run(database: Database, name: str) -> None:
    sign: Sign = "negative"
    answer = pagerank(database, name, of=Subgraph(sign=sign))
    assert "gds.graph.project($graph" in answer.cypher
    assert PAGERANK.run.cypher.strip() in answer.cypher
    assert answer.parameters["sign"] == -1.0
    assert answer.parameters["damping"] == 0.85
