"""Strength and fluctuation against the design's numbers and the NumPy oracle."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ingest.network import Network
from ingest.removal import delete
from ingest.writer import write
from queries.links import links
from queries.options import Convention
from queries.strength import layer_strength, strength
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests import oracle
from tests.networks import dense_network

PUBLISHED = [("input", 0, 3.0), ("input", 1, 4.0), ("fc1", 0, 8.1), ("fc1", 1, 4.2),
             ("fc1", 2, -3.7), ("fc2", 0, 4.5), ("fc2", 1, 0.5)]  # fmt: skip
PLAIN = [("input", 0, 2.0), ("input", 1, 3.0), ("fc1", 0, 8.0), ("fc1", 1, 4.0),
         ("fc1", 2, -4.0), ("fc2", 0, 3.0), ("fc2", 1, 0.0)]  # fmt: skip


@pytest.mark.parametrize(("convention", "expected"), [("cnt", PUBLISHED), ("plain", PLAIN)])
def test_hand_checkable_strength(
    database: Database, tiny: str, convention: Convention, expected: list[tuple[str, int, float]]
) -> None:
    table = strength(database, tiny, convention=convention)
    assert table.columns == ("layer", "layer_index", "neuron", "in", "out", "total")
    got = [(layer, neuron, total) for layer, _, neuron, _, _, total in table.rows]
    assert [row[:2] for row in got] == [row[:2] for row in expected]
    assert [row[2] for row in got] == pytest.approx([row[2] for row in expected], abs=1e-12)


def test_hand_checkable_fluctuation(database: Database, tiny: str) -> None:
    cnt = layer_strength(database, tiny, convention="cnt")
    assert cnt.column("fluctuation") == pytest.approx([0.5, 4.908722395446248, 2.0], abs=1e-12)
    plain = layer_strength(database, tiny)
    expected = [np.std([2, 3]), np.std([8, 4, -4]), np.std([3, 0])]
    assert plain.column("fluctuation") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("convention", ["plain", "cnt"])
@pytest.mark.parametrize("bias", [False, True])
def test_strength_of_a_random_network(
    database: Database, stored: Callable[..., str], convention: Convention, bias: bool
) -> None:
    random = np.random.default_rng(7)
    matrices = [random.normal(size=s).astype(np.float32) for s in ((30, 17), (17, 9), (9, 4))]
    biases = [random.normal(size=s).astype(np.float32) for s in (17, 9, 4)]
    name = stored(dense_network(matrices, biases))
    expected = oracle.strengths(matrices, biases, convention=convention, bias=bias)

    table = strength(database, name, convention=convention, bias=bias)
    for column, position in (("in", 0), ("out", 1)):
        values = np.concatenate([layer[position] for layer in expected])
        np.testing.assert_allclose(table.column(column), values, rtol=0, atol=1e-12)
    totals = [received + sent for received, sent in expected]
    np.testing.assert_allclose(table.column("total"), np.concatenate(totals), rtol=0, atol=1e-12)

    by_layer = layer_strength(database, name, convention=convention, bias=bias)
    assert by_layer.column("neurons") == [30, 17, 9, 4]
    for column, of_layer in (
        ("mean", [total.mean() for total in totals]),
        ("fluctuation", [total.std(ddof=0) for total in totals]),
        ("min", [total.min() for total in totals]),
        ("max", [total.max() for total in totals]),
        ("in_mean", [received.mean() for received, _ in expected]),
        ("out_mean", [sent.mean() for _, sent in expected]),
    ):
        np.testing.assert_allclose(by_layer.column(column), of_layer, rtol=1e-12, atol=1e-12)


@st.composite
def small_networks(
    draw: st.DrawFn,
) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    values = st.floats(-100, 100, width=32)
    matrices = [
        draw(arrays.arrays(np.float32, shape, elements=values))
        for shape in itertools.pairwise(sizes)
    ]
    biases = [draw(arrays.arrays(np.float32, size, elements=values)) for size in sizes[1:]]
    return matrices, biases if draw(st.booleans()) else None


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(network=small_networks(), convention=st.sampled_from(["plain", "cnt"]), bias=st.booleans())
def test_any_small_network(
    database: Database,
    network: tuple[list[np.ndarray], list[np.ndarray] | None],
    convention: Convention,
    bias: bool,
) -> None:
    matrices, biases = network
    write(database, dense_network(matrices, biases), name="any small network", replace=True)
    table = strength(database, "any small network", convention=convention, bias=bias)
    expected = oracle.strengths(matrices, biases, convention=convention, bias=bias)
    np.testing.assert_allclose(
        table.column("total"), np.concatenate([a + b for a, b in expected]), rtol=0, atol=1e-9
    )
    statistics = links(database, "any small network", bias=bias)
    values = oracle.weights(matrices, biases, bias)
    np.testing.assert_allclose(
        statistics.column("std"), [v.std() for v in values], rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        statistics.column("median"), [np.quantile(v, 0.5) for v in values], rtol=1e-12, atol=1e-12
    )
    delete(database, "any small network")


def test_networks_do_not_mix(
    database: Database, stored: Callable[..., str], random_network: Callable[..., Network]
) -> None:
    first = stored(random_network(6, 5, 4, seed=1))
    before = strength(database, first).rows
    stored(random_network(6, 5, 4, seed=2))
    assert strength(database, first).rows == before
    assert len(before) == 15


def test_unknown_network_and_convention(database: Database, tiny: str) -> None:
    with pytest.raises(NotFound, match="There is no network 'nothing'"):
        strength(database, "nothing")
    with pytest.raises(InvalidArgument, match=r"convention cannot be 'CNT': .* plain, cnt"):
        strength(database, tiny, convention="CNT")  # type: ignore[arg-type]
