"""Any statistic of the layers across the snapshots of a run."""

from __future__ import annotations

import time
from typing import Any, Final

from queries import scope
from queries.layer_values import FLUCTUATION, Statistic, known, layer_values
from queries.question import question
from queries.snapshots import SNAPSHOTS
from store.database import Database
from store.errors import NotFound
from store.query import Table

COLUMNS: Final = ("step", "network", "layer", "layer_index", "value")


@question(columns=COLUMNS, example={"run": "two-steps"}, survives=None)
def run_statistic(
    database: Database, run: str, *, of: Statistic = FLUCTUATION, layer: str | None = None
) -> Table:
    """Any statistic of each layer across the snapshots of a run: a column of any question.

    Parameters
    ----------
    of
        The statistic.
    layer
        Only this layer.

    Returns
    -------
    Table
        ``step``, ``network``, ``layer``, ``layer_index``, ``value`` (in the column's own unit); by
        step. The layer is None where the question's answer knows none.

    Raises
    ------
    NotFound
        If the run does not exist, or no snapshot has the layer.
    InvalidArgument
        If the question, its column or an option is not known.

    References
    ----------
    La Malfa et al., arXiv 2110.02628, section 4: dynamics.

    Example
    -------
    >>> run_statistic(database, "digits", of=Statistic("spectra", "stable_rank"))  # doctest: +SKIP
    """
    known(of)
    scope.require_run(database, run)
    started = time.perf_counter()
    table = database.read(SNAPSHOTS, run=run, row_cap=1_000_000)
    rows: list[list[Any]] = [
        [step, network, *value]
        for step, network in table.rows
        for value in layer_values(database, network, of)
        if layer is None or value[0] == layer
    ]
    if layer is not None and not rows:
        raise NotFound(f"No snapshot of run {run!r} has a layer {layer!r} to measure.")
    return Table(
        COLUMNS,
        rows,
        table.cypher,
        table.parameters,
        took_ms=(time.perf_counter() - started) * 1000,
        notes=(of.note,),
    ).cut(database.row_cap)
