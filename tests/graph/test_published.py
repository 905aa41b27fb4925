"""Networks that others trained, from their files into the store and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ingest
from queries import catalogue
from queries.export import export
from queries.forward import outputs
from store.database import Database
from store.query import Query
from tests import published
from tests.published import PUBLISHED, NotInstalled, Published

# Each weight that a link stands for, counted once.
WEIGHTS = Query(
    "weights",
    "",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->(:Layer)-[:HAS_NEURON]->()<-[link:LINK]-()
RETURN count(link) AS links, count(DISTINCT link.param) AS weights
""",
    ("links", "weights"),
)


@pytest.fixture(scope="module", params=PUBLISHED, ids=lambda network: network.name)
def network(request: pytest.FixtureRequest) -> Published:
    found: Published = request.param
    try:
        found.path()
    except NotInstalled as why:
        pytest.skip(str(why))
    return found


@pytest.fixture(scope="module")
def file(network: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network.prepare(network.path(), tmp_path_factory.mktemp(network.name))


@pytest.fixture(scope="module")
def stored(database: Database, network: Published, file: Path) -> Iterator[str]:
    name = f"published {network.name}"
    report = ingest.ingest(file, name=name, database=database, **network.options)
    assert report.links == network.weights
    assert report.opaque == ()
    yield name
    ingest.delete(database, name)


def test_each_weight_is_one_learned_link(
    database: Database, network: Published, stored: str
) -> None:
    assert database.read(WEIGHTS, network=stored).rows == [[network.weights, network.weights]]
    of_layers = catalogue.layers(database, stored).column("links_in")
    assert sum(of_layers) == network.weights


def test_what_is_stored_computes_what_the_network_does(
    database: Database, network: Published, file: Path, stored: str
) -> None:
    samples = network.samples()
    found = outputs(database, stored, samples)
    expected = network.compute(file, samples)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        assert np.ptp(theirs) > 1e-4, "a constant would agree with anything"


def test_the_tensors_come_back_bit_for_bit(
    database: Database, file: Path, stored: str, tmp_path: Path
) -> None:
    export(database, stored, tmp_path / "back.safetensors")
    back, expected = published.tensors(tmp_path / "back.safetensors"), published.tensors(file)
    assert expected.keys() <= back.keys()
    for key, content in expected.items():
        assert back[key] == content, key


@pytest.mark.parametrize("name", ["pnet", "silero-vad"])
def test_unrolled_too(database: Database, name: str, tmp_path: Path) -> None:
    (network,) = (each for each in PUBLISHED if each.name == name)
    try:
        file = network.path()
    except NotInstalled as why:
        pytest.skip(str(why))
    stored = f"unrolled {name}"
    report = ingest.ingest(file, name=stored, view="unrolled", database=database, **network.options)
    assert report.links > network.weights
    samples = network.samples()
    for ours, theirs in zip(
        outputs(database, stored, samples), network.compute(file, samples), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    export(database, stored, tmp_path / "back.safetensors")
    assert published.tensors(tmp_path / "back.safetensors") == published.tensors(file)
    ingest.delete(database, stored)
