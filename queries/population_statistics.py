"""Statistics over a set of networks: tables, and how well they tell good from bad ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from queries.layer_values import FLUCTUATION, Statistic, known, layer_values
from queries.population import population
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument, NotFound
from store.query import Table

Array = NDArray[np.float64]

TABLE_COLUMNS: Final = ("network", "metric", "layer", "layer_index", "value")


@question(columns=TABLE_COLUMNS, example={"networks": "tin*"}, survives=None)
def population_table(
    database: Database,
    networks: str,
    *,
    of: Statistic = FLUCTUATION,
    metric: str = "accuracy",
) -> Table:
    """Any statistic of each layer of each network of a set, beside a metric.

    Parameters
    ----------
    of
        The statistic.
    metric
        Name of a metric that was recorded at ingest.

    Returns
    -------
    Table
        ``network``, ``metric`` (its value, or None), ``layer``, ``layer_index``, ``value`` (in the
        column's own unit); by network.

    Raises
    ------
    NotFound
        If no network has such a name.
    InvalidArgument
        If the question, its column or an option is not known.

    References
    ----------
    La Malfa et al., arXiv 2110.02628: populations of networks.

    Example
    -------
    >>> population_table(database, "mlp-*").to_pandas().pivot_table(    # doctest: +SKIP
    ...     index="network", columns="layer", values="value")
    """
    known(of)
    started = time.perf_counter()
    table = population(database.limited(row_cap=100_000), networks)
    rows: list[list[Any]] = [
        [member["network"], member["metrics"].get(metric), *value]
        for member in table.records()
        for value in layer_values(database, member["network"], of)
    ]
    return _told(database, table, TABLE_COLUMNS, rows, started, of)


@dataclass(frozen=True)
class Groups:
    """How a set of networks is parted into low and high.

    Parameters
    ----------
    metric
        Name of a metric that was recorded at ingest.
    threshold
        Networks with at least this value are high; default: the median of all.
    """

    metric: str = "accuracy"
    threshold: float | None = None


BY_ACCURACY: Final = Groups()
AUC_COLUMNS: Final = (
    "statistic", "layer", "layer_index", "low", "high", "low_mean", "high_mean", "auc", "p_value",
)  # fmt: skip
# What strengths must beat: link weights alone.
BASELINES: Final = (Statistic("links", "mean"), Statistic("links", "std"))


@question(columns=AUC_COLUMNS, example={"networks": "step-*", "threshold": 0.5}, survives=None)
def population_auc(
    database: Database,
    networks: str,
    *,
    of: Statistic = FLUCTUATION,
    by: Groups = BY_ACCURACY,
) -> Table:
    """How well a statistic of each layer tells networks of high accuracy from those of low.

    Beside it stand the mean and the deviation of the link weights alone, as a baseline.

    Parameters
    ----------
    of
        The statistic.
    by
        What parts the networks into low and high.

    Returns
    -------
    Table
        ``statistic`` (`question column`), ``layer``, ``layer_index``, ``low`` and ``high`` (numbers
        of networks), ``low_mean`` and ``high_mean`` (of the statistic), ``auc`` (probability that a
        high network has the greater value, ties counting half: 1 and 0 tell them apart, 0.5 does
        not), ``p_value`` (two-sided, Mann-Whitney). Networks without the metric are left out.

    Raises
    ------
    NotFound
        If no network has such a name, or none has the metric.
    InvalidArgument
        If the question, its column or an option is not known, or one group is empty.

    References
    ----------
    La Malfa et al., arXiv 2110.02628: low and high accuracy; Mann & Whitney, 1947.

    Example
    -------
    >>> population_auc(database, "mlp-*").to_pandas().sort_values("auc")  # doctest: +SKIP
    """
    known(of)
    started = time.perf_counter()
    table = population(database.limited(row_cap=100_000), networks)
    metrics = {
        member["network"]: float(member["metrics"][by.metric])
        for member in table.records()
        if by.metric in member["metrics"]
    }
    if not metrics:
        raise NotFound(f"No network that matches {networks!r} has a metric {by.metric!r}.")
    threshold = float(np.median(list(metrics.values()))) if by.threshold is None else by.threshold
    high = {name for name, value in metrics.items() if value >= threshold}
    if not high or len(high) == len(metrics):
        raise InvalidArgument(
            f"All {len(metrics)} networks are {'high' if high else 'low'} with a threshold of "
            f"{threshold:g}: choose one between their values of {by.metric}."
        )
    rows: list[list[Any]] = []
    for statistic in dict.fromkeys((of, *BASELINES)):
        values: dict[tuple[str | None, int | None], dict[bool, list[float]]] = {}
        for name in metrics:
            for layer, index, value in layer_values(database, name, statistic):
                values.setdefault((layer, index), {False: [], True: []})[name in high].append(value)
        title = f"{statistic.question} {statistic.column}"
        for place, groups in values.items():
            few, many = groups[False], groups[True]
            if few and many:
                rows.append([title, *place, *_compared(np.array(few), np.array(many))])
    return _told(database, table, AUC_COLUMNS, rows, started, of)


def _compared(low: Array, high: Array) -> list[Any]:
    # Only now: every command would wait for it.
    from scipy.stats import mannwhitneyu

    found = auc(low, high)
    p_value = float(mannwhitneyu(high, low).pvalue) if np.ptp(np.r_[low, high]) > 0 else 1.0
    return [len(low), len(high), float(low.mean()), float(high.mean()), found, p_value]


def auc(low: Array, high: Array) -> float:
    """Probability that a value of `high` is greater than one of `low`, ties counting half.

    Example
    -------
    >>> auc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([low, high]))
    sum_of_high = float(ranks[len(low) :].sum())
    return (sum_of_high - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))


def _told(
    database: Database,
    table: Table,
    columns: tuple[str, ...],
    rows: list[list[Any]],
    started: float,
    of: Statistic,
) -> Table:
    return Table(
        columns,
        rows,
        table.cypher,
        table.parameters,
        took_ms=(time.perf_counter() - started) * 1000,
        notes=(of.note,),
    ).cut(database.row_cap)
