"""Parts of networks taken out of the store, against graphs made of the weights alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from ingest.layers.build import build
from ingest.network import DenseLinks, Network
from ingest.removal import delete
from ingest.writer import write
from queries.extract import Extract, extract
from queries.subgraph import Subgraph
from store.database import Database
from store.errors import Conflict, InvalidArgument, MemoryLimitExceeded, NotFound
from tests.graph.test_subgraph import OPTIONS, expected_part
from tests.graphs import GRAPHS
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices

Links = Counter[tuple[str, str, float, str, int | None]]


def _names(network: Network) -> list[str]:
    return [f"{layer.name}/{index}" for layer in network.layers for index in range(layer.size)]


def _links_of(network: Network, *, wires: bool) -> Links:
    """Every link that is not 0, from the blocks that the writer is given."""
    names, found = _names(network), Links()
    for links in network.links:
        if isinstance(links, DenseLinks):
            weights = links.tile(range(links.sources), range(links.targets))
            first, after = network.firsts[links.source], network.firsts[links.target]
            for (source, target), weight in np.ndenumerate(weights):
                if weight:
                    ends = names[first + source], names[after + target]
                    found[(*ends, float(weight), "LINK", None)] += 1
        elif links.learned or wires:
            for block in links.blocks():
                positions = [None] * block.count if block.positions is None else block.positions
                for source, target, weight, position in zip(
                    block.sources, block.targets, block.weights, positions, strict=True
                ):
                    if weight:
                        kind = "LINK" if links.learned else "WIRE"
                        place = None if position is None else int(position)
                        found[(names[source], names[target], float(weight), kind, place)] += 1
    return found


def _links_in(graph: nx.MultiDiGraph) -> Links:
    return Links(
        (source, target, data["weight"], data["kind"], data.get("position"))
        for source, target, data in graph.edges(data=True)
    )


@pytest.fixture(scope="module")
def name(database: Database) -> Iterator[str]:
    """Where the matrices of seed 1 are stored, some of whose weights are 0."""
    write(database, dense_network(random_matrices(1)), name="extracts", replace=True)
    yield "extracts"
    delete(database, "extracts")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_parts_have_the_neurons_and_links_that_were_chosen(
    database: Database, name: str, options: dict[str, Any]
) -> None:
    matrices = random_matrices(1)
    every = _names(dense_network(matrices))
    neurons, links = expected_part(matrices, options)
    graph = extract(database, name, Subgraph(**options)).to_networkx()
    assert list(graph) == [every[neuron] for neuron in sorted(neurons)]
    assert _links_in(graph) == Links(
        (every[source], every[target], weight, "LINK", None)
        for (source, target), weight in links.items()
    )


@pytest.mark.parametrize("family", ["convolutions", "residual", "lstm", "transformer"])
@pytest.mark.parametrize("wires", [False, True])
def test_parallel_recurrent_and_fixed_links(
    database: Database, stored: Callable[..., str], family: str, wires: bool
) -> None:
    network = build(GRAPHS[family](), "shared", allow_opaque=False)
    found = extract(database, stored(network), Subgraph(wires=wires))
    assert found.names == _names(network)
    expected = _links_of(network, wires=wires)
    graph = found.to_networkx()
    assert _links_in(graph) == expected
    if family == "convolutions":
        # Several links between two neurons stay several.
        assert len({link[:2] for link in expected}) < len(expected)
        assert nx.DiGraph(graph).number_of_edges() < graph.number_of_edges()
    if family == "lstm":
        # A step's state comes back over the wires of its gates.
        assert nx.is_directed_acyclic_graph(graph) is not wires


def test_neurons_have_their_place_and_their_bias(database: Database, tiny: str) -> None:
    found = extract(database, tiny)
    assert list(found.neurons())[1:4] == [
        {"layer": "input", "layer_index": 0, "neuron": 1, "bias": None},
        {"layer": "fc1", "layer_index": 1, "neuron": 0, "bias": 0.1},
        {"layer": "fc1", "layer_index": 1, "neuron": 1, "bias": 0.2},
    ]
    graph = found.to_networkx()
    assert graph.graph == {"network": "tiny", "notes": []}
    assert graph.nodes["input/1"] == {"layer": "input", "layer_index": 0, "neuron": 1}
    assert graph.nodes["fc2/1"]["bias"] == -0.5
    # Signed strength, as the design has it.
    out = {neuron: graph.out_degree(neuron, weight="weight") for neuron in graph}
    assert out == pytest.approx(
        {"input/0": 2, "input/1": 3, "fc1/0": 3, "fc1/1": 1, "fc1/2": -1, "fc2/0": 0, "fc2/1": 0}
    )


def test_a_chosen_part_says_how_it_was_chosen(database: Database, tiny: str) -> None:
    found = extract(database, tiny, Subgraph(top=2))
    assert sorted(found.weight.tolist()) == [-6.0, -6.0]
    assert found.to_networkx().graph["notes"] == [
        "Links were chosen by magnitude: rescaling neurons changes which, and so the answer."
    ]


@pytest.mark.parametrize("family", ["residual", "lstm"])
def test_graphml_holds_every_digit(
    database: Database, stored: Callable[..., str], tmp_path: Path, family: str
) -> None:
    found = extract(
        database,
        stored(build(GRAPHS[family](), "shared", allow_opaque=False)),
        Subgraph(wires=True),
    )
    found.to_graphml(tmp_path / "part.graphml")
    read = nx.MultiDiGraph(nx.read_graphml(tmp_path / "part.graphml"))
    ours = found.to_networkx()
    assert read.nodes(data=True) == ours.nodes(data=True)
    assert _links_in(read) == _links_in(ours)
    assert read.graph["network"] == ours.graph["network"]
    assert [path.name for path in tmp_path.iterdir()] == ["part.graphml"]


def test_graphml_holds_any_name(database: Database, tmp_path: Path) -> None:
    network = "<\"&'é\U0001f600 </graph> {0}"
    matrix = np.array([[1.5]], dtype=np.float32)
    write(database, dense_network([matrix], names=['a<b>"&/']), name=network, replace=True)
    try:
        extract(database, network).to_graphml(tmp_path / "odd.graphml")
    finally:
        delete(database, network)
    read = nx.read_graphml(tmp_path / "odd.graphml")
    assert list(read.edges(data="weight")) == [("input/0", 'a<b>"&//0', 1.5)]
    assert read.graph["network"] == network


def _small(layer: str = "fc1") -> Extract:
    ids, none = np.zeros(1, dtype=np.int64), np.zeros(0)
    return Extract(
        "small", (layer,), ids, ids, np.array([np.nan]), np.zeros((2, 0), dtype=np.int64),
        none, none.astype(np.bool_), none.astype(np.int64),
    )  # fmt: skip


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"to a \.graphml file, not to 'part\.xml'"):
        _small().to_graphml(tmp_path / "part.xml")
    with pytest.raises(InvalidArgument, match="cannot be written: No such file or directory"):
        _small().to_graphml(tmp_path / "none" / "part.graphml")
    with pytest.raises(InvalidArgument, match="holds a character that XML does not allow"):
        _small("fc\uffff").to_graphml(tmp_path / "part.graphml")
    assert list(tmp_path.iterdir()) == []
    _small().to_graphml(tmp_path / "part.graphml")
    with pytest.raises(Conflict, match=r"There is a file .* already"):
        _small().to_graphml(tmp_path / "part.graphml")
    _small("fc2").to_graphml(tmp_path / "part.graphml", replace=True)
    assert list(nx.read_graphml(tmp_path / "part.graphml")) == ["fc2/0"]


def test_what_is_refused(database: Database, tiny: str, stored: Callable[..., str]) -> None:
    with pytest.raises(NotFound, match="There is no network 'none'"):
        extract(database, "none")
    with pytest.raises(NotFound, match="There is no layer 'fc9'"):
        extract(database, tiny, Subgraph(layers=("fc9",)))
    large = stored(dense_network([np.ones((100, 100), dtype=np.float32)]))
    with pytest.raises(MemoryLimitExceeded, match="about 3 MiB here, more than the 2 allowed"):
        extract(database, large, Subgraph(memory=2))
    assert len(extract(database, large, Subgraph(memory=3)).weight) == 10_000


@pytest.mark.parametrize("library", ["networkx", "igraph"])
def test_without_the_library_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InvalidArgument, match=f"A graph for {library} needs that package"):
        getattr(_small(), f"to_{library}")()


def test_igraph_has_the_same(database: Database, stored: Callable[..., str]) -> None:
    pytest.importorskip("igraph", reason="igraph is the user's to install: its licence is the GPL")
    network = build(GRAPHS["residual"](), "shared", allow_opaque=False)
    graph = extract(database, stored(network), Subgraph(wires=True)).to_igraph()
    assert graph.is_directed()
    assert graph.vs["name"] == _names(network)
    names = graph.vs["name"]
    assert _links_of(network, wires=True) == Links(
        (names[edge.source], names[edge.target], edge["weight"], edge["kind"], edge["position"])
        for edge in graph.es
    )


def test_the_command(
    command_environment: dict[str, str], tiny: str, tmp_path: Path, database: Database
) -> None:
    file = tmp_path / "tiny.graphml"
    arguments = ["subgraph", tiny, "-o", str(file), "--sign", "negative", "--layers", "fc1"]
    arguments += ["--layers", "fc2", "--format", "json"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "weightome", *arguments],
            env=command_environment, cwd=Path(__file__).parents[2],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["columns"] == ["file", "neurons", "links", "wires"]
    assert answer["rows"] == [[str(file), 5, 2, 0]]
    links = nx.read_graphml(file).edges(data="weight")
    assert sorted(links) == [("fc1/1", "fc2/0", -3.0), ("fc1/2", "fc2/1", -6.0)]
    refused = run()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "already: choose another, or pass --replace." in refused.stderr
