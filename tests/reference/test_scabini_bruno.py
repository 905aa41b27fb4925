"""Strength of every hidden neuron against the file that Scabini & Bruno published.

"Structure and performance of fully connected neural networks: emerging complex network
properties" (arXiv 2107.14062); the file is MIT-licensed and read where it lies beside the project.
Epoch 0 needs no file: its weights are regenerated, and some published values stand below.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import ingest
from ingest.writer import write
from queries.strength import strength
from store.database import Database
from tests.networks import dense_network
from tests.reference.philox import initial_matrices

FOLDER = Path(__file__).parents[3] / "shared" / "reference" / "mlp-cn"
MEASURES = FOLDER / "network1_9measures.mat"
TRAINED = FOLDER / "network1.h5"

# Column "strength" of network 1 at epoch 0, for some neurons of both hidden layers.
PUBLISHED = {
    "hidden1": {
        0: 25.09405606985092,
        25: 8.483037441968918,
        50: 18.38765361905098,
        75: -17.29017886519432,
        100: 11.271296739578247,
        125: -15.156668484210968,
        150: 12.583537697792053,
        175: 5.109396666288376,
    },
    "hidden2": {
        0: 6.804552376270294,
        20: -10.74716380238533,
        40: -11.298491299152374,
        60: 1.6068061590194702,
        80: -12.202804386615753,
    },
}


def _published(epoch: int) -> dict[str, NDArray[np.float64]]:
    if not MEASURES.exists():
        pytest.skip(f"the published measures are not at {MEASURES}")
    io = pytest.importorskip("scipy.io")
    measures = io.loadmat(MEASURES)
    return {
        "hidden1": measures["fmap_h1"][epoch][:, 0],
        "hidden2": measures["fmap_h2"][epoch][:, 0],
    }


def _strengths(database: Database, network: str, layers: tuple[str, str]) -> dict[str, np.ndarray]:
    rows = strength(database, network).records()
    return {
        name: np.array([row["total"] for row in rows if row["layer"] == layer])
        for name, layer in zip(("hidden1", "hidden2"), layers, strict=True)
    }


@pytest.fixture(scope="module")
def epoch_0(database: Database) -> dict[str, np.ndarray]:
    network = dense_network(initial_matrices(1), names=["hidden1", "hidden2", "output"])
    name = "reference epoch 0"
    write(database, network, name=name, replace=True)
    try:
        return _strengths(database, name, ("hidden1", "hidden2"))
    finally:
        ingest.delete(database, name)


def test_the_stream_begins_as_published() -> None:
    begin = initial_matrices(1)[0].ravel()[:4]
    expected = np.array([0.39512718, 0.1017195, -0.2793203, 0.760762], dtype=np.float32)
    np.testing.assert_array_equal(begin, expected)


@pytest.mark.parametrize("layer", ["hidden1", "hidden2"])
def test_epoch_0_published_values(epoch_0: dict[str, np.ndarray], layer: str) -> None:
    for neuron, value in PUBLISHED[layer].items():
        assert epoch_0[layer][neuron] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("layer", ["hidden1", "hidden2"])
def test_epoch_0_every_hidden_neuron(epoch_0: dict[str, np.ndarray], layer: str) -> None:
    published = _published(0)[layer]
    assert epoch_0[layer].shape == published.shape
    assert np.abs(epoch_0[layer] / published - 1).max() <= 1e-12


def test_epoch_30_every_hidden_neuron(database: Database) -> None:
    published = _published(30)
    if not TRAINED.exists():
        pytest.skip(f"the trained network is not at {TRAINED}")
    name = "reference epoch 30"
    report = ingest.ingest(TRAINED, name=name, database=database, replace=True)
    try:
        assert (report.neurons, report.links) == (1094, 784 * 200 + 200 * 100 + 100 * 10)
        got = _strengths(database, name, ("dense_1", "dense_2"))
        for layer, values in published.items():
            assert got[layer].shape == values.shape
            assert np.abs(got[layer] / values - 1).max() <= 1e-12
    finally:
        ingest.delete(database, name)
