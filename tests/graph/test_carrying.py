"""Links that carry a share of a neuron's input, against NumPy's cumulative sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from queries.carrying import carrying_counts, carrying_links
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Table
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_numpy(database: Database, stored: Callable[..., str], share: float, seed: int) -> None:
    matrices = random_matrices(seed)
    name = stored(dense_network(matrices))
    counts = carrying_counts(database, name, share=share)
    rows = iter(counts.records())
    for number, matrix in enumerate(matrices, start=1):
        for neuron in range(matrix.shape[1]):
            column = matrix[:, neuron].astype(np.float64)
            order = np.argsort(-np.abs(column), kind="stable")
            sums = np.cumsum(np.abs(column)[order])
            total = sums[-1]
            enough = 0
            while (sums[enough - 1] if enough else 0.0) < share * total:
                enough += 1
            row: dict[str, Any] = next(rows)
            assert (row["layer"], row["neuron"]) == (f"fc{number}", neuron)
            assert (row["links"], row["in_degree"]) == (enough, len(column))
            assert row["fraction"] == enough / len(column)
            if total:
                got = sums[enough - 1] / total if enough else 0.0
                assert row["share"] == pytest.approx(got, rel=1e-12)
            links = carrying_links(database, name, f"fc{number}/{neuron}", share=share)
            assert links.column("weight") == column[order][:enough].tolist()
            assert links.column("source") == [
                f"{'input' if number == 1 else f'fc{number - 1}'}/{source}"
                for source in order[:enough]
            ]
            if enough:
                assert sum(links.column("share")) == pytest.approx(got, rel=1e-12)
    assert next(rows, None) is None


def test_one_layer(database: Database, tiny: str) -> None:
    whole = carrying_counts(database, tiny)
    assert carrying_counts(database, tiny, layer="fc2").rows == [
        row for row in whole.rows if row[0] == "fc2"
    ]


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda db: carrying_counts(db, "tiny", share=1.1), InvalidArgument, "share cannot be 1.1"),
        (lambda db: carrying_counts(db, "tiny", layer="fc9"), NotFound, "There is no layer 'fc9'"),
        (
            lambda db: carrying_links(db, "tiny", "fc1"),
            InvalidArgument,
            "'fc1' names no neuron: write LAYER/INDEX, such as 'fc1/0'.",
        ),
        (
            lambda db: carrying_links(db, "tiny", "fc1/0-1"),
            InvalidArgument,
            "'fc1/0-1' names 2 neurons: one is wanted.",
        ),
        (lambda db: carrying_links(db, "tiny", "fc1/9"), NotFound, "there is no neuron 9"),
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
