"""Communities, components and cores among the neurons of any subgraph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from queries import scope
from queries.adjacency import measured_on_links
from queries.question import question
from queries.subgraph import (
    WHOLE,
    Algorithm,
    Subgraph,
    algorithm,
    answered,
    measured,
    projected,
    weighing,
)
from queries.undirected import square_clustering
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

COLUMNS = ("layer", "layer_index", "neuron", "community")

MOST_NEURONS = 20_000
"""Square clustering needs matrices of neurons x neurons, four of them at a time."""
_MATRICES = 4 * 8 + 2


def _numbered(rows: list[list[Any]]) -> list[list[Any]]:
    """The algorithm's numbers mean nothing: communities are numbered as they come."""
    numbers: dict[int, int] = {}
    return [[neuron, numbers.setdefault(found, len(numbers))] for neuron, found in rows]


_COMMUNITY = "YIELD nodeId, communityId RETURN nodeId AS id, communityId AS community ORDER BY id"
_COMPONENT = "YIELD nodeId, componentId RETURN nodeId AS id, componentId AS community ORDER BY id"


def _rated(name: str, configuration: str) -> tuple[Algorithm, Query]:
    """An algorithm that finds communities, and how good those are that it finds."""
    procedure = f"gds.{name}"
    found = algorithm(
        name,
        f"Communities of a projected graph by {name.capitalize()}.",
        f"{procedure}.stream",
        configuration,
        _COMMUNITY,
        ("id", "community"),
    )
    rating = Query(
        f"{name}_modularity",
        f"How many communities {name.capitalize()} finds, and their modularity.",
        f"""
CALL {procedure}.stats($graph, {configuration}) YIELD communityCount, modularity
RETURN communityCount AS communities, modularity
""",
        ("communities", "modularity"),
    )
    return found, rating


LOUVAIN, LOUVAIN_MODULARITY = _rated(
    "louvain", "{relationshipWeightProperty: $weight, concurrency: 1}"
)


@question(
    columns=COLUMNS,
    example={"network": "tiny", "least": 3.0, "weighted": False},
    survives=(),
    kept=True,
)
def louvain(
    database: Database, network: str, *, of: Subgraph = WHOLE, weighted: bool = True
) -> Table:
    """Communities of neurons that are tied among each other more than to others, by Louvain.

    Links lead both ways. Graph Data Science moves many neurons at once, which in a layered network,
    where no two of a layer are tied, can miss communities that are there: :func:`leiden` is safer,
    and the note on modularity tells. Which of several equally good divisions it ends in hangs on
    the order of the neurons.

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
    return _communities(database, network, of, LOUVAIN, LOUVAIN_MODULARITY, weighted, {})


LEIDEN, LEIDEN_MODULARITY = _rated(
    "leiden",
    "{relationshipWeightProperty: $weight, gamma: $resolution, randomSeed: $seed, concurrency: 1}",
)


@question(
    columns=COLUMNS,
    example={"network": "tiny", "least": 3.0},
    survives=(),
    kept=True,
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

    Links lead both ways. Which of several equally good divisions it ends in hangs on the order of
    the neurons and the seed; the note on modularity tells how good it is.

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
    further = {"resolution": resolution, "seed": seed}
    return _communities(database, network, of, LEIDEN, LEIDEN_MODULARITY, weighted, further)


def _communities(
    database: Database,
    network: str,
    of: Subgraph,
    asked: Algorithm,
    rating: Query,
    weighted: bool,
    further: dict[str, Any],
) -> Table:
    weight, notes = weighing(weighted)
    chosen = {"weight": weight, **further}
    with projected(database, network, of, (asked, chosen), undirected=True) as part:
        rated = database.read(rating, graph=part.graph, **chosen)
        count, modularity = rated.rows[0]
        # Where Leiden leaves each neuron on its own, Graph Data Science 2.26 cannot stream that.
        alone = count == len(part.neurons)
        found = None if alone else database.read(asked.run, graph=part.graph, **chosen)
    scope.unchanged(database, network, part.layers)
    if found is None:
        rows = [[neuron, number] for number, neuron in enumerate(part.neurons)]
    else:
        rows = _numbered(found.rows)
    if not math.isnan(modularity):
        at = f" at resolution {further['resolution']:g}" if further else ""
        notes = (*notes, f"The modularity of these {count:,} communities{at} is {modularity:.6g}.")
    ran = (rated,) if found is None else (rated, found)
    return answered(part, ran, COLUMNS, rows, notes).cut(database.row_cap)


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
    example={"network": "tiny"},
    survives=("permutation", "rescaling"),
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
    example={"network": "tiny"},
    survives=("permutation", "rescaling"),
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
        If the layers have more than 20,000 neurons, or an option cannot be.
    MemoryLimitExceeded
        If matrices of neurons x neurons would need more memory than is allowed.

    References
    ----------
    Zhang et al., "Clustering coefficient and community structure of bipartite networks", 2008.

    Example
    -------
    >>> clustering(database, "mnist", of=Subgraph(least=0.1)).rows[0]   # doctest: +SKIP
    ['input', 0, 0, 0.31]
    """
    return measured_on_links(
        database,
        network,
        of,
        CLUSTERING_COLUMNS,
        _clustering_of_linked,
        most=MOST_NEURONS,
        needed=lambda neurons: _MATRICES * neurons**2,
    )


def _clustering_of_linked(links: csr_array) -> NDArray[np.float64]:
    """Square clustering, in matrices of no more neurons than have links."""
    found = np.zeros(links.shape[0])
    linked = np.flatnonzero(np.diff(links.indptr))
    found[linked] = square_clustering(links[linked][:, linked])
    return found
