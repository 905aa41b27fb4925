"""Statistics of layers against NumPy and SciPy on the matrices that were written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.sparse import csr_array

import ingest
from ingest.layers.build import build
from queries import scope, spectra
from queries.dead_units import dead_units
from queries.layer_statistics import layer_matrix, moments, sparsity
from queries.snapshots import snapshot_correlation
from queries.spectra import measures, weight_matrix
from queries.tying import weight_tying
from queries.weights import layer_links
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Table
from tests.graphs import GRAPHS
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices


@pytest.fixture(params=[0, 1, 3])
def network(request: pytest.FixtureRequest, stored: Callable[..., str]) -> tuple[str, list[Any]]:
    matrices = random_matrices(request.param)
    return stored(dense_network(matrices)), [matrix.astype(np.float64) for matrix in matrices]


def test_sparsity(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    for row, matrix in zip(
        sparsity(database, name, near_zero=0.3).records(), matrices, strict=True
    ):
        kept = (np.abs(matrix) > 0.3).sum(axis=0)
        assert row["links"] == matrix.size
        assert row["zero"] == pytest.approx((matrix == 0).mean())
        assert row["near_zero"] == pytest.approx((np.abs(matrix) <= 0.3).mean())
        degrees = (row["in_degree_min"], row["in_degree_mean"], row["in_degree_max"])
        assert degrees == pytest.approx((kept.min(), kept.mean(), kept.max()))
        sent = (np.abs(matrix) > 0.3).sum(axis=1)
        degrees = (row["out_degree_min"], row["out_degree_mean"], row["out_degree_max"])
        assert degrees == pytest.approx((sent.min(), sent.mean(), sent.max()))
        assert row["mean_magnitude"] == pytest.approx(np.abs(matrix).mean(), rel=1e-12)


def test_moments(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    for row, matrix in zip(moments(database, name).records(), matrices, strict=True):
        values = matrix.ravel()
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-12, abs=1e-15)
        assert row["std"] == pytest.approx(values.std(), rel=1e-12)
        assert row["skewness"] == pytest.approx(stats.skew(values), rel=1e-9, abs=1e-12)
        assert row["kurtosis"] == pytest.approx(stats.kurtosis(values), rel=1e-9, abs=1e-12)


def test_moments_far_from_zero(database: Database, stored: Callable[..., str]) -> None:
    values = 1e6 + np.random.default_rng(0).exponential(size=(20, 20))
    name = stored(dense_network([values]))
    row = moments(database, name).records()[0]
    assert row["kurtosis"] == pytest.approx(stats.kurtosis(values.ravel()), rel=1e-6)
    equal = stored(dense_network([np.ones((2, 2))]))
    assert moments(database, equal).rows[0][-2:] == [None, None]


def test_layer_matrix(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    table = layer_matrix(database, name).records()
    assert [(row["source_index"], row["target_index"]) for row in table] == [
        (number, number + 1) for number in range(len(matrices))
    ]
    for row, matrix in zip(table, matrices, strict=True):
        assert (row["links"], row["type"]) == (matrix.size, "LINK")
        assert row["sum"] == pytest.approx(matrix.sum(), rel=1e-9, abs=1e-12)
        assert row["mean"] == pytest.approx(matrix.mean(), rel=1e-9, abs=1e-12)
        assert row["magnitude"] == pytest.approx(np.abs(matrix).sum(), rel=1e-12)
        assert row["mean_magnitude"] == pytest.approx(np.abs(matrix).mean(), rel=1e-12)


def test_layer_matrix_of_shortcuts(database: Database, stored: Callable[..., str]) -> None:
    name = stored(build(GRAPHS["residual"](), "shared", allow_opaque=False))
    table = layer_matrix(database, name, wires=True)
    total = sum(row["links"] for row in table.records() if row["type"] == "LINK")
    assert total == sum(sparsity(database, name).column("links"))
    assert {row["type"] for row in table.records()} == {"LINK", "WIRE"}
    assert {row["type"] for row in layer_matrix(database, name).records()} == {"LINK"}


def test_spectra(database: Database, network: tuple[str, list[Any]]) -> None:
    name, matrices = network
    for row, matrix in zip(spectra.spectra(database, name).records(), matrices, strict=True):
        norm, frobenius = np.linalg.norm(matrix, 2), np.linalg.norm(matrix)
        assert (row["rows"], row["columns"]) == matrix.shape
        assert row["spectral_norm"] == pytest.approx(norm, rel=1e-12)
        assert row["frobenius_norm"] == pytest.approx(frobenius, rel=1e-12)
        assert row["stable_rank"] == pytest.approx((frobenius / norm) ** 2, rel=1e-12)
        assert row["rank"] == np.linalg.matrix_rank(matrix)
        shares = np.linalg.svd(matrix)[1]
        shares = shares[shares > 0] / shares.sum()
        assert row["effective_rank"] == pytest.approx(math.exp(stats.entropy(shares)), rel=1e-9)


def test_spectra_of_a_convolution(database: Database, stored: Callable[..., str]) -> None:
    """Shared: the kernel as a matrix. Unrolled: the linear map that the convolution is."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(2, 3, 3, padding=1, bias=False)
    kernel = conv.weight.detach().double().numpy()
    identity = torch.eye(2 * 4 * 4).reshape(-1, 2, 4, 4)
    operator = conv(identity).detach().double().numpy().reshape(2 * 4 * 4, -1)
    for view, matrix in (("shared", kernel.reshape(3, -1).T), ("unrolled", operator)):
        name = stored(ingest.read(conv, input_shape=(2, 4, 4), view=view))
        (row,) = spectra.spectra(database, name).records()
        assert row["columns"] == matrix.shape[1]
        assert row["spectral_norm"] == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-6)
        assert row["frobenius_norm"] == pytest.approx(np.linalg.norm(matrix), rel=1e-6)


def test_a_large_matrix_has_its_norms(
    database: Database, network: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = network
    whole = spectra.spectra(database, name)
    layers = scope.places(database, name)
    monkeypatch.setattr(spectra, "LARGEST", 3)
    for row, layer in zip(whole.rows, layers[1:], strict=True):
        found = measures(weight_matrix(layer, layer_links(database, layer), unrolled=False))
        assert found[:5] == pytest.approx(row[2:7], rel=1e-6)
        assert found[5:] == [None, None]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.zeros((4, 3)), [4, 3, 0.0, 0.0, None, 0.0, 0]),
        (np.array([[3.0, 4.0]]), [1, 2, 5.0, 5.0, 1.0, 1.0, 1]),
        (np.array([[3.0], [4.0]]), [2, 1, 5.0, 5.0, 1.0, 1.0, 1]),
    ],
)
def test_a_large_matrix_that_arpack_does_not_take(
    monkeypatch: pytest.MonkeyPatch, matrix: Any, expected: list[Any]
) -> None:
    monkeypatch.setattr(spectra, "LARGEST", 1)
    assert measures(csr_array(matrix)) == pytest.approx(expected)


def test_a_large_matrix_always_has_the_same_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectra, "LARGEST", 1)
    matrix = csr_array(np.random.default_rng(0).normal(size=(40, 30)))
    assert len({measures(matrix)[3] for _ in range(5)}) == 1


def test_tied_layers(database: Database, stored: Callable[..., str]) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(3, 3, bias=False)
            self.second = torch.nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight
            self.last = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(self.second(torch.relu(self.first(x))))
            return found

    name = stored(ingest.read(Tied(), input_shape=(3,)))
    (row,) = weight_tying(database, name).records()
    assert {row["tensor"], *row["aliases"]} == {"first.weight", "second.weight"}
    assert row["layers"] == ["first", "second"]
    assert (row["weights"], row["links"], row["uses"]) == (9, 18, 2.0)
    whole = weight_tying(database, name, tied=False).records()
    assert [each["uses"] for each in whole] == [2.0, 1.0]


def test_an_unrolled_convolution_shares_weights(
    database: Database, stored: Callable[..., str]
) -> None:
    conv = torch.nn.Conv1d(1, 2, 2, bias=False)
    name = stored(ingest.read(conv, input_shape=(1, 5), view="unrolled"))
    (row,) = weight_tying(database, name).records()
    assert (row["weights"], row["links"], row["uses"]) == (4, 16, 4.0)
    shared = stored(ingest.read(conv, input_shape=(1, 5)))
    assert weight_tying(database, shared).rows == []


def test_snapshot_correlation(database: Database, stored: Callable[..., str]) -> None:
    random = np.random.default_rng(1)
    run = "snapshots of a test"
    before = [random.normal(size=(4, 3)), random.normal(size=(3, 2))]
    after = [before[0] + 0.1 * random.normal(size=(4, 3)), before[1]]
    zeros = [np.zeros((4, 3)), before[1] * -2]
    for step, matrices in enumerate((before, after, zeros)):
        stored(dense_network(matrices), run=run, step=step)
    table = snapshot_correlation(database, run)
    assert table.column("step") == [1, 1, 2, 2]
    expected = [
        (np.corrcoef(before[0].ravel(), after[0].ravel())[0, 1],
         np.linalg.norm(after[0] - before[0]) / np.linalg.norm(before[0])),
        (1.0, 0.0), (None, 1.0), (-1.0, 3.0),
    ]  # fmt: skip
    for row, (correlation, change) in zip(table.records(), expected, strict=True):
        assert row["correlation"] == (correlation and pytest.approx(correlation, rel=1e-9))
        assert row["relative_change"] == pytest.approx(change, rel=1e-9)
    only = snapshot_correlation(database, run, layer="fc2")
    assert only.rows == [row for row in table.rows if row[3] == "fc2"]
    stored(dense_network([np.ones((4, 2)), np.ones((2, 2))]), run=run, step=3)
    with pytest.raises(InvalidArgument, match="have not the same layers and links"):
        snapshot_correlation(database, run)


def test_snapshots_of_equal_counts_but_other_shapes_are_not_paired(
    database: Database, stored: Callable[..., str]
) -> None:
    run = "shapes of a test"
    for step, sizes in enumerate(((4, 3, 2), (6, 2, 3))):
        stored(dense_network([np.ones(e) for e in itertools.pairwise(sizes)]), run=run, step=step)
    for layer in (None, "fc1", "fc2"):
        with pytest.raises(InvalidArgument, match="have not the same layers and links"):
            snapshot_correlation(database, run, layer=layer)


def test_equal_weights_have_no_correlation(database: Database, stored: Callable[..., str]) -> None:
    """Of -1/3, the deviation that NumPy gives is not 0."""
    equal = np.full((9, 3), -1 / 3)
    assert equal.std() > 0
    run = "equal weights of a test"
    for step, matrix in enumerate((equal, np.random.default_rng(0).normal(size=(9, 3)))):
        stored(dense_network([matrix]), run=run, step=step)
    assert snapshot_correlation(database, run).column("correlation") == [None]


def _dead(database: Database, name: str, **options: Any) -> dict[tuple[str, int], str]:
    table = dead_units(database, name, **options)
    return {(row["layer"], row["neuron"]): row["reason"] for row in table.records()}


def test_dead_units(database: Database, stored: Callable[..., str]) -> None:
    matrices = [
        np.array([[0, -1, 2, -3], [0, -2, 1, 1]], dtype=np.float32),
        np.array([[1, 50, 1], [1, 1, 0.5], [-1, 1, 0], [1, -20, 0]], dtype=np.float32),
        np.array([[1, 1], [0, 0], [0, 1]], dtype=np.float32),
    ]
    biases = [
        np.array([1, -0.5, 0, -3], dtype=np.float32),
        np.array([0, 30, 0], dtype=np.float32),
        np.zeros(2, dtype=np.float32),
    ]
    name = stored(dense_network(matrices, biases, activations=["relu", "sigmoid", "identity"]))
    # Inputs may be negative: nothing is known of what is above 0.
    assert _dead(database, name) == {("fc1", 0): "no input", ("fc2", 1): "no output"}
    found = {
        ("fc1", 0): "no input", ("fc1", 1): "never active", ("fc1", 3): "never active",
        ("fc2", 1): "no output",
    }  # fmt: skip
    assert _dead(database, name, low=0.0, high=1.0) == found
    rows = {
        (row["layer"], row["neuron"]): row
        for row in dead_units(database, name, low=0.0, high=1.0).records()
    }
    assert (rows["fc1", 1]["least"], rows["fc1", 1]["greatest"]) == (-3.5, -0.5)
    assert rows["fc1", 3]["greatest"] == -2.0


def test_padding_may_make_a_unit_active(database: Database, stored: Callable[..., str]) -> None:
    """In the middle its sum is -4 at most; at a corner, where five of nine links are not, 1."""
    conv = torch.nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        conv.weight.fill_(-1)
        assert conv.bias is not None
        conv.bias.fill_(5)
    model = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 1))
    active = model[:2](torch.ones(1, 1, 4, 4)).flatten() > 0
    assert active.nonzero().flatten().tolist() == [0, 3, 12, 15]
    shared = stored(ingest.read(model, input_shape=(1, 4, 4)))
    assert _dead(database, shared, low=1.0, high=2.0) == {}
    unrolled = stored(ingest.read(model, input_shape=(1, 4, 4), view="unrolled"))
    dead = {neuron for _, neuron in _dead(database, unrolled, low=1.0, high=2.0)}
    assert dead == set(range(16)) - {0, 3, 12, 15}
    # Where nothing is left out, the bounds of the inputs are as tight as they were.
    dense = stored(dense_network([-np.ones((9, 1))], [np.array([5.0])], activations=["relu"]))
    assert _dead(database, dense, low=1.0, high=2.0) == {("fc1", 0): "never active"}


def test_a_dead_unit_is_dead_on_samples(database: Database, stored: Callable[..., str]) -> None:
    """What is called dead does nothing on any of many samples: a random search for a mistake."""
    from queries.forward import forward

    random = np.random.default_rng(5)
    for _ in range(6):
        matrices = [
            (random.normal(size=ends) - 0.8).astype(np.float32) for ends in ((3, 6), (6, 5), (5, 2))
        ]
        biases = [random.normal(size=n).astype(np.float32) for n in (6, 5, 2)]
        hidden = dense_network(matrices[:1], biases[:1], activations=["relu"])
        name = stored(hidden)
        samples = random.uniform(0, 1, size=(400, 3))
        active = np.asarray((forward(database, name, samples) > 0).any(axis=0))
        dead = [
            n
            for (_, n), why in _dead(database, name, low=0.0, high=1.0).items()
            if why == "never active"
        ]
        assert not active[np.array(dead, dtype=int)].any()


def test_saturated_units(database: Database, stored: Callable[..., str]) -> None:
    matrices = [np.array([[3, 1, -1]], dtype=np.float32)]
    biases = [np.array([9, 2, -9], dtype=np.float32)]
    name = stored(dense_network(matrices, biases, activations=["tanh"]))
    assert _dead(database, name, low=-1.0, high=1.0) == {
        ("fc1", 0): "saturated", ("fc1", 2): "saturated",
    }  # fmt: skip
    assert _dead(database, name, low=-1.0, high=1.0, level=8.0) == {("fc1", 2): "saturated"}
    assert _dead(database, name) == {}


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (
            lambda db: sparsity(db, "tiny", near_zero=-1.0),
            InvalidArgument,
            "near_zero cannot be -1",
        ),
        (lambda db: dead_units(db, "tiny", low=2.0, high=1.0), InvalidArgument, "Inputs cannot be"),
        (lambda db: dead_units(db, "tiny", level=0.0), InvalidArgument, "level cannot be 0.0"),
        (lambda db: snapshot_correlation(db, "nothing"), NotFound, "There is no run 'nothing'"),
        (lambda db: spectra.spectra(db, "nothing"), NotFound, "There is no network 'nothing'"),
        (
            lambda db: snapshot_correlation(db, "tiny-run", layer="fc9"),
            NotFound,
            "There is no layer 'fc9'",
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
