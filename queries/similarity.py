"""Which neurons are alike in their links, and the neurons of a subgraph as vectors."""

from __future__ import annotations

from typing import Any

from queries import scope
from queries.options import positive
from queries.question import question
from queries.subgraph import (
    WHOLE,
    Subgraph,
    address,
    algorithm,
    answered,
    measured,
    projected,
    weighing,
)
from store.database import Database
from store.errors import InvalidArgument
from store.query import Table

SIMILAR_COLUMNS = ("layer", "layer_index", "neuron", "other_layer", "other_neuron", "similarity")

SIMILAR_NEURONS = algorithm(
    "similar_neurons",
    "Pairs of neurons of a projected graph whose outgoing links lead to the same neurons.",
    "gds.nodeSimilarity.stream",
    "{topK: $k, similarityCutoff: $cutoff, relationshipWeightProperty: $weight, concurrency: 1}",
    "YIELD node1, node2, similarity RETURN node1 AS id, node2 AS other, similarity\n"
    "ORDER BY id, similarity DESC, other",
    ("id", "other", "similarity"),
)


@question(
    columns=SIMILAR_COLUMNS, example={"network": "tiny"}, survives=("permutation",), kept=True
)
def similar_neurons(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    k: int = 3,
    cutoff: float = 1e-9,
    weighted: bool = True,
) -> Table:
    """The neurons most alike in where their outgoing links lead, by Jaccard's coefficient.

    Candidates for merging when a network is pruned. Signs are not looked at, nor links from a
    neuron to itself.

    Parameters
    ----------
    of
        The neurons and links that count.
    k
        So many others for each neuron.
    cutoff
        Only pairs at least this similar, 0 to 1.
    weighted
        Sum of lesser / sum of greater magnitudes, instead of common / all neurons reached; in a
        dense layer all neurons reach the same ones.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``other_layer``, ``other_neuron``, ``similarity``
        (0..1); each neuron's most similar first.

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Jaccard, "The distribution of the flora in the alpine zone", 1912.

    Example
    -------
    >>> similar_neurons(database, "mnist", k=1).rows[0]                 # doctest: +SKIP
    ['input', 0, 100, 'input', 128, 0.83]
    """
    positive("k", k)
    if not 0 < cutoff <= 1:
        raise InvalidArgument(f"cutoff cannot be {cutoff}: give a number above 0, at most 1.")
    weight, notes = weighing(weighted)
    configuration: dict[str, Any] = {"k": k, "cutoff": cutoff, "weight": weight}
    with projected(database, network, of, (SIMILAR_NEURONS, configuration)) as part:
        found = database.read(SIMILAR_NEURONS.run, graph=part.graph, **configuration)
    scope.unchanged(database, network, part.layers)
    rows = []
    for neuron, other, similarity in found.rows:
        other_layer, _, other_neuron = address(part.layers, other)
        rows.append([neuron, other_layer, other_neuron, similarity])
    return answered(part, (found,), SIMILAR_COLUMNS, rows, notes)


EMBEDDING_COLUMNS = ("layer", "layer_index", "neuron", "embedding")

EMBEDDINGS = algorithm(
    "embeddings",
    "FastRP vectors of the neurons of a projected graph.",
    "gds.fastRP.stream",
    "{embeddingDimension: $dimension, iterationWeights: [0.0, 1.0, 1.0, 1.0], randomSeed: $seed, "
    "relationshipWeightProperty: $weight, concurrency: 1}",
    "YIELD nodeId, embedding RETURN nodeId AS id, embedding ORDER BY id",
    ("id", "embedding"),
)


@question(
    columns=EMBEDDING_COLUMNS, example={"network": "tiny", "dimension": 4}, survives=(), kept=True
)
def embeddings(
    database: Database,
    network: str,
    *,
    of: Subgraph = WHOLE,
    dimension: int = 64,
    weighted: bool = True,
    seed: int = 0,
) -> Table:
    """Each neuron as a vector, near to those of neurons that are near to it, by FastRP.

    Links lead both ways. The vectors come from random ones, which depend on the numbers of the
    neurons: compare vectors of one answer only.

    Parameters
    ----------
    of
        The neurons and links that count.
    dimension
        Numbers of a vector.
    weighted
        Links count by their magnitude, instead of each alike.
    seed
        Of the random projection; the same seed gives the same vectors.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``embedding`` (list of so many numbers).

    Raises
    ------
    NotFound, InvalidArgument, MemoryLimitExceeded

    References
    ----------
    Chen et al., "Fast and accurate network embeddings via very sparse random projection", 2019.

    Example
    -------
    >>> embeddings(database, "mnist", dimension=64).rows[0][:3]         # doctest: +SKIP
    ['input', 0, 0]
    """
    positive("dimension", dimension, 4_096)
    weight, notes = weighing(weighted)
    return measured(
        database,
        network,
        of,
        EMBEDDINGS,
        EMBEDDING_COLUMNS,
        undirected=True,
        notes=notes,
        dimension=dimension,
        weight=weight,
        seed=seed,
    )
