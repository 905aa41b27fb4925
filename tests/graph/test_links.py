"""Link statistics and histogram against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from queries.links import histogram, links
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests import oracle
from tests.networks import dense_network

SHAPES = ((40, 23), (23, 11), (11, 3))


@pytest.fixture
def network() -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(3)
    matrices = [random.normal(scale=0.3, size=shape).astype(np.float32) for shape in SHAPES]
    matrices[0][:4] = 0.0
    return matrices, [random.normal(size=shape[1]).astype(np.float32) for shape in SHAPES]


@pytest.mark.parametrize("bias", [False, True])
def test_statistics(
    database: Database,
    stored: Callable[..., str],
    network: tuple[list[np.ndarray], list[np.ndarray]],
    bias: bool,
) -> None:
    name = stored(dense_network(*network))
    values = oracle.weights(*network, bias)
    table = links(database, name, bias=bias, near_zero=0.05)
    assert table.column("layer") == ["fc1", "fc2", "fc3"]
    assert table.column("links") == [len(v) for v in values]
    for column, expected in {
        "mean": [v.mean() for v in values],
        "std": [v.std(ddof=0) for v in values],
        "min": [v.min() for v in values],
        "q05": [np.quantile(v, 0.05) for v in values],
        "q25": [np.quantile(v, 0.25) for v in values],
        "median": [np.quantile(v, 0.5) for v in values],
        "q75": [np.quantile(v, 0.75) for v in values],
        "q95": [np.quantile(v, 0.95) for v in values],
        "max": [v.max() for v in values],
        "near_zero": [(np.abs(v) <= 0.05).mean() for v in values],
    }.items():
        np.testing.assert_allclose(table.column(column), expected, rtol=1e-11, err_msg=column)


@pytest.mark.parametrize("bias", [False, True])
def test_histogram(
    database: Database,
    stored: Callable[..., str],
    network: tuple[list[np.ndarray], list[np.ndarray]],
    bias: bool,
) -> None:
    name = stored(dense_network(*network))
    table = histogram(database, name, bins=13, bias=bias)
    for layer, values in zip(("fc1", "fc2", "fc3"), oracle.weights(*network, bias), strict=True):
        rows = [row for row in table.rows if row[0] == layer]
        counts, edges = np.histogram(values, bins=13)
        np.testing.assert_allclose([row[3] for row in rows], edges[:-1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose([row[4] for row in rows], edges[1:], rtol=1e-12, atol=1e-12)
        assert sum(row[5] for row in rows) == values.size
        # A weight on an inner edge may fall on either side of it by rounding.
        assert np.abs(np.cumsum([row[5] for row in rows]) - np.cumsum(counts)).max() <= 1
    only = histogram(database, name, layer="fc2", bins=13, bias=bias)
    assert only.rows == [row for row in table.rows if row[0] == "fc2"]


def test_histogram_of_equal_weights(database: Database, stored: Callable[..., str]) -> None:
    name = stored(dense_network([np.full((3, 2), 0.5, dtype=np.float32)]))
    table = histogram(database, name, bins=4)
    assert table.column("count") == [6, 0, 0, 0]
    assert set(table.column("low")) == {0.5}


def test_bad_options(database: Database, tiny: str) -> None:
    with pytest.raises(InvalidArgument, match="near_zero cannot be -1"):
        links(database, tiny, near_zero=-1.0)
    with pytest.raises(InvalidArgument, match="bins cannot be 0"):
        histogram(database, tiny, bins=0)
    with pytest.raises(NotFound, match="There is no layer 'fc9' in this network; it has input"):
        histogram(database, tiny, layer="fc9")
