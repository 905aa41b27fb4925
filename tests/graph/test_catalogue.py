"""The catalogue's answers on the hand-checkable network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ingest.network import Network
from queries import catalogue
from store.database import Database
from store.errors import NotFound
from tests.networks import dense_network


def test_runs_and_networks(database: Database, tiny: str) -> None:
    assert ["tiny-run", 1, 0, 0] in catalogue.runs(database).rows
    record = next(row for row in catalogue.networks(database).records() if row["network"] == tiny)
    created = record.pop("created")
    assert created.endswith("Z")
    assert record == {
        "network": "tiny",
        "run": "tiny-run",
        "step": 0,
        "view": "shared",
        "source": "test",
        "layers": 3,
        "neurons": 7,
        "links": 12,
        "wires": 0,
        "parameters": 17,
        "metrics": {"accuracy": 0.5},
    }
    assert catalogue.networks(database, "tiny-run").column("network") == ["tiny"]
    with pytest.raises(NotFound, match="There is no run 'no'"):
        catalogue.networks(database, "no")


def test_layers(database: Database, tiny: str) -> None:
    assert catalogue.layers(database, tiny).rows == [
        ["input", 0, "input", "identity", 2, [2], False, 0, 0, []],
        ["fc1", 1, "linear", "identity", 3, [3], True, 6, 0, ["input"]],
        ["fc2", 2, "linear", "identity", 2, [2], True, 6, 0, ["fc1"]],
    ]


def test_neurons(database: Database, tiny: str) -> None:
    table = catalogue.neurons(database, tiny, "fc1")
    assert table.column("neuron") == [0, 1, 2]
    assert table.column("bias") == [0.1, 0.2, 0.3]
    assert table.column("in_degree") == [2, 2, 2]
    assert table.column("out_degree") == [2, 2, 2]
    ids = [int(identity) for identity in table.column("id")]
    assert ids == list(range(ids[0], ids[0] + 3))
    assert catalogue.neurons(database, tiny, "input").column("bias") == [None, None]


def test_neuron(database: Database, tiny: str) -> None:
    table = catalogue.neuron(database, tiny, "fc1", 2, k=1)
    assert table.rows == [["in", "input", 1, -6.0], ["out", "fc2", 1, -6.0]]
    table = catalogue.neuron(database, tiny, "fc1", 2)
    assert table.column("weight") == [-6.0, 3.0, -6.0, 5.0]


def test_row_cap_is_told(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    name = stored(random_network(30, 5))
    short = catalogue.neurons(database.limited(row_cap=7), name, "input")
    assert (len(short.rows), short.truncated) == (7, True)
    exact = catalogue.neurons(database.limited(row_cap=30), name, "input")
    assert (len(exact.rows), exact.truncated) == (30, False)


def test_layer_names_with_slashes(database: Database, stored: Callable[..., str]) -> None:
    name = stored(dense_network([np.eye(3), np.eye(3)], names=["a", "a/1"]))
    assert catalogue.neurons(database, name, "a/1").column("in_degree") == [3, 3, 3]
    assert catalogue.neuron(database, name, "a/1", 2).rows[0] == ["in", "a", 2, 1.0]
    assert catalogue.neuron(database, name, "a", 1).rows[0] == ["in", "input", 1, 1.0]
    for index in (-1, 3):
        with pytest.raises(NotFound, match="has neurons 0 to 2"):
            catalogue.neuron(database, name, "a", index)


def test_pandas_keeps_the_question(database: Database, tiny: str) -> None:
    frame = catalogue.layers(database, tiny).to_pandas()
    assert frame.loc[frame.layer == "fc1", "size"].tolist() == [3]
    assert frame.attrs["parameters"] == {"network": "tiny", "after": -1}
    assert "MATCH (network:Network {name: $network})" in frame.attrs["cypher"]
