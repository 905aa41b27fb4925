"""Centrality and clustering of every neuron, as Scabini & Bruno measure them (arXiv 2107.14062)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from queries import scope, undirected
from queries.adjacency import adjacency
from queries.directed_betweenness import directed_betweenness
from queries.options import one_of
from queries.question import question
from queries.scope import Place
from queries.weights import LINKS_INTO_LAYER
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

Array = NDArray[np.float64]

Measure = Literal[
    "strength",
    "average_neighbour_degree",
    "current_flow_closeness",
    "bipartite_clustering",
    "subgraph_centrality",
    "log_subgraph_centrality",
    "harmonic_centrality",
    "second_order_centrality",
    "maximal_cliques",
    "directed_betweenness",
]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
COLUMNS: Final = ("layer", "layer_index", "neuron", *MEASURES)

MOST_NEURONS: Final = 4_000
"""Matrices of neurons x neurons are dense here: this many take 128 MB each."""


@dataclass(frozen=True)
class Graphs:
    """A network's neurons as the graphs that the measures look at.

    Parameters
    ----------
    links
        Directed and signed.
    signed
        Undirected, G± of the paper.
    positive
        Undirected, w > 0 only: G+ of the paper.
    inputs, outputs
        Neurons of layers that nothing feeds, and that feed nothing.
    """

    links: csr_array
    signed: csr_array
    positive: csr_array
    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]


def graphs(links: csr_array, inputs: Sequence[int], outputs: Sequence[int]) -> Graphs:
    """The graphs of a network's links."""
    signed = undirected.symmetric(links)
    return Graphs(
        links,
        signed,
        undirected.positive(signed),
        np.array(inputs, dtype=np.int64),
        np.array(outputs, dtype=np.int64),
    )


# What exponentiates is told as its logarithm too, which cannot overflow.
_MEASURED: Final[dict[Measure, Callable[[Graphs], Array]]] = {
    "strength": lambda of: np.asarray(of.signed.sum(axis=1)),
    "average_neighbour_degree": lambda of: undirected.average_neighbour_degree(of.signed),
    "current_flow_closeness": lambda of: undirected.current_flow_closeness(of.signed),
    "bipartite_clustering": lambda of: undirected.bipartite_clustering(of.positive),
    "log_subgraph_centrality": lambda of: undirected.log_subgraph_centrality(of.positive),
    "harmonic_centrality": lambda of: undirected.harmonic_centrality(of.positive),
    "second_order_centrality": lambda of: undirected.second_order_centrality(of.positive),
    "maximal_cliques": lambda of: undirected.maximal_cliques(of.positive),
    "directed_betweenness": lambda of: directed_betweenness(
        undirected.positive(of.links), of.inputs, of.outputs
    ),
}


def measured(of: Graphs, wanted: Sequence[Measure] = MEASURES) -> dict[Measure, Array]:
    """Measures of every neuron, without a database.

    Parameters
    ----------
    wanted
        Which; the others cost no time.

    Returns
    -------
    dict of str to numpy.ndarray
        In the order of `wanted`.

    Example
    -------
    >>> links = csr_array([[0, 2.0, -1.0], [0, 0, 0], [0, 0, 0]])
    >>> measured(graphs(links, [0], [1, 2]), ["strength"])["strength"]
    array([ 1.,  2., -1.])
    """
    found: dict[Measure, Array] = {}
    for name in wanted:
        if name != "subgraph_centrality":
            found[name] = _MEASURED[name](of)
    if "subgraph_centrality" in wanted:
        logarithm = found.get("log_subgraph_centrality")
        if logarithm is None:
            logarithm = _MEASURED["log_subgraph_centrality"](of)
        with np.errstate(over="ignore"):
            found["subgraph_centrality"] = np.exp(logarithm)
    return {name: found[name] for name in wanted}


def read_graphs(database: Database, network: str) -> tuple[list[Place], Graphs]:
    """Reads the graphs of a network.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If it has more neurons than dense matrices can have rows here.
    """
    layers = scope.places(database, network)
    refuse_large(network, layers)
    links = adjacency(database, layers)
    scope.unchanged(database, network, layers)
    return layers, graphs(links, *ends(layers))


def refuse_large(network: str, layers: list[Place]) -> None:
    """Raises
    ------
    InvalidArgument
        If there are more neurons than dense matrices can have rows here.
    """
    neurons = sum(layer.size for layer in layers)
    if neurons > MOST_NEURONS:
        raise InvalidArgument(
            f"These measures need matrices of neurons x neurons: {network!r} has {neurons:,} "
            f"neurons, and {MOST_NEURONS:,} at most are measured."
        )


def ends(layers: list[Place]) -> tuple[list[int], list[int]]:
    """Neurons of layers that nothing feeds, and that feed nothing, numbered from the first."""
    feeding = {source for layer in layers for source in layer.fed_by if source != layer.index}
    neurons = range(scope.whole(layers)["size"])
    inputs = [n for each in layers if not each.fed_by for n in neurons[scope.span(layers, each)]]
    outputs = [
        n for each in layers if each.index not in feeding for n in neurons[scope.span(layers, each)]
    ]
    return inputs, outputs


@question(columns=COLUMNS, example={"network": "tiny"}, survives=("permutation",), kept=True)
def neuron_measures(
    database: Database, network: str, *, measure: tuple[Measure, ...] = ()
) -> Table:
    """The measures of Scabini & Bruno for every neuron, in one table.

    Computed by SciPy on the links, read in columns: inverses, exponentials and all distances of
    dense graphs are what neither Cypher nor Graph Data Science has. Learned links count; those
    between the same two neurons are summed.

    Parameters
    ----------
    measure
        Only these of the measures, which are the columns; the others are empty and cost no time.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, and for each neuron, on the undirected graph of all
        neurons, signed (G±) or of the links with w > 0 alone (G+):

        ``strength`` (G±): sum_j w_ij, signed. ``average_neighbour_degree`` (G±): sum_j w_ij k_j /
        s_i, k the number of links, signed; published as "average neighbor strength".
        ``current_flow_closeness`` (G±): 1 / sum_u R_vu, R the resistance in the signed Laplacian;
        not multiplied by n - 1. ``bipartite_clustering`` (G+, 0..1): mean over the neurons at
        distance two of common neighbours / greater degree. ``subgraph_centrality`` (G+, >= 1):
        (e^B)_ii of the 0/1 adjacency, infinite beyond 1.8e308, and so
        ``log_subgraph_centrality`` beside it, its natural logarithm. ``harmonic_centrality``
        (G+, >= 0): sum of 1 / distance, a link's length its weight. ``second_order_centrality``
        (G+, >= 0): standard deviation of the return times of a random walk. ``maximal_cliques``
        (G+, count): of those that hold the neuron. ``directed_betweenness`` (0..1): share of the
        shortest ways from inputs to outputs over w > 0 that pass, / ((n - 1) (n - 2)).

        None where a measure does not exist: of a neuron with strength 0, a singular Laplacian,
        neurons that are not all connected (second order), triangles (cliques).

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If a measure is not known, or the network has more than 4,000 neurons.

    References
    ----------
    Scabini & Bruno, "Structure and performance of fully connected neural networks: emerging
    complex network properties", arXiv 2107.14062; networkx has the same definitions.

    Example
    -------
    >>> neuron_measures(database, "mnist").to_pandas()[                 # doctest: +SKIP
    ...     ["layer", "neuron", "bipartite_clustering"]]
    """
    for name in measure:
        one_of("measure", name, MEASURES)
    wanted = measure or MEASURES
    started = time.perf_counter()
    layers, of = read_graphs(database, network)
    found = measured(of, wanted)
    places = range(of.links.shape[0])
    empty = [None] * len(places)
    values = [_listed(found[name]) if name in found else empty for name in MEASURES]
    rows = [
        [layer.name, layer.index, neuron, *(column[position] for column in values)]
        for layer in layers
        for neuron, position in enumerate(places[scope.span(layers, layer)])
    ]
    return Table(
        COLUMNS,
        rows,
        LINKS_INTO_LAYER.cypher.strip(),
        scope.whole(layers),
        took_ms=(time.perf_counter() - started) * 1000,
        notes=("Computed by SciPy from the links that the Cypher reads.",),
    ).cut(database.row_cap)


def _listed(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]
