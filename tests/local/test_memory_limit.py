"""An ingest on a server that allows a transaction little memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import ingest
from ingest.writer import write
from queries.export import export
from store.connection import connect
from store.database import Answer, Database
from store.errors import MemoryLimitExceeded
from store.local import configuration, prepare
from store.local.server import down
from store.query import Query
from store.settings import Settings

LIMIT = "db.memory.transaction.max"
NEURONS = Query(
    "neurons_for_the_test",
    "Number of distinct indices of each layer's neurons.",
    """
MATCH (:Network {name: $name})-[:HAS_LAYER]->(layer)-[:HAS_NEURON]->(neuron)
RETURN layer.index AS layer, count(DISTINCT neuron.index) AS neurons ORDER BY layer
""",
    ("layer", "neurons"),
)


class Watched(Database):
    """Counts what the server had no memory for."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._connection)
        self.refused: list[str] = []

    def write(self, query: Query, /, **parameters: Any) -> Answer:
        try:
            return super().write(query, **parameters)
        except MemoryLimitExceeded:
            self.refused.append(query.name)
            raise


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A server whose transactions may use 8 MiB, where 25,000 links take 25."""
    home = tmp_path_factory.mktemp("little memory") / "home"
    settings = Settings(
        uri=None,
        home=home,
        cache=Settings().cache_folder,
        heap_mb=1024,
        page_cache_mb=256,
        port=0,
    )
    usual = configuration.configuration_text

    def lowered(**known: Any) -> str:
        lines = usual(**known).splitlines()
        assert sum(line.startswith(LIMIT) for line in lines) == 1
        return "\n".join(f"{LIMIT}=8m" if line.startswith(LIMIT) else line for line in lines)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prepare, "configuration_text", lowered)
        try:
            with connect(settings) as opened:
                yield Watched(opened)
        finally:
            down(settings, console=Console(quiet=True))


def test_dense_links(database: Watched, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(300, 200), torch.nn.ReLU(), torch.nn.Linear(200, 9))
    database.refused.clear()
    assert write(database, ingest.read(model, input_shape=(300,)), name="dense").links == 61_800
    assert database.refused, "25,000 links at once are more than it allows"
    # Two workers may each find out at once.
    assert len(database.refused) <= 8, "the size found is kept"
    assert set(database.refused) == {"write_rectangle"}
    _same_tensors(database, "dense", model, tmp_path)


def test_links_with_their_own_ends(database: Watched, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3))
    network = ingest.read(model, input_shape=(3, 20, 20), view="unrolled")
    assert network.link_count == 18 * 18 * 4 * 27 + 16 * 16 * 2 * 36
    database.refused.clear()
    report = write(database, network, name="unrolled")
    assert report.links == network.link_count
    assert set(database.refused) == {"write_links"}
    _same_tensors(database, "unrolled", model, tmp_path)


def test_neurons(database: Watched) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 12, 1), torch.nn.MaxPool2d(40))
    network = ingest.read(model, input_shape=(1, 40, 40), view="unrolled")
    database.refused.clear()
    report = write(database, network, name="neurons")
    assert "write_neurons" in database.refused, "10,000 of them are more than it allows"
    expected = [1_600, 12 * 1_600, 12]
    assert report.neurons == sum(expected)
    assert [row[1] for row in database.read(NEURONS, name="neurons").rows] == expected


def _same_tensors(database: Database, name: str, model: torch.nn.Module, folder: Path) -> None:
    export(database, name, folder / "back.safetensors")
    back = load_file(folder / "back.safetensors")
    expected = model.state_dict()
    assert back.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(back[key], tensor), key
