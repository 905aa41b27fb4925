"""Training dynamics across snapshots against NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ingest.removal import delete
from ingest.writer import write
from queries.dynamics import STATISTICS, dynamics
from queries.options import Convention
from store.database import Database
from store.errors import InvalidArgument, NotFound
from tests import oracle
from tests.networks import dense_network

SHAPES = ((9, 6), (6, 4))
STEPS = (10, 0, 200)


@pytest.fixture(scope="module")
def run(database: Database) -> Iterator[dict[int, tuple[list[np.ndarray], list[np.ndarray]]]]:
    snapshots = {}
    for step in STEPS:
        random = np.random.default_rng(step)
        matrices = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
        biases = [random.normal(size=shape[1]).astype(np.float32) for shape in SHAPES]
        snapshots[step] = (matrices, biases)
        write(
            database,
            dense_network(matrices, biases),
            name=f"dynamics {step}",
            run="dynamics",
            step=step,
            metrics={"accuracy": step / 1000, "loss value": 1.0},
        )
    yield snapshots
    for step in STEPS:
        delete(database, f"dynamics {step}")


def _expected(
    statistic: str,
    matrices: list[np.ndarray],
    biases: list[np.ndarray],
    convention: Convention,
    bias: bool,
) -> list[float]:
    if statistic.startswith("link_"):
        values = oracle.weights(matrices, biases, bias)
        return [
            float({"mean": v.mean(), "std": v.std(), "min": v.min(), "max": v.max()}[statistic[5:]])
            for v in values
        ]
    pairs = oracle.strengths(matrices, biases, convention=convention, bias=bias)
    return [
        float(
            {
                "strength_mean": (received + sent).mean(),
                "fluctuation": (received + sent).std(),
                "in_mean": received.mean(),
                "out_mean": sent.mean(),
            }[statistic]
        )
        for received, sent in pairs
    ]


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("convention", "bias"), [("plain", False), ("plain", True), ("cnt", True)])
def test_statistics(
    database: Database,
    run: dict[int, tuple[list[np.ndarray], list[np.ndarray]]],
    statistic: str,
    convention: Convention,
    bias: bool,
) -> None:
    table = dynamics(database, "dynamics", statistic, convention=convention, bias=bias)
    assert table.columns == ("step", "network", "layer", "layer_index", "value")
    for step in sorted(STEPS):
        values = [row[4] for row in table.rows if row[0] == step]
        expected = _expected(statistic, *run[step], convention, bias)
        np.testing.assert_allclose(values, expected, rtol=1e-11, atol=1e-12)
    steps = table.column("step")
    assert steps == sorted(steps)
    of_layer = dynamics(
        database, "dynamics", statistic, layer="fc2", convention=convention, bias=bias
    )
    assert of_layer.rows == [row for row in table.rows if row[2] == "fc2"]
    assert len(of_layer.rows) == 3


def test_metric(
    database: Database, run: dict[int, tuple[list[np.ndarray], list[np.ndarray]]]
) -> None:
    table = dynamics(database, "dynamics", "metric:accuracy")
    assert table.rows == [
        [step, f"dynamics {step}", None, None, step / 1000] for step in (0, 10, 200)
    ]
    assert dynamics(database, "dynamics", "metric:loss value").column("value") == [1.0] * 3


def test_unknown(
    database: Database, run: dict[int, tuple[list[np.ndarray], list[np.ndarray]]]
) -> None:
    with pytest.raises(NotFound, match="There is no run 'walk'"):
        dynamics(database, "walk")
    with pytest.raises(NotFound, match="has a metric 'f1'"):
        dynamics(database, "dynamics", "metric:f1")
    with pytest.raises(NotFound, match="has a layer 'fc3' to measure"):
        dynamics(database, "dynamics", layer="fc3")
    with pytest.raises(InvalidArgument, match="statistic cannot be 'speed': choose from link_mean"):
        dynamics(database, "dynamics", "speed")
