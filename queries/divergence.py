"""How far distributions of weights and strengths are from each other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.observations import neurons_on_data
from queries.options import one_of, positive
from queries.question import question
from queries.snapshots import SNAPSHOTS
from queries.strength import strength
from queries.weights import LINKS_INTO_LAYER, layer_links
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

Array = NDArray[np.float64]

Of = Literal["links", "in", "out", "total", "neurons_strength", "neurons_activation"]
OF: Final[tuple[Of, ...]] = get_args(Of)
_ON_DATA: Final = {"neurons_strength": "strength", "neurons_activation": "activation"}
# Half a count in each bin, so that no bin is impossible: Krichevsky & Trofimov's estimator.
_PSEUDO_COUNT: Final = 0.5


@dataclass(frozen=True)
class Distributed:
    """What is distributed, and how it is counted.

    Parameters
    ----------
    of
        The weights of `links`; the `in`, `out` or `total` strength of neurons; or, on an observed
        sample, `neurons_strength` or `neurons_activation`.
    bins
        Number of equal bins over the values of both distributions, 1 to 1000.
    observation
        The observed sample, where neurons are looked at on data.
    """

    of: Of = "links"
    bins: int = 50
    observation: str | None = None


LINK_WEIGHTS: Final = Distributed()


@dataclass(frozen=True)
class Values:
    """The values of each layer, by its name, and what read them."""

    layers: Mapping[str, Array]
    table: Table


def layer_values(database: Database, network: str, what: Distributed) -> Values:
    """The values of each layer, by its name.

    Raises
    ------
    NotFound
        If the network or the observation does not exist.
    InvalidArgument
        If it is not known what is meant.
    """
    one_of("of", what.of, OF)
    positive("bins", what.bins, 1_000)
    if what.of in _ON_DATA:
        if what.observation is None:
            raise InvalidArgument(f"{what.of} is on an observed sample: name the observation.")
        whole = database.limited(row_cap=10_000_000)
        return _by_layer(neurons_on_data(whole, network, what.observation), _ON_DATA[what.of])
    if what.of != "links":
        return _by_layer(strength(database.limited(row_cap=10_000_000), network), what.of)
    layers = scope.places(database, network)
    found = {layer.name: layer_links(database, layer).weights for layer in layers}
    scope.unchanged(database, network, layers)
    return Values(
        {name: values for name, values in found.items() if len(values)},
        Table((), [], LINKS_INTO_LAYER.cypher.strip(), scope.whole(layers)),
    )


def _by_layer(table: Table, column: str) -> Values:
    place = table.columns.index(column)
    found: dict[str, list[float]] = {}
    for row in table.rows:
        if row[place] is not None:
            found.setdefault(row[0], []).append(row[place])
    return Values({name: np.array(values) for name, values in found.items()}, table)


def divergences(one: Array, other: Array, bins: int) -> tuple[float, float]:
    """Jeffreys and Jensen-Shannon divergence of two sets of values.

    Parameters
    ----------
    one, other
        Values, counted in equal bins over the range of both.
    bins
        Their number.

    Returns
    -------
    tuple of float
        In nats. Jeffreys: sum (p - q) ln(p / q), >= 0, with half a count added to each bin, so
        that it stays finite. Jensen-Shannon: 0..ln 2, of the frequencies as they are.

    References
    ----------
    Jeffreys, "An invariant form for the prior probability in estimation problems", 1946; Lin,
    "Divergence measures based on the Shannon entropy", 1991.

    Example
    -------
    >>> divergences(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 4)
    (0.0, 0.0)
    >>> round(divergences(np.array([0.0, 0.1]), np.array([0.9, 1.0]), 2)[1], 6)
    0.693147
    """
    edges = np.histogram_bin_edges(np.concatenate([one, other]), bins)
    counts = [np.histogram(values, edges)[0].astype(np.float64) for values in (one, other)]
    p, q = ((c + _PSEUDO_COUNT) / (c.sum() + _PSEUDO_COUNT * bins) for c in counts)
    jeffreys = float(((p - q) * np.log(p / q)).sum())
    p, q = (c / c.sum() for c in counts)
    mean = (p + q) / 2
    jensen_shannon = (_relative_entropy(p, mean) + _relative_entropy(q, mean)) / 2
    return jeffreys, max(jensen_shannon, 0.0)


def _relative_entropy(p: Array, q: Array) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / q[some])).sum())


LAYER_COLUMNS: Final = ("layer", "other_layer", "jeffreys", "jensen_shannon")


@question(
    columns=LAYER_COLUMNS, example={"network": "tiny", "of": "total"}, survives=("permutation",)
)
def layer_divergence(
    database: Database, network: str, *, what: Distributed = LINK_WEIGHTS
) -> Table:
    """How far the distributions of each two layers are from each other.

    Counted by NumPy in values that are read in columns: the bins follow from both layers.

    Parameters
    ----------
    what
        What is distributed, and how it is counted.

    Returns
    -------
    Table
        A row for each two layers: ``layer``, ``other_layer`` (a later one), ``jeffreys``
        (symmetrised Kullback-Leibler divergence, nats, >= 0, half a count added to each bin) and
        ``jensen_shannon`` (nats, 0..ln 2).

    Raises
    ------
    NotFound
        If the network or the observation does not exist.
    InvalidArgument
        If an option cannot be.

    References
    ----------
    La Malfa et al., arXiv 2110.02628 and 2404.11172: distributions of weights and strengths.

    Example
    -------
    >>> layer_divergence(database, "mnist").rows[0]                     # doctest: +SKIP
    ['fc1', 'fc2', 0.31, 0.04]
    """
    started = time.perf_counter()
    read = layer_values(database, network, what)
    rows: list[list[Any]] = [
        [one, other, *divergences(read.layers[one], read.layers[other], what.bins)]
        for one, other in combinations(read.layers, 2)
    ]
    return _told(database, LAYER_COLUMNS, rows, read.table, started)


NETWORK_COLUMNS: Final = ("layer", "jeffreys", "jensen_shannon")


@question(
    columns=NETWORK_COLUMNS,
    example={"network": "tiny", "other": "observed"},
    survives=None,
)
def network_divergence(
    database: Database, network: str, other: str, *, what: Distributed = LINK_WEIGHTS
) -> Table:
    """How far the distributions in the layers of two networks are from each other.

    Counted by NumPy in values that are read in columns: the bins follow from both networks.

    Parameters
    ----------
    other
        Name of the other network.
    what
        What is distributed, and how it is counted.

    Returns
    -------
    Table
        A row for each layer that both have by its name: ``layer``, ``jeffreys`` (symmetrised
        Kullback-Leibler divergence, nats, >= 0, half a count added to each bin),
        ``jensen_shannon`` (nats, 0..ln 2).

    Raises
    ------
    NotFound
        If a network or the observation does not exist.
    InvalidArgument
        If no layer of both has the same name, or an option cannot be.

    References
    ----------
    La Malfa et al., arXiv 2110.02628 and 2404.11172: distributions of weights and strengths.

    Example
    -------
    >>> network_divergence(database, "mnist", "mnist-pruned").rows[0]   # doctest: +SKIP
    ['fc1', 0.31, 0.04]
    """
    started = time.perf_counter()
    mine, theirs = (layer_values(database, each, what) for each in (network, other))
    rows: list[list[Any]] = [
        [layer, *divergences(values, theirs.layers[layer], what.bins)]
        for layer, values in mine.layers.items()
        if layer in theirs.layers
    ]
    if not rows:
        raise InvalidArgument(f"{network!r} and {other!r} have no layer of the same name.")
    return _told(database, NETWORK_COLUMNS, rows, mine.table, started)


Against = Literal["previous", "first"]
AGAINST: Final[tuple[Against, ...]] = get_args(Against)
RUN_COLUMNS: Final = ("step", "network", "against", "layer", "jeffreys", "jensen_shannon")


@question(columns=RUN_COLUMNS, example={"run": "two-steps", "of": "total"}, survives=None)
def run_divergence(
    database: Database,
    run: str,
    *,
    against: Against = "previous",
    what: Distributed = LINK_WEIGHTS,
) -> Table:
    """How far each snapshot's distributions are from those of the previous, or the first one.

    Counted by NumPy in values that are read in columns: the bins follow from both snapshots.

    Parameters
    ----------
    against
        Whether to compare with the `previous` snapshot or the `first`.
    what
        What is distributed, and how it is counted.

    Returns
    -------
    Table
        From the second snapshot on, a row for each layer that both have: ``step``, ``network``,
        ``against`` (the snapshot it is compared with), ``layer``, ``jeffreys`` (symmetrised
        Kullback-Leibler divergence, nats, >= 0, half a count added to each bin),
        ``jensen_shannon`` (nats, 0..ln 2).

    Raises
    ------
    NotFound
        If the run or an observation does not exist.
    InvalidArgument
        If an option cannot be.

    References
    ----------
    La Malfa et al., arXiv 2110.02628, section 4.

    Example
    -------
    >>> run_divergence(database, "digits", against="first").rows[0]     # doctest: +SKIP
    [1, 'digits-001', 'digits-000', 'hidden1', 0.02, 0.003]
    """
    one_of("against", against, AGAINST)
    scope.require_run(database, run)
    started = time.perf_counter()
    rows: list[list[Any]] = []
    before: tuple[str, Values] | None = None
    found = database.read(SNAPSHOTS, run=run, row_cap=1_000_000)
    for step, network in found.rows:
        read = layer_values(database, network, what)
        if before is not None:
            name, old = before
            rows += [
                [step, network, name, layer, *divergences(values, read.layers[layer], what.bins)]
                for layer, values in old.layers.items()
                if layer in read.layers
            ]
        if before is None or against == "previous":
            before = network, read
    if before is not None:
        last = before[1].table
        found = replace(
            found,
            cypher=f"{found.cypher};\n\n{last.cypher}",
            parameters={**found.parameters, **last.parameters},
        )
    return _told(database, RUN_COLUMNS, rows, found, started)


DISTRIBUTION_COLUMNS: Final = ("layer", "bin", "low", "high", "count")


@question(
    columns=DISTRIBUTION_COLUMNS,
    example={"network": "tiny", "of": "total", "bins": 3},
    survives=("permutation",),
)
def distribution(database: Database, network: str, *, what: Distributed = LINK_WEIGHTS) -> Table:
    """Histogram of the strengths or weights in each layer.

    Counted by NumPy in values that are read in columns.

    Parameters
    ----------
    what
        What is distributed, and how it is counted.

    Returns
    -------
    Table
        ``layer``, ``bin`` (from 0), ``low``, ``high`` (its edges, signed), ``count``; each layer
        has bins of its own between its least and its greatest value.

    Raises
    ------
    NotFound
        If the network or the observation does not exist.
    InvalidArgument
        If an option cannot be.

    References
    ----------
    La Malfa et al., arXiv 2110.02628 and 2209.05488.

    Example
    -------
    >>> distribution(database, "mnist", what=Distributed("total", 10)).rows[0]  # doctest: +SKIP
    ['input', 0, -3.1, -2.6, 4]
    """
    started = time.perf_counter()
    rows: list[list[Any]] = []
    read = layer_values(database, network, what)
    for layer, values in read.layers.items():
        counts, edges = np.histogram(values, what.bins)
        ends = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        rows += [[layer, number, *each] for number, each in enumerate(ends)]
    return _told(database, DISTRIBUTION_COLUMNS, rows, read.table, started)


def _told(
    database: Database,
    columns: tuple[str, ...],
    rows: list[list[Any]],
    read: Table,
    started: float,
) -> Table:
    return Table(
        columns,
        rows,
        read.cypher,
        read.parameters,
        took_ms=(time.perf_counter() - started) * 1000,
    ).cut(database.row_cap)
