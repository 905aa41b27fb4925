"""Names with every awkward character reach the network, run and layer that they name."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from ingest.removal import delete
from ingest.writer import write
from store.database import Database
from tests.networks import dense_network

NAMES = [
    "a/b",
    "a/layers",
    "a/layers/fc1/neurons",
    "what?x=1#top",
    "'\"`) MATCH (n) DETACH DELETE n //",
    "100%25 \\ + & ; =",
    "наука/網路 🧠",
    "...",
    "{name}",
    "x" * 200,
]
LAYERS = ["enc/0", "enc/0/neurons", "d?#%2F é"]


def _address(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


@pytest.fixture(scope="module")
def named(database: Database) -> Iterator[list[str]]:
    """A network for each name, in a run of the same name, each with a weight of its own."""
    written = []
    try:
        for number, name in enumerate(NAMES, start=1):
            matrices = [np.full(shape, float(number)) for shape in ((2, 2), (2, 3), (3, 1))]
            network = dense_network(matrices, names=LAYERS)
            write(database, network, name=name, run=name, step=number)
            written.append(name)
        yield written
    finally:
        for name in written:
            delete(database, name)


def test_networks_and_runs(client: httpx.Client, named: list[str]) -> None:
    for number, name in enumerate(named, start=1):
        layers = client.get(_address("networks", name, "layers")).json()
        assert [row[0] for row in layers["rows"]] == ["input", *LAYERS], name
        of_run = client.get("/v1/networks", params={"run": name}).json()
        assert [row[0] for row in of_run["rows"]] == [name]
        means = client.get(
            _address("runs", name, "dynamics"), params={"statistic": "link_mean"}
        ).json()
        assert {(row[0], row[1], row[4]) for row in means["rows"]} == {(number, name, number)}


def test_layers(client: httpx.Client, named: list[str]) -> None:
    sizes = dict(zip(LAYERS, (2, 3, 1), strict=True))
    for name in named:
        for layer, size in sizes.items():
            neurons = client.get(_address("networks", name, "layers", layer, "neurons")).json()
            assert len(neurons["rows"]) == size, (name, layer)
            histogram = client.get(
                _address("networks", name, "histogram"), params={"layer": layer, "bins": 1}
            ).json()
            assert [row[0] for row in histogram["rows"]] == [layer]
    found = client.get(
        _address("networks", named[0], "paths"),
        params={"source": "enc/0/1", "target": "d?#%2F é/0", "k": 1},
    ).json()
    assert found["rows"][0][4][0] == "enc/0/1"


def test_a_slash_that_is_not_encoded_names_another_address(
    client: httpx.Client, named: list[str]
) -> None:
    assert named[0] == "a/b"
    assert client.get("/v1/networks/a/b/layers").json()["error"]["code"] == "unknown_address"
    # Decoded once, not twice.
    assert client.get("/v1/networks/a%252Fb/layers").json()["error"]["code"] == "not_found"
