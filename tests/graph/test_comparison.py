"""Differences and matches, on networks that are known to be the same, permuted, or changed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ingest
from ingest.removal import delete
from queries.comparison import difference, link_difference, neuron_difference
from queries.forward import forward
from queries.matching import match, matches, unmatch
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Query, Table
from tests.networks import dense_network

SIZES = (6, 9, 8, 7, 4)
MATCHES = Query(
    "count_matches_for_the_test",
    "Matches from one network.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->()-[:HAS_NEURON]->()-[match:MATCHES]->()
RETURN count(match) AS matches
""",
    ("matches",),
)

Weights = tuple[list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]


def _random(seed: int, sizes: tuple[int, ...] = SIZES) -> Weights:
    random = np.random.default_rng(seed)
    matrices = [random.normal(size=(a, b)).astype(np.float32) for a, b in itertools.pairwise(sizes)]
    return matrices, [random.normal(size=size).astype(np.float32) for size in sizes[1:]]


def _permuted(weights: Weights, seed: int) -> tuple[Weights, list[np.ndarray[Any, Any]]]:
    """Hidden neurons in another order; new place -> old place, for each layer."""
    random = np.random.default_rng(seed)
    matrices, biases = ([value.copy() for value in values] for values in weights)
    orders = []
    for hidden in range(len(matrices) - 1):
        order = random.permutation(matrices[hidden].shape[1])
        matrices[hidden] = matrices[hidden][:, order]
        biases[hidden] = biases[hidden][order]
        matrices[hidden + 1] = matrices[hidden + 1][order]
        orders.append(order)
    return (matrices, biases), orders


def test_the_same_network_differs_in_nothing(
    database: Database, stored: Callable[..., str]
) -> None:
    weights = _random(0)
    name, copy = stored(dense_network(*weights)), stored(dense_network(*weights))
    table = difference(database, name, copy)
    assert set(table.column("status")) == {"same"}
    assert table.column("norm")[1:] == [0.0] * 4
    assert table.column("cosine")[1:] == pytest.approx([1.0] * 4)
    assert difference(database, name, copy, changed_only=True).rows == []
    assert set(neuron_difference(database, name, copy).column("norm")) == {0.0}
    assert link_difference(database, name, copy, "fc2").rows == []


def test_changes_as_numpy(database: Database, stored: Callable[..., str]) -> None:
    before, after = _random(0), _random(0)
    random = np.random.default_rng(9)
    after[0][1] = (after[0][1] + random.normal(size=after[0][1].shape)).astype(np.float32)
    after[1][2] = after[1][2] + np.float32(0.5)
    name, other = stored(dense_network(*before)), stored(dense_network(*after))
    table = {row["layer"]: row for row in difference(database, name, other).records()}
    assert {layer: row["status"] for layer, row in table.items()} == {
        "input": "same", "fc1": "same", "fc2": "changed", "fc3": "changed", "fc4": "same",
    }  # fmt: skip
    old, new = (m[0][1].astype(np.float64) for m in (before, after))
    row = table["fc2"]
    assert row["links"] == old.size
    assert row["mean"] == pytest.approx((new - old).mean(), rel=1e-9)
    assert row["max"] == np.abs(new - old).max()
    assert row["norm"] == pytest.approx(np.linalg.norm(new - old), rel=1e-12)
    assert row["relative_norm"] == pytest.approx(
        np.linalg.norm(new - old) / np.linalg.norm(old), rel=1e-12
    )
    cosine = (old * new).sum() / np.linalg.norm(old) / np.linalg.norm(new)
    assert row["cosine"] == pytest.approx(cosine, rel=1e-9)
    assert (row["bias_max"], table["fc3"]["bias_max"]) == (0.0, pytest.approx(0.5, rel=1e-6))
    neurons = neuron_difference(database, name, other, layer="fc2").records()
    norms = np.linalg.norm(new - old, axis=0)
    assert [each["neuron"] for each in neurons] == np.argsort(-norms).tolist()
    assert [each["norm"] for each in neurons] == pytest.approx(sorted(norms, reverse=True))
    sums = (new - old).sum(axis=0)
    assert [each["strength_difference"] for each in neurons] == pytest.approx(
        [sums[each["neuron"]] for each in neurons], rel=1e-9, abs=1e-12
    )
    links = link_difference(database, name, other, "fc2", k=5).records()
    flat = np.argsort(-np.abs(new - old), axis=None)[:5]
    expected = [np.unravel_index(place, old.shape) for place in flat]
    for row, (source, target) in zip(links, expected, strict=True):
        assert (row["source"], row["target"]) == (f"fc1/{source}", f"fc2/{target}")
        assert (row["before"], row["after"]) == (old[source, target], new[source, target])


def test_other_architectures(database: Database, stored: Callable[..., str]) -> None:
    one = dense_network(*_random(0, (3, 4, 2)), names=["a", "b"])
    two = dense_network(*_random(0, (3, 5, 2)), names=["a", "c"])
    name, other = stored(one), stored(two)
    table = difference(database, name, other)
    assert [(row[0], row[2]) for row in table.rows] == [
        ("input", "same"), ("a", "resized"), ("b", "only_here"), ("c", "only_there"),
    ]  # fmt: skip
    neurons = neuron_difference(database, name, other)
    assert neurons.rows == []
    assert neurons.notes[0] == "Not comparable, and left out: a, b."
    with pytest.raises(InvalidArgument, match="Layer 'a' has other neurons or links"):
        link_difference(database, name, other, "a")
    with pytest.raises(InvalidArgument, match="have not layers of the same names and sizes"):
        match(database, name, other)


@pytest.mark.parametrize("seed", range(4))
def test_a_permuted_copy_is_found_and_gives_an_empty_difference(
    database: Database, stored: Callable[..., str], seed: int
) -> None:
    weights = _random(seed)
    permuted, orders = _permuted(weights, seed + 50)
    name, other = stored(dense_network(*weights)), stored(dense_network(*permuted))
    assert difference(database, name, other, changed_only=True).rows
    with pytest.raises(NotFound, match="were not matched: `weightome match` does that"):
        difference(database, name, other, matched=True)
    found = match(database, name, other)
    assert matches(database, name, other).rows == found.rows
    for layer, order in zip(("fc1", "fc2", "fc3"), orders, strict=True):
        rows = [row for row in found.records() if row["layer"] == layer]
        assert [order[row["other_neuron"]] for row in rows] == list(range(len(order)))
        assert [row["similarity"] for row in rows] == pytest.approx([1.0] * len(order))
    assert difference(database, name, other, matched=True, changed_only=True).rows == []
    table = neuron_difference(database, name, other, matched=True)
    assert set(table.column("norm")) == {0.0}
    unmatch(database, name, other)
    assert matches(database, name, other).rows == []


def test_a_noisy_permuted_copy(database: Database, stored: Callable[..., str]) -> None:
    weights = _random(1, (20, 16, 12, 5))
    permuted, orders = _permuted(weights, 3)
    random = np.random.default_rng(0)
    noisy = [
        (matrix + 0.05 * random.normal(size=matrix.shape)).astype(np.float32)
        for matrix in permuted[0]
    ]
    name, other = stored(dense_network(*weights)), stored(dense_network(noisy, permuted[1]))
    found = match(database, name, other)
    for layer, order in zip(("fc1", "fc2"), orders, strict=True):
        rows = [row for row in found.records() if row["layer"] == layer]
        assert [order[row["other_neuron"]] for row in rows] == list(range(len(order)))
        assert all(0.98 < row["similarity"] < 1 for row in rows)


def test_by_activations(database: Database, stored: Callable[..., str]) -> None:
    weights = _random(2, (6, 9, 8, 4))
    permuted, orders = _permuted(weights, 7)
    relu = ["relu", "relu", "identity"]
    name = stored(dense_network(*weights, activations=relu))
    other = stored(dense_network(*permuted, activations=relu))
    samples = np.random.default_rng(1).normal(size=(600, 6))
    np.testing.assert_allclose(
        forward(database, name, samples), forward(database, other, samples), rtol=1e-5, atol=1e-5
    )
    found = match(database, name, other, by="activations", inputs=samples)
    for layer, order in zip(("fc1", "fc2"), orders, strict=True):
        rows = [row for row in found.records() if row["layer"] == layer]
        assert [order[row["other_neuron"]] for row in rows] == list(range(len(order)))
        assert all(row["similarity"] is None or row["similarity"] > 0.999 or row["similarity"] == 0
                   for row in rows)  # fmt: skip
    assert difference(database, name, other, matched=True, changed_only=True).rows == []
    with pytest.raises(InvalidArgument, match="Matching by activations needs a sample"):
        match(database, name, other, by="activations")


class Block(torch.nn.Module):
    """Convolutions with norms and a shortcut: its channels are permuted together."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(2, 5, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(5)
        self.inner = torch.nn.Conv2d(5, 5, 3, padding=1)
        self.last = torch.nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm(self.first(x)))
        y = torch.relu(y + self.inner(y))
        found: torch.Tensor = self.last(y.mean(dim=(2, 3)))
        return found


@pytest.mark.parametrize("by", ["weights", "activations"])
def test_a_permuted_residual_block(database: Database, stored: Callable[..., str], by: Any) -> None:
    torch.manual_seed(0)
    block, copy = Block().eval(), Block().eval()
    with torch.no_grad():
        for tensor in (*block.norm.parameters(), *block.norm.buffers()):
            if tensor.ndim:
                tensor.uniform_(0.5, 2)
        copy.load_state_dict(block.state_dict())
        order = torch.tensor([3, 0, 4, 1, 2])
        for module in (copy.first, copy.norm, copy.inner):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.ndim:
                    tensor.copy_(tensor[order])
        copy.inner.weight.copy_(copy.inner.weight[:, order])
        copy.last.weight.copy_(copy.last.weight[:, order])
        x = torch.randn(40, 2, 4, 4)
        torch.testing.assert_close(block(x), copy(x))
    name, other = (stored(ingest.read(each, input_shape=(2, 4, 4))) for each in (block, copy))
    samples = x.numpy() if by == "activations" else None
    found = match(database, name, other, by=by, inputs=samples)
    for layer in ("first", "norm", "inner"):
        rows = [row for row in found.records() if row["layer"] == layer]
        assert [int(order[row["other_neuron"]]) for row in rows] == list(range(5))
    assert difference(database, name, other, matched=True, changed_only=True).rows == []


def test_matches_are_replaced_and_go_with_a_network(
    database: Database, stored: Callable[..., str]
) -> None:
    weights = _random(0)
    name, other = stored(dense_network(*weights)), stored(dense_network(*weights))
    match(database, name, other)
    match(database, name, other)
    assert database.read(MATCHES, network=name).rows == [[sum(SIZES)]]
    delete(database, other)
    assert database.read(MATCHES, network=name).rows == [[0]]


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda db: difference(db, "tiny", "nothing"), NotFound, "There is no network 'nothing'"),
        (
            lambda db: neuron_difference(db, "tiny", "tiny", layer="x"),
            NotFound,
            "There is no layer",
        ),
        (
            lambda db: link_difference(db, "tiny", "tiny", "fc1", k=0),
            InvalidArgument,
            "k cannot be",
        ),
        (
            lambda db: match(db, "tiny", "tiny", by="name"),  # type: ignore[arg-type]
            InvalidArgument,
            "by cannot be 'name'",
        ),
        (lambda db: matches(db, "nothing", "tiny"), NotFound, "There is no network 'nothing'"),
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
