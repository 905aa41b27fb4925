"""What a measure would be if a layer's weights stood anywhere: comparison with shuffles."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.adjacency import matrix_of
from queries.neuron_measures import ends, graphs, measured, refuse_large
from queries.options import one_of, positive
from queries.question import question
from queries.scope import Place
from queries.spectra import measures, weight_matrix
from queries.weights import LINKS_INTO_LAYER, Edges, layer_links
from store.database import Database
from store.query import Table

Array = NDArray[np.float64]

Shuffled = Literal[
    "fluctuation",
    "in_fluctuation",
    "out_fluctuation",
    "strongest",
    "spectral_norm",
    "average_neighbour_degree",
    "current_flow_closeness",
    "bipartite_clustering",
    "log_subgraph_centrality",
    "harmonic_centrality",
    "second_order_centrality",
    "maximal_cliques",
    "directed_betweenness",
]
SHUFFLED: Final[tuple[Shuffled, ...]] = get_args(Shuffled)
COLUMNS: Final = ("layer", "layer_index", "value", "mean", "std", "z")


@question(
    columns=COLUMNS,
    example={"network": "tiny", "shuffles": 10},
    survives=(),
    kept=True,
)
def shuffle_zscore(
    database: Database,
    network: str,
    *,
    measure: Shuffled = "fluctuation",
    shuffles: int = 100,
    seed: int = 0,
) -> Table:
    """How unusual a layer's measure is among networks with the same weights in other places.

    The weights of each layer are permuted among its links, which keeps every statistic of the
    weights alone: what is left is where they stand. Computed by NumPy on the links, read in
    columns, for shuffled networks are in no store.

    Parameters
    ----------
    measure
        `fluctuation` of the neurons' total strength, `in_fluctuation` or `out_fluctuation` of the
        one side alone, `strongest` (greatest magnitude of a total strength), `spectral_norm` of
        the matrix of all links into the layer, or the mean over its neurons of one of the
        `neuron-measures`.
    shuffles
        How many shuffled networks to compare with.
    seed
        Of the shuffles; the same seed gives the same ones.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``value`` (of the network as it is), ``mean`` and ``std``
        (population) over the shuffles, ``z`` = (value - mean) / std; None where std is 0 to
        rounding.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the measure is not known, or `shuffles` out of range.

    References
    ----------
    Maslov & Sneppen, "Specificity and stability in topology of protein networks", 2002: null
    models; strengths as in La Malfa et al., arXiv 2110.02628.

    Example
    -------
    >>> shuffle_zscore(database, "mnist").column("z")                   # doctest: +SKIP
    [41.0, 12.3, -0.4, 0.1]
    """
    one_of("measure", measure, SHUFFLED)
    positive("shuffles", shuffles, 10_000)
    started = time.perf_counter()
    layers = scope.places(database, network)
    if measure not in _MEASURES:
        refuse_large(network, layers)
    links = [layer_links(database, layer) for layer in layers]
    scope.unchanged(database, network, layers)
    random = np.random.default_rng(seed)
    compute = _MEASURES.get(measure) or _mean_of(measure)
    real = compute(layers, links, [edges.weights for edges in links])
    others = np.array(
        [
            compute(layers, links, [random.permutation(edges.weights) for edges in links])
            for _ in range(shuffles)
        ]
    )
    mean, std = others.mean(axis=0), others.std(axis=0)
    rows: list[list[Any]] = []
    for layer, value, middle, spread in zip(layers, real, mean, std, strict=True):
        if np.isnan(value):
            continue
        exists = spread > 1e-12 * max(abs(value), abs(middle), 1e-300)
        z = float((value - middle) / spread) if exists else None
        rows.append([layer.name, layer.index, float(value), float(middle), float(spread), z])
    return Table(
        COLUMNS,
        rows,
        LINKS_INTO_LAYER.cypher.strip(),
        scope.whole(layers),
        took_ms=(time.perf_counter() - started) * 1000,
        notes=("Computed by NumPy from the links that the Cypher reads.",),
    ).cut(database.row_cap)


def _strengths(
    layers: list[Place], links: list[Edges], weights: list[Array]
) -> tuple[Array, Array]:
    first = layers[0].first
    size = scope.whole(layers)["size"]
    received, sent = np.zeros(size), np.zeros(size)
    for edges, values in zip(links, weights, strict=True):
        received += np.bincount(edges.targets - first, values, minlength=size)
        sent += np.bincount(edges.sources - first, values, minlength=size)
    return received, sent


def _of_strengths(
    choose: Callable[[Array, Array], Array], aggregate: Callable[[Array], float]
) -> Callable[[list[Place], list[Edges], list[Array]], Array]:
    def compute(layers: list[Place], links: list[Edges], weights: list[Array]) -> Array:
        values = choose(*_strengths(layers, links, weights))
        return np.array([aggregate(values[scope.span(layers, layer)]) for layer in layers])

    return compute


def _spectral_norms(layers: list[Place], links: list[Edges], weights: list[Array]) -> Array:
    found = np.full(len(layers), np.nan)
    for layer, edges, values in zip(layers, links, weights, strict=True):
        if len(values):
            matrix = weight_matrix(layer, replace(edges, weights=values), unrolled=True)
            found[layer.index] = measures(matrix)[3]
    return found


def _mean_of(measure: Any) -> Callable[[list[Place], list[Edges], list[Array]], Array]:
    def compute(layers: list[Place], links: list[Edges], weights: list[Array]) -> Array:
        shuffled = [
            replace(edges, weights=values) for edges, values in zip(links, weights, strict=True)
        ]
        of = graphs(matrix_of(layers, shuffled), *ends(layers))
        values = measured(of, [measure])[measure]
        parts = [values[scope.span(layers, layer)] for layer in layers]
        return np.array(
            [part[~np.isnan(part)].mean() if not np.isnan(part).all() else np.nan for part in parts]
        )

    return compute


_MEASURES: Final[dict[str, Callable[[list[Place], list[Edges], list[Array]], Array]]] = {
    "fluctuation": _of_strengths(lambda received, sent: received + sent, lambda s: float(s.std())),
    "in_fluctuation": _of_strengths(lambda received, sent: received, lambda s: float(s.std())),
    "out_fluctuation": _of_strengths(lambda received, sent: sent, lambda s: float(s.std())),
    "strongest": _of_strengths(
        lambda received, sent: received + sent, lambda s: float(np.abs(s).max())
    ),
    "spectral_norm": _spectral_norms,
}
