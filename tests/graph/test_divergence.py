"""Divergences against SciPy on the histograms that NumPy counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from queries.divergence import (
    Distributed,
    distribution,
    divergences,
    layer_divergence,
    network_divergence,
    run_divergence,
)
from queries.observing import observe
from store.database import Database
from store.errors import InvalidArgument
from tests import oracle
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices


def _scipy(
    one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], bins: int
) -> tuple[float, float]:
    low, high = min(one.min(), other.min()), max(one.max(), other.max())
    p, q = (np.histogram(each, bins, range=(low, high))[0] for each in (one, other))
    jeffreys = entropy(p + 0.5, q + 0.5) + entropy(q + 0.5, p + 0.5)
    return float(jeffreys), float(jensenshannon(p, q) ** 2)


@pytest.mark.parametrize("bins", [2, 7, 50])
@pytest.mark.parametrize("seed", range(3))
def test_as_scipy(bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.normal(size=100), random.normal(loc=seed, size=60)
    assert divergences(one, other, bins) == pytest.approx(_scipy(one, other, bins), rel=1e-9)
    assert divergences(one, other, bins) == pytest.approx(divergences(other, one, bins), rel=1e-9)


def test_bounds() -> None:
    same = np.arange(10.0)
    assert divergences(same, same, 5) == (0.0, 0.0)
    jeffreys, jensen_shannon = divergences(same, same + 1000, 50)
    assert jensen_shannon == pytest.approx(math.log(2), rel=1e-12)
    assert math.isfinite(jeffreys)
    assert divergences(np.ones(3), np.ones(4), 5)[1] == 0.0


@pytest.mark.parametrize("of", ["links", "in", "out", "total"])
def test_between_layers(database: Database, stored: Callable[..., str], of: Any) -> None:
    matrices = random_matrices(2)
    name = stored(dense_network(matrices))
    names = ["input", "fc1", "fc2", "fc3"]
    if of == "links":
        values = dict(zip(names[1:], oracle.weights(matrices, None, False), strict=True))
    else:
        sums = oracle.strengths(matrices, None)
        values = {
            layer: {"in": received, "out": sent, "total": received + sent}[of]
            for layer, (received, sent) in zip(names, sums, strict=True)
        }
    table = layer_divergence(database, name, what=Distributed(of, 6))
    assert len(table.rows) == len(values) * (len(values) - 1) // 2
    for one, other, jeffreys, jensen_shannon in table.rows:
        expected = _scipy(values[one], values[other], 6)
        assert (jeffreys, jensen_shannon) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    histogram = distribution(database, name, what=Distributed(of, 6))
    for layer, numbers in values.items():
        rows = [row for row in histogram.rows if row[0] == layer]
        counts, edges = np.histogram(numbers, 6)
        assert [row[4] for row in rows] == counts.tolist()
        assert [row[2] for row in rows] == pytest.approx(edges[:-1].tolist(), rel=1e-9)


def test_between_networks_and_snapshots(database: Database, stored: Callable[..., str]) -> None:
    run = "divergence of a test"
    random = np.random.default_rng(0)
    snapshots = [[random.normal(size=(5, 4)), random.normal(size=(4, 3))] for _ in range(3)]
    names = [
        stored(dense_network(matrices), run=run, step=step)
        for step, matrices in enumerate(snapshots)
    ]
    table = network_divergence(database, names[0], names[2], what=Distributed("links", 8))
    for (layer, *found), one, other in zip(table.rows, snapshots[0], snapshots[2], strict=True):
        assert layer in ("fc1", "fc2")
        assert found == pytest.approx(list(_scipy(one.ravel(), other.ravel(), 8)), rel=1e-9)
    for against, before in (("previous", [0, 1]), ("first", [0, 0])):
        rows = run_divergence(database, run, against=against, what=Distributed("links", 8)).rows  # type: ignore[arg-type]
        assert [row[0] for row in rows] == [1, 1, 2, 2]
        assert [row[2] for row in rows] == [names[number] for number in before for _ in range(2)]
        for row in rows:
            place = 0 if row[3] == "fc1" else 1
            one = snapshots[names.index(row[2])][place].ravel()
            other = snapshots[row[0]][place].ravel()
            assert row[4:] == pytest.approx(list(_scipy(one, other, 8)), rel=1e-9)
    unlike = stored(dense_network([np.ones((2, 2))], names=["other"]))
    with pytest.raises(InvalidArgument, match="have no layer of the same name"):
        network_divergence(database, names[0], unlike)


def test_on_data(database: Database, stored: Callable[..., str]) -> None:
    matrices = random_matrices(0)
    name = stored(dense_network(matrices))
    samples = np.random.default_rng(1).normal(size=(9, matrices[0].shape[0]))
    observe(database, name, samples, name="sample")
    hidden = samples @ matrices[0].astype(np.float64)
    after = hidden @ matrices[1].astype(np.float64)
    table = layer_divergence(database, name, what=Distributed("neurons_strength", 5, "sample"))
    found = next(row for row in table.rows if row[:2] == ["fc1", "fc2"])
    expected = _scipy(hidden.mean(axis=0), after.mean(axis=0), 5)
    assert found[2:] == pytest.approx(list(expected), rel=1e-6)
    with pytest.raises(InvalidArgument, match="neurons_strength is on an observed sample: name"):
        layer_divergence(database, name, what=Distributed("neurons_strength"))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (Distributed("weights"), "of cannot be 'weights': choose from links, in, out"),  # type: ignore[arg-type]
        (Distributed(bins=0), "bins cannot be 0"),
    ],
)
def test_bad_options(database: Database, tiny: str, what: Distributed, sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        distribution(database, tiny, what=what)
