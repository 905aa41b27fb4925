"""Which neuron of one network does what which neuron of another does (arXiv 2209.04836).

Hidden neurons have no order: two networks can be the same up to a permutation in each layer. The
pairs that are found are kept as ``(:Neuron)-[:MATCHES {similarity, by}]->(:Neuron)``.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.activation_matching import correlations
from queries.forward import Inputs
from queries.options import one_of
from queries.pairing import MATCHES_OF_NETWORKS, Side
from queries.question import question
from queries.scope import Place
from queries.weight_matching import assigned, by_weights
from queries.weights import Edges, LayerWeights, layer_weights, layer_wires
from store.database import Database
from store.errors import InvalidArgument
from store.query import Query, Table

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

By = Literal["weights", "activations"]
BYS: Final[tuple[By, ...]] = get_args(By)

KEEP_MATCHES = Query(
    "keep_matches",
    "Pairs neurons of two networks, in place of how they were paired before.",
    """
MATCH (here:Network {name: $network}), (there:Network {name: $other})
CALL (here, there) {
    MATCH (here)-[:HAS_LAYER]->()-[:HAS_NEURON]->()-[old:MATCHES]->()<-[:HAS_NEURON]-()
          <-[:HAS_LAYER]-(there)
    DELETE old
}
WITH here, there
UNWIND $rows AS row
MATCH (neuron:Neuron {id: row[0]}), (counterpart:Neuron {id: row[1]})
CREATE (neuron)-[:MATCHES {similarity: row[2], by: $by}]->(counterpart)
""",
)

REMOVE_MATCHES = Query(
    "remove_matches",
    "Forgets how the neurons of two networks were paired.",
    """
MATCH (:Network {name: $network})-[:HAS_LAYER]->()-[:HAS_NEURON]->()-[match:MATCHES]->()
      <-[:HAS_NEURON]-()<-[:HAS_LAYER]-(:Network {name: $other})
DELETE match
""",
)

COLUMNS: Final = ("layer", "layer_index", "neuron", "other_neuron", "similarity", "by")


def match(
    database: Database,
    network: str,
    other: str,
    *,
    by: By = "weights",
    inputs: Inputs | None = None,
) -> Table:
    """Pairs the neurons of two networks of one architecture, layer by layer, and keeps the pairs.

    Input and output neurons are paired by their index; so are layers that share neurons with them
    over one-to-one links, such as norms. By weights: the permutations with the greatest sum of
    products of paired weights and biases, improved layer by layer until none changes. By
    activations: the greatest sum of correlations over a sample.

    Parameters
    ----------
    by
        ``weights`` or ``activations``.
    inputs
        The sample, as :func:`queries.forward.forward` takes it; for ``activations`` only.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``other_neuron``, ``similarity`` (cosine of the
        paired weights and biases, or correlation of the activations, -1..1; None where one has no
        length), ``by``.

    Raises
    ------
    NotFound
        If a network does not exist.
    InvalidArgument
        If they are not of one architecture, or there is no sample to match by activations.
    Conflict
        If a network was replaced meanwhile.

    References
    ----------
    Ainsworth et al., "Git re-basin: merging models modulo permutation symmetries",
    arXiv 2209.04836.

    Example
    -------
    >>> match(database, "mnist-seed-1", "mnist-seed-2").column("similarity")  # doctest: +SKIP
    """
    one_of("by", by, BYS)
    here, there = (Side(name, scope.places(database, name)) for name in (network, other))
    if [(a.name, a.size) for a in here.layers] != [(b.name, b.size) for b in there.layers]:
        raise InvalidArgument(
            f"{network!r} and {other!r} have not layers of the same names and sizes, so their "
            "neurons cannot be paired."
        )
    mine = [layer_weights(database, layer) for layer in here.layers]
    groups, fixed = _groups(database, here, mine)
    if by == "activations":
        if inputs is None:
            raise InvalidArgument("Matching by activations needs a sample: give inputs.")
        products = correlations(database, network, other, inputs)
        pairs = {index: np.arange(layer.size) for index, layer in enumerate(here.layers)}
        for group in groups:
            if not fixed & set(group):
                chosen = assigned(np.sum([products[index] for index in group], axis=0))
                pairs |= dict.fromkeys(group, chosen)
        similarities = {
            index: products[index][np.arange(len(chosen)), chosen]
            for index, chosen in pairs.items()
        }
    else:
        theirs = [layer_weights(database, layer) for layer in there.layers]
        pairs, similarities = by_weights(here, there, mine, theirs, groups, fixed)
    for side in (here, there):
        scope.unchanged(database, side.name, side.layers)
    rows: list[list[Any]] = []
    ids: list[list[Any]] = []
    for layer, twin in zip(here.layers, there.layers, strict=True):
        found = zip(pairs[layer.index].tolist(), similarities[layer.index].tolist(), strict=True)
        for neuron, (counterpart, similarity) in enumerate(found):
            told = similarity if np.isfinite(similarity) else None
            rows.append([layer.name, layer.index, neuron, counterpart, told, by])
            ids.append([layer.first + neuron, twin.first + counterpart, told])
    database.write(KEEP_MATCHES, network=network, other=other, rows=ids, by=by)
    return Table(
        COLUMNS,
        rows,
        MATCHES_OF_NETWORKS.cypher.strip(),
        {"network": network, "other": other},
    ).cut(database.row_cap)


def unmatch(database: Database, network: str, other: str) -> None:
    """Forgets how the neurons of two networks were paired.

    Raises
    ------
    NotFound
        If a network does not exist.

    Example
    -------
    >>> unmatch(database, "mnist-seed-1", "mnist-seed-2")               # doctest: +SKIP
    """
    for name in (network, other):
        scope.places(database, name)
    database.write(REMOVE_MATCHES, network=network, other=other)


@question(columns=COLUMNS, example={"network": "step-0", "other": "step-1"}, survives=None)
def matches(database: Database, network: str, other: str) -> Table:
    """How the neurons of two networks were paired by `match`.

    Parameters
    ----------
    other
        Name of the other network.

    Returns
    -------
    Table
        ``layer``, ``layer_index``, ``neuron``, ``other_neuron`` (index of its counterpart),
        ``similarity`` (cosine of the paired weights, or correlation of the activations, -1..1, or
        None), ``by`` (`weights` or `activations`); no rows where they were not matched.

    Raises
    ------
    NotFound
        If a network does not exist.

    References
    ----------
    Ainsworth et al., arXiv 2209.04836.

    Example
    -------
    >>> matches(database, "mnist-seed-1", "mnist-seed-2").rows[0]       # doctest: +SKIP
    ['input', 0, 0, 0, 1.0, 'weights']
    """
    for name in (network, other):
        scope.places(database, name)
    return database.read(MATCHES_OF_NETWORKS, network=network, other=other)


def _groups(
    database: Database, here: Side, weights: list[LayerWeights]
) -> tuple[list[list[int]], set[int]]:
    """Layers that one permutation permutes, in order; and those whose neurons keep their place."""
    group = list(range(len(here.layers)))

    def root(index: int) -> int:
        while group[index] != index:
            index = group[index]
        return index

    fed: set[int] = set()
    fixed: set[int] = set()
    for layer, read in zip(here.layers, weights, strict=True):
        feeding = set()
        for edges in (read.links, layer_wires(database, layer)):
            for source, part in edges.by_source(here.layers):
                fed.add(source.index)
                feeding.add(source.index)
                if _one_to_one(source, layer, edges, part):
                    group[root(layer.index)] = root(source.index)
        if not feeding:
            # An input, or a table that stands for itself.
            fixed.add(layer.index)
    fixed |= {layer.index for layer in here.layers if layer.index not in fed}
    members: dict[int, list[int]] = {}
    for layer in here.layers:
        members.setdefault(root(layer.index), []).append(layer.index)
    whole = {index for found in members.values() if fixed & set(found) for index in found}
    return list(members.values()), whole


def _one_to_one(source: Place, target: Place, edges: Edges, part: NDArray[np.bool_]) -> bool:
    """Whether each neuron of a layer has links from its like in the other layer alone."""
    return source.size == target.size and bool(
        (edges.sources[part] - source.first == edges.targets[part] - target.first).all()
    )
