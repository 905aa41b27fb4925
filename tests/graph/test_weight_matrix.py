"""The weights between two layers in cells, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ingest import ingest
from ingest.removal import delete
from queries import scope
from queries.weight_matrix import OFS, Of, weight_matrix
from queries.weights import layer_links, layer_wires
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests import models
from tests.networks import dense_network


def test_by_hand(database: Database, tiny: str) -> None:
    """[[1, -2, 3], [4, 5, -6]]: neurons 0 and 1 of fc1 share a column."""
    table = weight_matrix(database, tiny, "input", "fc1", columns=2)
    assert table.rows == [
        [0, 0, 0, 0, 0, 1, -0.5, 2, -2.0, 1.0],
        [0, 1, 0, 0, 2, 2, 3.0, 1, 3.0, 3.0],
        [1, 0, 1, 1, 0, 1, 4.5, 2, 4.0, 5.0],
        [1, 1, 1, 1, 2, 2, -6.0, 1, -6.0, -6.0],
    ]
    greatest = weight_matrix(database, tiny, "input", "fc1", rows=1, columns=1, of="greatest")
    assert greatest.rows == [[0, 0, 0, 1, 0, 2, -6.0, 6, -6.0, 5.0]]


def _cells(
    sources: np.ndarray[Any, Any],
    targets: np.ndarray[Any, Any],
    weights: np.ndarray[Any, Any],
    sizes: tuple[int, int],
    shape: tuple[int, int],
) -> dict[tuple[int, int], np.ndarray[Any, Any]]:
    """Weights by cell; a cell's neurons are counted out one by one."""
    of_source, of_target = (
        np.array([min(cell for cell in range(cells) if (cell + 1) * size > index * cells)
                  for index in range(size)])
        for size, cells in zip(sizes, shape, strict=True)
    )  # fmt: skip
    found: dict[tuple[int, int], list[float]] = {}
    for source, target, weight in zip(sources, targets, weights, strict=True):
        found.setdefault((int(of_source[source]), int(of_target[target])), []).append(weight)
    return {cell: np.array(values) for cell, values in found.items()}


def _check(table: Any, expected: dict[tuple[int, int], np.ndarray[Any, Any]], of: str) -> None:
    found = {(row["row"], row["column"]): row for row in table.records()}
    assert found.keys() == expected.keys()
    assert list(found) == sorted(found)
    for cell, weights in expected.items():
        row = found[cell]
        value = {
            "mean": weights.mean(),
            "absolute": np.abs(weights).mean(),
            "greatest": weights[np.abs(weights).argmax()],
        }[of]
        assert row["links"] == weights.size
        assert row["value"] == pytest.approx(value, rel=1e-12, abs=1e-15)
        assert (row["least"], row["greatest"]) == (weights.min(), weights.max())


@pytest.mark.parametrize("of", OFS)
@pytest.mark.parametrize("shape", [(128, 128), (5, 7), (1, 3)])
def test_dense(
    database: Database, stored: Callable[..., str], of: Of, shape: tuple[int, int]
) -> None:
    matrix = np.random.default_rng(2).normal(size=(23, 11)).astype(np.float32)
    name = stored(dense_network([matrix]))
    rows, columns = shape
    table = weight_matrix(database, name, "input", "fc1", rows=rows, columns=columns, of=of)
    sources, targets = np.indices(matrix.shape).reshape(2, -1)
    capped = (min(rows, 23), min(columns, 11))
    expected = _cells(sources, targets, matrix.ravel().astype(np.float64), (23, 11), capped)
    _check(table, expected, of)
    for side, size in (("source", 23), ("target", 11)):
        ranges = sorted({(row[f"{side}_first"], row[f"{side}_last"]) for row in table.records()})
        # One range after the other, from the first neuron to the last.
        assert [first for first, _ in ranges] == [0, *(last + 1 for _, last in ranges[:-1])]
        assert ranges[-1][1] == size - 1


@pytest.mark.parametrize("view", ["shared", "unrolled"])
def test_convolutions(database: Database, view: str) -> None:
    """Several links between two channels each count, and positions without links have no cell."""
    module, inputs = models.lenet()
    ingest(
        module, name="matrix", view=view, input_shape=inputs.shape[1:], replace=True,
        database=database,
    )  # fmt: skip
    try:
        layers = scope.places(database, "matrix")
        for target in layers[1:]:
            source = layers[target.fed_by[0]]
            links, wires = layer_links(database, target), layer_wires(database, target)
            for wired in (False, True):
                parts = [links, wires] if wired else [links]
                sources, targets, weights = (
                    np.concatenate(values)
                    for values in (
                        [part.sources - source.first for part in parts],
                        [part.targets - target.first for part in parts],
                        [part.weights for part in parts],
                    )
                )
                shape = (min(4, source.size), min(6, target.size))
                table = weight_matrix(
                    database, "matrix", source.name, target.name, rows=4, columns=6, wires=wired
                )
                sizes = (source.size, target.size)
                _check(table, _cells(sources, targets, weights, sizes, shape), "mean")
    finally:
        delete(database, "matrix")


def test_layers_that_are_not_neighbours(database: Database, tiny: str) -> None:
    assert weight_matrix(database, tiny, "input", "fc2").rows == []


def test_bad_options(database: Database, tiny: str, stored: Callable[..., str]) -> None:
    with pytest.raises(InvalidArgument, match="of cannot be 'sum'"):
        weight_matrix(database, tiny, "input", "fc1", of="sum")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="rows cannot be 0"):
        weight_matrix(database, tiny, "input", "fc1", rows=0)
    with pytest.raises(NotFound, match="There is no layer 'fc9'"):
        weight_matrix(database, tiny, "input", "fc9")
    wide = stored(dense_network([np.ones((300, 1), np.float32), np.ones((1, 300), np.float32)]))
    with pytest.raises(InvalidArgument, match="300 x 300 cells are too many"):
        weight_matrix(database, wide, "input", "fc2", rows=300, columns=300)
