"""Centrality of the neurons of any subgraph, by Graph Data Science."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from queries.adjacency import measured_on_links
from queries.options import positive
from queries.question import question
from queries.subgraph import (
    WHOLE,
    Algorithm,
    Subgraph,
    algorithm,
    measured,
    weighing,
)
from queries.undirected import leading_eigenvector
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

COLUMNS = ("layer", "layer_index", "neuron", "value")

# The eigenvector is found on sparse links: what bounds it is memory, about so much a neuron.
_MOST_NEURONS = 100_000_000
_BYTES_PER_NEURON = 300
# Eigenvalues that differ by less, as a fraction, are one.
_TIE = 1e-9

_LENGTHS = "The length of a link is 1 / |w|; of several links between two neurons 1 / their sum."
_HOPS = "Every link has the length 1."

PAGERANK = algorithm(
    "pagerank",
    "PageRank of the neurons of a projected graph; their sum is 1.",
    "gds.pageRank.stream",
    "{dampingFactor: $damping, maxIterations: $iterations, tolerance: 1e-10, "
    "relationshipWeightProperty: $weight, scaler: 'L1Norm', concurrency: 1}",
    "YIELD nodeId, score RETURN nodeId AS id, score AS value ORDER BY id",
    ("id", "value"),
)


@question(
    columns=COLUMNS, example={"network": "tiny", "least": 2.0}, survives=("permutation",), kept=True
)
def pagerank(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    damping: float = 0.85,
    iterations: int = 200,
    weighted: bool = True,
) -> Table:
    """PageRank of every neuron: how often a walk along the links comes by.

    Parameters
    ----------
    of
        The neurons and links that count.
    damping
        Probability, 0 to 1, to follow a link; otherwise the walk starts again anywhere.
    iterations
        At most so many rounds; it ends before when nothing changes by more than 1e-10.
    weighted
        Follow links in proportion to their magnitudes, instead of each alike.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``value`` (0..1, the sum over all neurons is 1).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Brin & Page, "The anatomy of a large-scale hypertextual Web search engine", 1998.

    Example
    -------
    >>> pagerank(database, "mnist", of=Subgraph(top=1000)).rows[0]      # doctest: +SKIP
    ['input', 0, 0, 0.00021]
    """
    if not 0 <= damping < 1:
        raise InvalidArgument(f"damping cannot be {damping}: give a number from 0 to below 1.")
    positive("iterations", iterations)
    weight, notes = weighing(weighted)
    return measured(
        database,
        network,
        of,
        PAGERANK,
        COLUMNS,
        notes=notes,
        damping=damping,
        iterations=iterations,
        weight=weight,
    )


def _betweenness(name: str, length: str) -> Algorithm:
    return algorithm(
        name,
        "Number of shortest paths through the neurons of a projected graph.",
        "gds.betweenness.stream",
        f"{{concurrency: 1{length}}}",
        "YIELD nodeId, score RETURN nodeId AS id, score AS value ORDER BY id",
        ("id", "value"),
    )


BETWEENNESS = _betweenness("betweenness", "")
WEIGHTED_BETWEENNESS = _betweenness("weighted_betweenness", ", relationshipWeightProperty: 'cost'")


@question(
    columns=COLUMNS, example={"network": "tiny", "least": 2.0}, survives=("permutation",), kept=True
)
def betweenness(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    weighted: bool = True,
    undirected: bool = False,
) -> Table:
    """Betweenness of every neuron: number of shortest paths between others that pass through it.

    Where there are several shortest paths between two neurons, each counts in part.

    Parameters
    ----------
    of
        The neurons and links that count.
    weighted
        Strong links are short (1 / magnitude), instead of all links being alike.
    undirected
        Links lead both ways.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``value`` (>= 0, not normalised).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Brandes, "A faster algorithm for betweenness centrality", 2001.

    Example
    -------
    >>> betweenness(database, "mnist", of=Subgraph(least=0.1)).rows[0]  # doctest: +SKIP
    ['input', 0, 0, 0.0]
    """
    return measured(
        database,
        network,
        of,
        WEIGHTED_BETWEENNESS if weighted else BETWEENNESS,
        COLUMNS,
        undirected=undirected,
        notes=(_LENGTHS if weighted else _HOPS,),
    )


CLOSENESS = algorithm(
    "closeness",
    "Closeness of the neurons of a projected graph.",
    "gds.closeness.stream",
    "{useWassermanFaust: $improved, concurrency: 1}",
    "YIELD nodeId, score RETURN nodeId AS id, score AS value ORDER BY id",
    ("id", "value"),
)


@question(
    columns=COLUMNS,
    example={"network": "tiny", "sign": "positive"},
    survives=("permutation", "rescaling"),
    kept=True,
)
def closeness(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    improved: bool = False,
    directed: bool = False,
) -> Table:
    """Closeness of every neuron: 1 / its mean number of links from those that reach it.

    Parameters
    ----------
    of
        The neurons and links that count.
    improved
        Times the fraction of all neurons that reach it (Wasserman & Faust), so that neurons of
        small parts do not come first.
    directed
        Paths follow the links' direction, instead of either.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``value`` (0..1; 0 where nothing reaches it).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Freeman, "Centrality in social networks", 1979.

    Example
    -------
    >>> closeness(database, "mnist", of=Subgraph(least=0.1)).rows[0]    # doctest: +SKIP
    ['input', 0, 0, 0.42]
    """
    return measured(
        database,
        network,
        of,
        CLOSENESS,
        COLUMNS,
        undirected=not directed,
        notes=(_HOPS,),
        improved=improved,
    )


HARMONIC = algorithm(
    "harmonic",
    "Harmonic closeness of the neurons of a projected graph.",
    "gds.closeness.harmonic.stream",
    "{concurrency: 1}",
    "YIELD nodeId, score RETURN nodeId AS id, score AS value ORDER BY id",
    ("id", "value"),
)


@question(
    columns=COLUMNS,
    example={"network": "tiny", "sign": "positive"},
    survives=("permutation", "rescaling"),
    kept=True,
)
def harmonic(
    database: Database, network: str, *, of: Subgraph = WHOLE, directed: bool = False
) -> Table:
    """Harmonic closeness of every neuron: the mean of 1 / number of links from all others.

    Other than closeness it is meaningful where not all neurons are connected. The harmonic
    centrality over weights is among the neuron measures.

    Parameters
    ----------
    of
        The neurons and links that count.
    directed
        Paths follow the links' direction, instead of either.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``value`` (0..1).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Marchiori & Latora, "Harmony in the small-world", 2000.

    Example
    -------
    >>> harmonic(database, "mnist", of=Subgraph(least=0.1)).rows[0]     # doctest: +SKIP
    ['input', 0, 0, 0.47]
    """
    return measured(
        database, network, of, HARMONIC, COLUMNS, undirected=not directed, notes=(_HOPS,)
    )


@question(
    columns=COLUMNS, example={"network": "tiny", "least": 2.0}, survives=("permutation",), kept=True
)
def eigenvector(
    database: Database, network: str, *, of: Subgraph = WHOLE, weighted: bool = True
) -> Table:
    """Eigenvector centrality of every neuron: central is who is tied to central ones.

    Links lead both ways. Where several separate parts are equally central, each has its share; the
    others have 0. Computed by SciPy on the subgraph's links, read in columns: Graph Data Science
    divides weights by their sum, which gives strengths instead, and its power iteration swings for
    ever between the even and the odd layers.

    Parameters
    ----------
    of
        The neurons and links that count.
    weighted
        Links count by their magnitude, instead of each alike.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``value`` (>= 0, the sum of squares is 1; all 0
        where there are no links).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Bonacich, "Power and centrality", 1987.

    Example
    -------
    >>> eigenvector(database, "mnist", of=Subgraph(least=0.1)).rows[0]  # doctest: +SKIP
    ['input', 0, 0, 0.011]
    """
    return measured_on_links(
        database,
        network,
        of,
        COLUMNS,
        lambda links: principal_vector(links if weighted else links.astype(bool)),
        most=_MOST_NEURONS,
        needed=lambda neurons: _BYTES_PER_NEURON * neurons,
        notes=weighing(weighted)[1],
    )


def principal_vector(links: csr_array) -> NDArray[np.float64]:
    """What the power iteration from equal values comes to; all 0 without links.

    Parts that share the greatest eigenvalue, such as the time steps of an unrolled network, have
    no single eigenvector: the one nearest to equal values is the sum of the parts' own, each times
    its sum.

    Parameters
    ----------
    links
        Symmetric, not negative.

    Example
    -------
    >>> two_pairs = csr_array([[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2.0], [0, 0, 2, 0]])
    >>> principal_vector(two_pairs).round(3).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    found = np.zeros(links.shape[0])
    count, part_of = connected_components(links, directed=False)
    parts = np.split(
        np.argsort(part_of, kind="stable"), np.cumsum(np.bincount(part_of, minlength=count))[:-1]
    )
    greatest = 0.0
    for members in parts:
        if len(members) < 2:
            continue
        part = links[members][:, members].astype(np.float64)
        vector = leading_eigenvector(part)
        value = float(vector @ (part @ vector))
        if value > greatest * (1 + _TIE):
            found[:] = 0
            greatest = value
        if value >= greatest * (1 - _TIE):
            found[members] = vector * vector.sum()
    length = np.linalg.norm(found)
    return found / length if length else found
