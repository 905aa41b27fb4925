"""Permutations that make the weights of two networks most alike (arXiv 2209.04836)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from queries.pairing import Side
from queries.weights import Edges, LayerWeights
from store.errors import InvalidArgument

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_ROUNDS: Final = 100


def assigned(products: Array) -> Ints:
    """For each row the column, so that the sum of what is chosen is greatest."""
    # Only now: every command would wait for it.
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(products, maximize=True)[1], dtype=np.int64)


@dataclass(frozen=True)
class _Block:
    """Links from one layer to another in both networks, as matrices of sources x targets.

    There is one for each position, such as a place in a kernel.
    """

    source: int
    target: int
    here: list[csr_array]
    there: list[csr_array]


def _blocks(
    here: Side, there: Side, mine: list[LayerWeights], theirs: list[LayerWeights]
) -> list[_Block]:
    found = []
    for layer, read, other in zip(here.layers, mine, theirs, strict=True):
        ours, others = (
            {source.index: part for source, part in links.by_source(side.layers)}
            for side, links in ((here, read.links), (there, other.links))
        )
        if ours.keys() != others.keys():
            raise InvalidArgument(
                f"Layer {layer.name!r} is fed by other layers in {there.name!r}, so their neurons "
                "cannot be paired."
            )
        for source, part in ours.items():
            positions = np.union1d(
                read.links.positions[part], other.links.positions[others[source]]
            )
            found.append(
                _Block(
                    source,
                    layer.index,
                    _matrices(here, source, layer.index, read.links, part, positions),
                    _matrices(there, source, layer.index, other.links, others[source], positions),
                )
            )
    return found


def _matrices(
    side: Side, source: int, target: int, edges: Edges, part: NDArray[np.bool_], positions: Ints
) -> list[csr_array]:
    one, other = side.layers[source], side.layers[target]
    found = []
    for position in positions:
        chosen = part & (edges.positions == position)
        ends = (edges.sources[chosen] - one.first, edges.targets[chosen] - other.first)
        found.append(csr_array((edges.weights[chosen], ends), shape=(one.size, other.size)))
    return found


def by_weights(
    here: Side,
    there: Side,
    mine: list[LayerWeights],
    theirs: list[LayerWeights],
    groups: list[list[int]],
    fixed: set[int],
) -> tuple[dict[int, Ints], dict[int, Array]]:
    """Permutations by alternating over the groups, first along the layers, and similarities."""
    blocks = _blocks(here, there, mine, theirs)
    pairs: dict[int, Ints] = {n: np.arange(layer.size) for n, layer in enumerate(here.layers)}
    known = set(fixed)
    free = [group for group in groups if not fixed & set(group)]
    # What is already paired decides first: an exact copy is found in one pass.
    for group in free:
        products = _products(group, blocks, pairs, mine, theirs, known)
        pairs |= dict.fromkeys(group, assigned(products))
        known |= set(group)
    for _ in range(MOST_ROUNDS):
        changed = False
        for group in free:
            products = _products(group, blocks, pairs, mine, theirs, known)
            before = pairs[group[0]]
            chosen = assigned(products)
            places = np.arange(len(chosen))
            # Only for what is really better: equal choices could take turns for ever.
            gain = products[places, chosen].sum() - products[places, before].sum()
            if gain > 1e-9 * max(abs(products[places, before].sum()), 1e-300):
                pairs |= dict.fromkeys(group, chosen)
                changed = True
        if not changed:
            break
    similarities = {
        index: _cosines(index, blocks, pairs, mine, theirs) for index in range(len(here.layers))
    }
    return pairs, similarities


def _products(
    group: Sequence[int],
    blocks: list[_Block],
    pairs: dict[int, Ints],
    mine: list[LayerWeights],
    theirs: list[LayerWeights],
    known: set[int],
) -> Array:
    """For each two neurons, what the products of their weights and biases sum up to."""
    size = len(pairs[group[0]])
    total = np.zeros((size, size))
    for index in group:
        for name, held in mine[index].held.items():
            if name in theirs[index].held:
                total += np.outer(held.values, theirs[index].held[name].values)
        for block in blocks:
            if block.target == index and (block.source in known or block.source in group):
                for one, other in zip(block.here, block.there, strict=True):
                    if block.source in group and _is_diagonal(one):
                        total += np.outer(one.diagonal(), other.diagonal())
                    else:
                        total += (one.T @ other[pairs[block.source]]).toarray()
            if block.source == index and block.target in known and block.target not in group:
                for one, other in zip(block.here, block.there, strict=True):
                    total += (one @ other[:, pairs[block.target]].T).toarray()
    return total


def _is_diagonal(matrix: csr_array) -> bool:
    rows, columns = matrix.tocoo().coords
    return bool((rows == columns).all())


def _cosines(
    index: int,
    blocks: list[_Block],
    pairs: dict[int, Ints],
    mine: list[LayerWeights],
    theirs: list[LayerWeights],
) -> Array:
    """Cosine of each neuron's weights and biases with those of its counterpart."""
    chosen = pairs[index]
    product, length, other_length = (np.zeros(len(chosen)) for _ in range(3))

    def add(a: Array, b: Array) -> None:
        nonlocal product, length, other_length
        product = product + a * b
        length = length + a**2
        other_length = other_length + b**2

    for name, held in mine[index].held.items():
        if name in theirs[index].held:
            add(held.values, theirs[index].held[name].values[chosen])
    for block in blocks:
        if index not in (block.source, block.target):
            continue
        for one, other in zip(block.here, block.there, strict=True):
            turned = other[pairs[block.source]][:, pairs[block.target]]
            for axis in {
                axis for axis, end in enumerate((block.source, block.target)) if end == index
            }:
                product = product + one.multiply(turned).sum(axis=1 - axis)
                length = length + one.multiply(one).sum(axis=1 - axis)
                other_length = other_length + turned.multiply(turned).sum(axis=1 - axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(product / np.sqrt(length * other_length))
