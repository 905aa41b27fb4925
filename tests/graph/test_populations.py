"""Any statistic over sets of networks: tables, AUCs and shuffles against their definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from ingest.removal import delete
from ingest.writer import write
from queries import neuron_measures
from queries.dynamics import dynamics
from queries.layer_values import Statistic
from queries.population import population
from queries.population_statistics import Groups, auc, population_auc, population_table
from queries.run_statistic import run_statistic
from queries.shuffles import SHUFFLED, shuffle_zscore
from queries.strength import layer_strength, strength
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Table
from tests import oracle
from tests.networks import dense_network
from tests.oracle_graphs import random_matrices


@pytest.fixture
def networks(stored: Callable[..., str]) -> tuple[str, list[str], list[list[Any]]]:
    """A pattern, the names it means, and their matrices: accuracy rises with the scale."""
    names, matrices = [], []
    for number in range(8):
        random = np.random.default_rng(number)
        scale = 1 + number / 4
        found = [scale * random.normal(size=ends) for ends in ((5, 4), (4, 3))]
        metrics = {} if number == 7 else {"accuracy": number / 10}
        names.append(stored(dense_network(found), metrics=metrics))
        matrices.append(found)
    return names[0][:-1] + "*", names, matrices


def _fluctuations(matrices: list[Any]) -> list[float]:
    return [float((i + o).std()) for i, o in oracle.strengths(matrices, None)]


def test_population(database: Database, networks: tuple[str, list[str], list[list[Any]]]) -> None:
    pattern, names, _ = networks
    table = population(database, pattern)
    assert table.column("network") == names
    assert table.column("metrics")[:2] == [{"accuracy": 0.0}, {"accuracy": 0.1}]
    assert population(database, names[3]).column("network") == [names[3]]


PREFIX = "patterns of a test "
NAMES = [
    "a.b(c", "axb", "ab", "a", "aa", "aba", "[x]+1", "x1", "1\\Q2", "12", "$^a|b", "ä", "äb雪",
    "ba", "a" * 150,
]  # fmt: skip


@pytest.fixture(scope="module")
def patterned(database: Database) -> Iterator[list[str]]:
    """Networks whose names are hard to match."""
    for name in NAMES:
        write(database, dense_network([np.ones((1, 1))]), name=PREFIX + name, replace=True)
    yield [PREFIX + name for name in NAMES]
    for name in NAMES:
        delete(database, PREFIX + name)


@pytest.mark.parametrize(
    "pattern",
    [
        "a.b*",
        "*",
        "a*b",
        "*b",
        "ab",
        "*a*b*",
        "a*a",
        "[x]+*",
        "*\\Q*",
        "$^*|*",
        "ä*雪",
        "**a**",
        "",
    ],
)
def test_patterns_as_fnmatch(database: Database, patterned: list[str], pattern: str) -> None:
    # What fnmatch takes for more than itself stands in brackets.
    plain = "".join(f"[{char}]" if char in "[?" else char for char in PREFIX + pattern)
    expected = sorted(name for name in patterned if fnmatchcase(name, plain))
    if expected:
        assert sorted(population(database, PREFIX + pattern).column("network")) == expected
    else:
        with pytest.raises(NotFound, match="There is no network that matches"):
            population(database, PREFIX + pattern)


def test_a_pattern_of_many_stars_takes_no_time(database: Database) -> None:
    """A regular expression would try more ways than there are atoms."""
    name = "many stars " + "a" * 180
    write(database, dense_network([np.ones((1, 1))]), name=name, replace=True)
    try:
        with pytest.raises(NotFound):
            population(database.limited(seconds=20), "many stars " + "*a" * 60 + "*b")
        assert population(database, "many stars " + "*a" * 60).column("network") == [name]
    finally:
        delete(database, name)


def test_table(database: Database, networks: tuple[str, list[str], list[list[Any]]]) -> None:
    pattern, names, matrices = networks
    rows = population_table(database, pattern).records()
    assert len(rows) == 8 * 3
    for name, found in zip(names, matrices, strict=True):
        own = [row for row in rows if row["network"] == name]
        assert [row["value"] for row in own] == pytest.approx(_fluctuations(found), rel=1e-9)
    assert rows[-1]["metric"] is None
    assert rows[0]["metric"] == 0.0


@pytest.mark.parametrize(
    ("aggregate", "numpy"), [("mean", np.mean), ("std", np.std), ("max", np.max)]
)
def test_a_column_is_aggregated(
    database: Database,
    networks: tuple[str, list[str], list[list[Any]]],
    aggregate: Any,
    numpy: Callable[[Any], float],
) -> None:
    _, names, matrices = networks
    of = Statistic("strength", "total", aggregate, ("convention=cnt",))
    rows = population_table(database, names[2], of=of).records()
    sums = oracle.strengths(matrices[2], None, convention="cnt")
    expected = [float(numpy(received + sent)) for received, sent in sums]
    assert [row["value"] for row in rows] == pytest.approx(expected, rel=1e-9)


def test_a_question_without_layers(database: Database, tiny: str) -> None:
    rows = population_table(database, tiny, of=Statistic("architecture", "effective_depth")).rows
    assert rows == [["tiny", 0.5, None, None, 2.0]]


def test_over_a_run(database: Database, stored: Callable[..., str]) -> None:
    run = "run statistic of a test"
    for step in range(3):
        stored(
            dense_network(random_matrices(0)[:2] if step else random_matrices(0)),
            run=run,
            step=step,
        )
    table = run_statistic(database, run)
    ours = dynamics(database, run, "fluctuation")
    assert [row[:4] for row in table.rows] == [row[:4] for row in ours.rows]
    assert table.column("value") == pytest.approx(ours.column("value"), rel=1e-12)
    only = run_statistic(database, run, layer="fc3")
    assert only.column("step") == [0]
    with pytest.raises(NotFound, match=r"No snapshot of run .* has a layer 'fc9' to measure"):
        run_statistic(database, run, layer="fc9")


@pytest.mark.parametrize("seed", range(5))
def test_auc_as_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    low, high = (random.integers(n, 6 + n, size=9 - n).astype(np.float64) for n in (0, 2))
    truth = [0] * 9 + [1] * 7
    assert auc(low, high) == pytest.approx(roc_auc_score(truth, np.r_[low, high]), rel=1e-12)


def test_population_auc(
    database: Database, networks: tuple[str, list[str], list[list[Any]]]
) -> None:
    pattern, _, matrices = networks
    table = population_auc(database, pattern).records()
    # The median of seven accuracies: four are at least that. The eighth has none.
    low, high = matrices[:3], matrices[3:7]
    statistics: dict[str, Callable[[list[Any], int], float]] = {
        "layer-strength fluctuation": lambda found, layer: _fluctuations(found)[layer],
        "links mean": lambda found, layer: float(found[layer - 1].mean()),
        "links std": lambda found, layer: float(found[layer - 1].std()),
    }
    assert len(table) == 3 + 2 + 2
    for row in table:
        value = statistics[row["statistic"]]
        few = np.array([value(found, row["layer_index"]) for found in low])
        many = np.array([value(found, row["layer_index"]) for found in high])
        assert (row["low"], row["high"]) == (3, 4)
        assert row["low_mean"] == pytest.approx(few.mean(), rel=1e-9)
        assert row["high_mean"] == pytest.approx(many.mean(), rel=1e-9)
        assert row["auc"] == pytest.approx(roc_auc_score([0] * 3 + [1] * 4, np.r_[few, many]))
        assert row["p_value"] == pytest.approx(mannwhitneyu(many, few).pvalue, rel=1e-9)


def test_thresholds(database: Database, networks: tuple[str, list[str], list[list[Any]]]) -> None:
    pattern, _, _ = networks
    rows = population_auc(database, pattern, by=Groups(threshold=0.1)).records()
    assert {(row["low"], row["high"]) for row in rows} == {(1, 6)}
    with pytest.raises(InvalidArgument, match="All 7 networks are low with a threshold of 2: choo"):
        population_auc(database, pattern, by=Groups(threshold=2.0))
    with pytest.raises(NotFound, match="has a metric 'loss'"):
        population_auc(database, pattern, by=Groups(metric="loss"))


def _neuron_measure(matrices: list[Any], measure: Any) -> list[float]:
    """Mean in each layer of a measure of the neurons, which has an oracle of its own."""
    sizes = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    firsts = np.cumsum([0, *sizes])
    whole = np.zeros((firsts[-1], firsts[-1]))
    for number, matrix in enumerate(matrices):
        rows, columns = firsts[number : number + 2], firsts[number + 1 : number + 3]
        whole[rows[0] : rows[1], columns[0] : columns[1]] = matrix
    inputs, outputs = range(sizes[0]), range(firsts[-2], firsts[-1])
    values = neuron_measures.measured(
        neuron_measures.graphs(csr_array(whole), list(inputs), list(outputs)), [measure]
    )[measure]
    parts = [part[~np.isnan(part)] for part in np.split(values, firsts[1:-1])]
    return [float(part.mean()) for part in parts if len(part)]


@pytest.mark.parametrize("measure", SHUFFLED)
def test_shuffles_as_written_out(
    database: Database, stored: Callable[..., str], measure: Any
) -> None:
    """The same permutations, on matrices: the links into a layer are read neuron by neuron."""
    matrices = random_matrices(2)
    name = stored(dense_network(matrices))
    table = shuffle_zscore(database, name, measure=measure, shuffles=7, seed=5)
    again = shuffle_zscore(database, name, measure=measure, shuffles=7, seed=5)
    assert again.rows == table.rows
    by_layer: dict[str, Callable[[Any, Any], Any]] = {
        "fluctuation": lambda i, o: (i + o).std(),
        "in_fluctuation": lambda i, o: i.std(),
        "out_fluctuation": lambda i, o: o.std(),
        "strongest": lambda i, o: np.abs(i + o).max(),
    }

    def measured(found: list[Any]) -> list[float]:
        if measure not in (*by_layer, "spectral_norm"):
            return _neuron_measure(found, measure)
        if measure == "spectral_norm":
            return [float(np.linalg.norm(matrix, 2)) for matrix in found]
        return [float(by_layer[measure](i, o)) for i, o in oracle.strengths(found, None)]

    assert table.column("value") == pytest.approx(measured(matrices), rel=1e-6, abs=1e-12)
    for row in table.records():
        if row["z"] is not None:
            assert row["z"] == pytest.approx((row["value"] - row["mean"]) / row["std"])
    if measure not in (*by_layer, "spectral_norm"):
        return
    # The mean over many shuffles does not depend on which order the links were read in.
    random = np.random.default_rng(0)
    many = np.array(
        [
            measured([random.permutation(m.ravel()).reshape(m.shape) for m in matrices])
            for _ in range(3000)
        ]
    )
    wide = shuffle_zscore(database, name, measure=measure, shuffles=1500, seed=1)
    error = 5 * many.std(axis=0) / np.sqrt(1500) + 1e-9
    assert (np.abs(np.array(wide.column("mean")) - many.mean(axis=0)) < error).all()


def test_what_is_arranged_stands_out(database: Database, stored: Callable[..., str]) -> None:
    arranged = np.sort(np.random.default_rng(0).normal(size=(10, 10)), axis=1)
    name = stored(dense_network([arranged]))
    rows = shuffle_zscore(database, name, measure="in_fluctuation").records()
    assert rows[1]["z"] > 5


@pytest.mark.parametrize(
    ("of", "sentence"),
    [
        (Statistic("speed"), "question cannot be 'speed': choose from .*strength, layer-strength"),
        (Statistic("links", "speed"), "column cannot be 'speed': choose from layer, layer_index"),
        (Statistic("links", "layer"), "'layer' of 'links' holds no numbers"),
        (Statistic("links", "mean", "mode"), "aggregate cannot be 'mode'"),  # type: ignore[arg-type]
        (Statistic("links", "mean", "mean", ("bias",)), "option wants NAME=VALUE"),
        (Statistic("links", "mean", "mean", ("speed=1",)), "option cannot be 'speed'"),
        (Statistic("links", "mean", "mean", ("bias=perhaps",)), "bias cannot be 'perhaps'"),
        (Statistic("links", "mean", "mean", ("near-zero=x",)), "near_zero cannot be 'x': give a n"),
        (Statistic("path-mass", "mass"), "'path-mass' needs the option source=..."),
    ],
)
def test_bad_statistics(database: Database, tiny: str, of: Statistic, sentence: str) -> None:
    with pytest.raises(InvalidArgument, match=sentence):
        population_table(database, tiny, of=of)
    with pytest.raises(InvalidArgument, match=sentence):
        run_statistic(database, "tiny-run", of=of)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda db: shuffle_zscore(db, "tiny", shuffles=0), "shuffles cannot be 0"),
        (
            lambda db: shuffle_zscore(db, "tiny", measure="x"),  # type: ignore[arg-type]
            "measure cannot be 'x'",
        ),
    ],
)
def test_bad_shuffles(
    database: Database, tiny: str, ask: Callable[[Database], Table], sentence: str
) -> None:
    assert tiny == "tiny"
    with pytest.raises(InvalidArgument, match=sentence):
        ask(database)


def test_default_statistic_is_the_fluctuation(database: Database, tiny: str) -> None:
    rows = population_table(database, tiny).records()
    expected = layer_strength(database, tiny).column("fluctuation")
    assert [row["value"] for row in rows] == pytest.approx(expected)
    assert strength(database, tiny).rows
