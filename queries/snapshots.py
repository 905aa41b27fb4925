"""How much the weights of each layer moved from one snapshot of a run to the next."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.question import question
from queries.scope import Place
from queries.weights import LINKS_INTO_LAYER, layer_links
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

Array = NDArray[np.float64]

SNAPSHOTS = Query(
    "snapshots",
    "The snapshots of a run, in order.",
    """
MATCH (:Run {name: $run})-[snapshot:SNAPSHOT]->(network:Network {status: 'complete'})
RETURN snapshot.step AS step, network.name AS network ORDER BY step, network
""",
    ("step", "network"),
)

COLUMNS: Final = (
    "step", "network", "previous", "layer", "layer_index", "correlation", "relative_change",
)  # fmt: skip


@question(columns=COLUMNS, example={"run": "two-steps"}, survives=None)
def snapshot_correlation(database: Database, run: str, *, layer: str | None = None) -> Table:
    """Correlation of each layer's link weights with those of the previous snapshot of a run.

    Computed by NumPy on the links of two snapshots at a time, read in columns.

    Parameters
    ----------
    layer
        Only this layer.

    Returns
    -------
    Table
        From the second snapshot on: ``step``, ``network``, ``previous`` (the network before it),
        ``layer``, ``layer_index``, ``correlation`` (Pearson, -1..1; None where all weights are
        equal), ``relative_change`` (norm of the difference / norm before, >= 0; None where all
        were 0).

    Raises
    ------
    NotFound
        If the run or the layer does not exist.
    InvalidArgument
        If two snapshots are not of the same architecture.

    References
    ----------
    La Malfa et al., arXiv 2110.02628, section 4: dynamics of the weights.

    Example
    -------
    >>> snapshot_correlation(database, "digits").rows[0]                # doctest: +SKIP
    [1, 'digits-001', 'digits-000', 'hidden1', 1, 0.999, 0.02]
    """
    scope.require_run(database, run)
    started = time.perf_counter()
    table = database.read(SNAPSHOTS, run=run, row_cap=1_000_000)
    rows: list[list[Any]] = []
    before: tuple[str, dict[str, Ordered]] | None = None
    parameters = dict(table.parameters)
    for step, network in table.rows:
        layers = scope.places(database, network)
        weights = _ordered(database, network, layers, layer)
        parameters |= scope.whole(layers)
        if before is not None:
            previous, old = before
            if {n: o.ends for n, o in old.items()} != {n: o.ends for n, o in weights.items()}:
                raise InvalidArgument(
                    f"{previous!r} and {network!r} have not the same layers and links, so their "
                    "weights cannot be paired."
                )
            for name, each in weights.items():
                moved = _moved(old[name].weights, each.weights)
                rows.append([step, network, previous, name, each.index, *moved])
        before = network, weights
    return Table(
        COLUMNS,
        rows,
        f"{table.cypher};\n\n{LINKS_INTO_LAYER.cypher.strip()}",
        parameters,
        took_ms=(time.perf_counter() - started) * 1000,
    ).cut(database.row_cap)


@dataclass(frozen=True)
class Ordered:
    """Weights of the links into a layer, in an order that follows from their ends.

    Parameters
    ----------
    index
        Of the layer.
    weights
        Signed.
    ends
        Alike where the links join the same neurons, counted from the network's first.
    """

    index: int
    weights: Array
    ends: str


def _ordered(
    database: Database, network: str, layers: list[Place], layer: str | None
) -> dict[str, Ordered]:
    """The weights of each layer that links end in, or of one."""
    wanted = layers if layer is None else [scope.place(layers, layer)]
    found = {}
    for each in wanted:
        edges = layer_links(database, each)
        if len(edges.weights):
            order = np.lexsort((edges.positions, edges.sources, edges.targets))
            first = layers[0].first
            joined = np.stack([edges.sources - first, edges.targets - first, edges.positions])
            ends = hashlib.sha256(joined[:, order].tobytes()).hexdigest()
            found[each.name] = Ordered(each.index, edges.weights[order], ends)
    scope.unchanged(database, network, layers)
    return found


def _moved(before: Array, after: Array) -> list[float | None]:
    norm = float(np.linalg.norm(before))
    change = float(np.linalg.norm(after - before)) / norm if norm else None
    # The deviation of equal weights need not be 0: their mean is rounded.
    if np.ptp(before) == 0 or np.ptp(after) == 0:
        return [None, change]
    return [float(np.corrcoef(before, after)[0, 1]), change]
