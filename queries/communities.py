"""Communities, components and cores among the neurons of any subgraph."""

from __future__ import annotations

from typing import Any

from queries.adjacency import measured_on_links
from queries.question import question
from queries.subgraph import WHOLE, Subgraph, algorithm, measured
from queries.undirected import square_clustering
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

COLUMNS = ("layer", "layer_index", "neuron", "community")

MOST_NEURONS = 6_000
"""Square clustering needs matrices of neurons x neurons."""


def _numbered(rows: list[list[Any]]) -> list[list[Any]]:
    """The algorithm's numbers mean nothing: communities are numbered as they come."""
    numbers: dict[int, int] = {}
    return [[neuron, numbers.setdefault(found, len(numbers))] for neuron, found in rows]


_COMMUNITY = "YIELD nodeId, communityId RETURN nodeId AS id, communityId AS community ORDER BY id"
_COMPONENT = "YIELD nodeId, componentId RETURN nodeId AS id, componentId AS community ORDER BY id"

LOUVAIN = algorithm(
    "louvain",
    "Communities of a projected graph by Louvain.",
    "gds.louvain.stream",
    "{relationshipWeightProperty: $weight, concurrency: 1}",
    _COMMUNITY,
    ("id", "community"),
)


@question(
    columns=COLUMNS, example={"network": "tiny", "least": 4.0}, survives=("permutation",), kept=True
)
def louvain(
    database: Database, network: str, *, of: Subgraph = WHOLE, weighted: bool = True
) -> Table:
    """Communities of neurons that are tied among each other more than to others, by Louvain.

    Links lead both ways. Graph Data Science moves many neurons at once, which in a layered network,
    where no two of a layer are tied, can end worse than it began: :func:`leiden` is safer.

    Parameters
    ----------
    of
        The neurons and links that count.
    weighted
        Links count by their magnitude, instead of each alike.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``community`` (from 0, by its first neuron).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Blondel et al., "Fast unfolding of communities in large networks", 2008.

    Example
    -------
    >>> louvain(database, "mnist", of=Subgraph(top=2000)).rows[0]       # doctest: +SKIP
    ['input', 0, 0, 0]
    """
    return measured(
        database,
        network,
        of,
        LOUVAIN,
        COLUMNS,
        undirected=True,
        change=_numbered,
        weight="weight" if weighted else None,
    )


LEIDEN = algorithm(
    "leiden",
    "Communities of a projected graph by Leiden.",
    "gds.leiden.stream",
    "{relationshipWeightProperty: $weight, gamma: $resolution, randomSeed: $seed, concurrency: 1}",
    _COMMUNITY,
    ("id", "community"),
)


@question(
    columns=COLUMNS, example={"network": "tiny", "least": 4.0}, survives=("permutation",), kept=True
)
def leiden(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    weighted: bool = True,
    resolution: float = 1.0,
    seed: int = 0,
) -> Table:
    """Communities by Leiden: as Louvain, and each is connected.

    Links lead both ways.

    Parameters
    ----------
    of
        The neurons and links that count.
    weighted
        Links count by their magnitude, instead of each alike.
    resolution
        Greater than 1 finds more and smaller communities, below 1 fewer and larger ones.
    seed
        Of the order in which neurons are looked at; the same seed gives the same communities.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``community`` (from 0, by its first neuron).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Traag et al., "From Louvain to Leiden: guaranteeing well-connected communities", 2019.

    Example
    -------
    >>> leiden(database, "mnist", of=Subgraph(top=2000)).rows[0]        # doctest: +SKIP
    ['input', 0, 0, 0]
    """
    if not resolution > 0:
        raise InvalidArgument(f"resolution cannot be {resolution}: give a number above 0.")
    return measured(
        database,
        network,
        of,
        LEIDEN,
        COLUMNS,
        undirected=True,
        change=_numbered,
        weight="weight" if weighted else None,
        resolution=resolution,
        seed=seed,
    )


WEAK_COMPONENTS = algorithm(
    "weak_components",
    "Parts of a projected graph that no link leaves.",
    "gds.wcc.stream",
    "{concurrency: 1}",
    _COMPONENT,
    ("id", "community"),
)


@question(
    columns=COLUMNS,
    example={"network": "tiny", "least": 5.0},
    survives=("permutation",),
    kept=True,
)
def weak_components(database: Database, network: str, *, of: Subgraph = WHOLE) -> Table:
    """The parts that a subgraph falls into, whatever the direction of links.

    Parameters
    ----------
    of
        The neurons and links that count.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``community`` (the part: from 0, by its first
        neuron).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Tarjan, "Depth-first search and linear graph algorithms", 1972.

    Example
    -------
    >>> weak_components(database, "mnist", of=Subgraph(least=0.5)).rows[0]  # doctest: +SKIP
    ['input', 0, 0, 0]
    """
    return measured(database, network, of, WEAK_COMPONENTS, COLUMNS, change=_numbered)


STRONG_COMPONENTS = algorithm(
    "strong_components",
    "Parts of a projected graph in which each neuron reaches each other.",
    "gds.scc.stream",
    "{concurrency: 1}",
    _COMPONENT,
    ("id", "community"),
)


@question(
    columns=COLUMNS,
    example={"network": "tiny"},
    survives=("permutation", "rescaling", "duplication"),
    kept=True,
)
def strong_components(database: Database, network: str, *, of: Subgraph = WHOLE) -> Table:
    """The parts of a subgraph in which each neuron reaches each other along the links.

    More than one neuron they hold only where a network is recurrent.

    Parameters
    ----------
    of
        The neurons and links that count.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``community`` (the part: from 0, by its first
        neuron).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Tarjan, "Depth-first search and linear graph algorithms", 1972.

    Example
    -------
    >>> strong_components(database, "lstm").rows[0]                     # doctest: +SKIP
    ['input', 0, 0, 0]
    """
    return measured(database, network, of, STRONG_COMPONENTS, COLUMNS, change=_numbered)


CORE_COLUMNS = ("layer", "layer_index", "neuron", "core")
K_CORE = algorithm(
    "k_core",
    "Core numbers of the neurons of a projected graph.",
    "gds.kcore.stream",
    "{concurrency: 1}",
    "YIELD nodeId, coreValue RETURN nodeId AS id, coreValue AS core ORDER BY id",
    ("id", "core"),
)


@question(
    columns=CORE_COLUMNS,
    example={"network": "tiny", "least": 3.0},
    survives=("permutation",),
    kept=True,
)
def k_core(database: Database, network: str, *, of: Subgraph = WHOLE) -> Table:
    """Core number of every neuron: the greatest k of a part where each is tied to k others.

    Parameters
    ----------
    of
        The neurons and links that count.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``core`` (0 for a neuron without links).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Batagelj & Zaversnik, "An O(m) algorithm for cores decomposition of networks", 2003.

    Example
    -------
    >>> max(k_core(database, "mnist", of=Subgraph(least=0.1)).column("core"))  # doctest: +SKIP
    10
    """
    return measured(database, network, of, K_CORE, CORE_COLUMNS, undirected=True)


CLUSTERING_COLUMNS = ("layer", "layer_index", "neuron", "clustering")


@question(
    columns=CLUSTERING_COLUMNS,
    example={"network": "tiny", "sign": "positive"},
    survives=("permutation", "rescaling"),
    kept=True,
)
def clustering(database: Database, network: str, *, of: Subgraph = WHOLE) -> Table:
    """Square clustering of every neuron: how many of the squares it may be in there are.

    A layered network has no triangles, so the usual coefficient is 0 everywhere; squares are the
    least cycles it can have. Computed by SciPy on the subgraph's links, read in columns: matrix
    products are faster than matching four neurons in Cypher, and Graph Data Science has triangles
    only.

    Parameters
    ----------
    of
        The neurons and links that count.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``clustering`` (0..1; 0 with fewer than two links).

    Raises
    ------
    NotFound
        If the network or a layer does not exist.
    InvalidArgument
        If the layers have more than 6,000 neurons, or an option cannot be.

    References
    ----------
    Zhang et al., "Clustering coefficient and community structure of bipartite networks", 2008.

    Example
    -------
    >>> clustering(database, "mnist", of=Subgraph(least=0.1)).rows[0]   # doctest: +SKIP
    ['input', 0, 0, 0.31]
    """
    return measured_on_links(
        database, network, of, CLUSTERING_COLUMNS, square_clustering, MOST_NEURONS
    )
