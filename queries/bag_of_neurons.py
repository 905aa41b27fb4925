"""Types of hidden neurons: the vocabulary of a Bag of Neurons (arXiv 2107.14062)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.neuron_measures import MEASURES, Measure, neuron_measures
from queries.options import one_of, positive
from queries.population import members
from queries.question import question
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

Array = NDArray[np.float64]

# Those that tell neurons apart best in the paper, without the ones that overflow or repeat them.
USUAL: Final[tuple[Measure, ...]] = (
    "strength",
    "bipartite_clustering",
    "log_subgraph_centrality",
)
NEURON_COLUMNS: Final = ("network", "layer", "layer_index", "neuron", "type")
TYPE_COLUMNS: Final = ("network", "layer", "layer_index", "type", "neurons", "fraction", "centre")


@question(columns=NEURON_COLUMNS, example={"networks": "tiny", "types": 2}, survives=None)
def bag_of_neurons(
    database: Database,
    networks: str,
    *,
    types: int = 6,
    measure: tuple[Measure, ...] = USUAL,
    seed: int = 0,
) -> Table:
    """Type of every hidden neuron of some networks, by k-means over their measures.

    Computed by scikit-learn on the answers of :func:`queries.neuron_measures.neuron_measures`,
    each measure scaled to mean 0 and standard deviation 1 over all neurons.

    Parameters
    ----------
    types
        Number of types: six in the paper.
    measure
        The measures that tell neurons apart.
    seed
        Of the first centres; the same seed gives the same types.

    Returns
    -------
    Table
        ``network``, ``layer``, ``layer_index``, ``neuron``, ``type`` (from 0; by the first
        measure's mean, rising).

    Raises
    ------
    NotFound
        If no network has such a name.
    InvalidArgument
        If a measure is not known, does not exist for some neuron, or there are fewer different
        hidden neurons than types.

    References
    ----------
    Scabini & Bruno, arXiv 2107.14062, section "Bag of Neurons".

    Example
    -------
    >>> bag_of_neurons(database, "mlp-*").to_pandas().type.value_counts()  # doctest: +SKIP
    """
    answer, found, _ = _typed(database, networks, types, measure, seed)
    rows = [[*row[:4], kind] for row, kind in zip(answer.rows, found, strict=True)]
    return _told(database, answer, NEURON_COLUMNS, rows)


@question(columns=TYPE_COLUMNS, example={"networks": "tiny", "types": 2}, survives=None)
def neuron_types(
    database: Database,
    networks: str,
    *,
    types: int = 6,
    measure: tuple[Measure, ...] = USUAL,
    seed: int = 0,
) -> Table:
    """The bag of neurons of each hidden layer: how many neurons of each type it has.

    Computed by scikit-learn, like :func:`bag_of_neurons`.

    Parameters
    ----------
    types
        Number of types: six in the paper.
    measure
        The measures that tell neurons apart.
    seed
        Of the first centres; the same seed gives the same types.

    Returns
    -------
    Table
        ``network``, ``layer``, ``layer_index``, ``type``, ``neurons`` (count, 0 where there is
        none), ``fraction`` (0..1, of the layer), ``centre`` (mean of each measure over the type's
        neurons, in the measures' own units).

    Raises
    ------
    NotFound
        If no network has such a name.
    InvalidArgument
        If a measure is not known, does not exist for some neuron, or there are fewer different
        hidden neurons than types.

    References
    ----------
    Scabini & Bruno, arXiv 2107.14062, section "Bag of Neurons".

    Example
    -------
    >>> neuron_types(database, "mlp-*", types=6).rows[0][:5]            # doctest: +SKIP
    ['mlp-0', 'fc1', 1, 0, 31]
    """
    answer, found, centres = _typed(database, networks, types, measure, seed)
    counts: dict[tuple[str, str, int], list[int]] = {}
    for row, kind in zip(answer.rows, found, strict=True):
        counts.setdefault((row[0], row[1], row[2]), [0] * types)[kind] += 1
    rows: list[list[object]] = [
        [*layer, kind, number, number / sum(of_layer), centres[kind].tolist()]
        for layer, of_layer in counts.items()
        for kind, number in enumerate(of_layer)
    ]
    return _told(database, answer, TYPE_COLUMNS, rows)


def _typed(
    database: Database, networks: str, types: int, measure: tuple[Measure, ...], seed: int
) -> tuple[Table, list[int], Array]:
    """Hidden neurons with their measures, the type of each, and the centre of each type."""
    positive("types", types, 1_000)
    for name in measure:
        one_of("measure", name, MEASURES)
    if not measure:
        raise InvalidArgument("Name at least one measure to tell neurons apart by.")
    answer = _hidden(database, networks, measure)
    values = np.array([row[4:] for row in answer.rows], dtype=np.float64)
    if not np.isfinite(values).all():
        missing = measure[int(np.flatnonzero(~np.isfinite(values).all(axis=0))[0])]
        raise InvalidArgument(f"{missing} does not exist for some neuron: choose other measures.")
    if len(np.unique(values, axis=0)) < types:
        raise InvalidArgument(
            f"There are {len(np.unique(values, axis=0))} different hidden neurons in all, fewer "
            f"than {types} types: give a smaller number of types."
        )
    spread = values.std(axis=0)
    even = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)

    from sklearn.cluster import KMeans

    found = KMeans(types, n_init=10, random_state=seed).fit(even).labels_
    centres = np.array([values[found == kind].mean(axis=0) for kind in range(types)])
    # k-means numbers its clusters as it likes: in order of their centres they mean something.
    order = np.lexsort(centres.T[::-1])
    number = np.argsort(order)
    return answer, number[found].tolist(), centres[order]


# No Neo4j of one machine holds as many neurons.
_ALL = 10**9


def _hidden(database: Database, networks: str, measure: tuple[Measure, ...]) -> Table:
    """Network, layer, layer index, neuron and measures of hidden neurons."""
    rows: list[list[object]] = []
    answer = Table((), [])
    took = 0.0
    # The caller's row cap is for what is told: the types are those of all neurons.
    database = database.limited(row_cap=_ALL)
    for network in members(database, networks):
        answer = neuron_measures(database, network, measure=measure)
        took += answer.took_ms
        places = [answer.columns.index(name) for name in measure]
        layers = scope.places(database, network)
        feeding = {source for layer in layers for source in layer.fed_by}
        hidden = {layer.index for layer in layers if layer.fed_by and layer.index in feeding}
        rows += [
            [network, *row[:3], *(row[place] for place in places)]
            for row in answer.rows
            if row[1] in hidden
        ]
    return replace(
        answer,
        rows=rows,
        parameters={**answer.parameters, "networks": networks},
        took_ms=took,
        notes=(),
    )


def _told(
    database: Database, answer: Table, columns: tuple[str, ...], rows: list[list[object]]
) -> Table:
    return replace(
        answer,
        columns=columns,
        rows=rows,
        truncated=False,
        notes=(
            "Typed by scikit-learn's k-means over measures of the links that the Cypher reads.",
        ),
    ).cut(database.row_cap)
