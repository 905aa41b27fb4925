"""The edges of a metanetwork, and those of its nodes that are no neurons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from queries.metanetwork_nodes import CONVOLUTIONS, NONE, NORMS, Ids
from queries.scope import Place
from queries.stored import StoredLayer
from queries.weights import SECONDS, Edges, Held
from store.database import Database
from store.query import Query

# Kinds of nodes.
NEURON, BIAS, SCALE, SHIFT, SLOPE, POSITION = range(6)
# Kinds of edges between neurons; all others have the kind of the node that they come from.
WEIGHT, RESIDUAL, FIXED = NEURON, 6, 7

# What `edge_role` counts: parts of an attention, gates of an LSTM (with o) and of a GRU.
ROLES = ("q", "k", "v", "o", "i", "f", "g", "r", "z", "n")

NEURON_ROLES = Query(
    "neuron_roles",
    "Roles and heads of those neurons in a range that have any.",
    """
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $first + $size
  AND (neuron.role IS NOT NULL OR neuron.head IS NOT NULL)
RETURN collect(neuron.id) AS neuron, collect(coalesce(neuron.role, '')) AS role,
       collect(coalesce(neuron.head, -1)) AS head
""",
    ("neuron", "role", "head"),
)


# What the links into a layer are; those into all other layers are weights.
_OF_LINKS = {"shift": POSITION, "scale": SCALE, "prelu": SLOPE, **dict.fromkeys(NORMS, SCALE)}


@dataclass(frozen=True)
class Columns:
    """Edges of a metanetwork; see :class:`queries.metanetwork.Metanetwork`."""

    sources: Ids
    targets: Ids
    weights: NDArray[np.float64]
    kinds: Ids
    layers: Ids
    positions: Ids
    roles: Ids
    heads: Ids
    params: Ids


@dataclass(frozen=True)
class _Part:
    """Edges of one kind into one layer.

    Their ends are numbers of neurons; nodes that are no neurons are counted on after all neurons.
    """

    layer: StoredLayer
    kind: int
    edges: Edges


class Parts:
    """All edges so far, and the nodes that are no neurons.

    Parameters
    ----------
    roles, heads
        Of each neuron; see :func:`roles_and_heads`.
    """

    def __init__(self, roles: Ids, heads: Ids) -> None:
        self._roles = roles
        self._heads = heads
        self._parts: list[_Part] = []
        # Layer, index and kind of each node that is no neuron.
        self.further: list[tuple[int, int, int]] = []

    def add(
        self,
        layer: StoredLayer,
        first: int,
        links: Edges,
        held: Mapping[str, Held],
        wires: Edges | None,
    ) -> None:
        """Adds what leads into a layer.

        Parameters
        ----------
        first
            Number of its first neuron.
        links, wires
            Between numbers of neurons; None where no wire is an edge.
        held
            What its neurons hold.
        """
        of_links = _OF_LINKS.get(layer.kind, WEIGHT)
        if links.sources.size:
            if of_links in (SCALE, SLOPE):
                node = self._node(layer, of_links)
                links = replace(links, sources=np.full(links.sources.size, node))
            self._parts.append(_Part(layer, of_links, links))
        for name in ("bias", "recurrent_bias"):
            if name in held:
                self._add_held(layer, first, held[name])
        if wires is not None and wires.sources.size:
            of_wires = RESIDUAL if layer.kind in ("add", "subtract") else FIXED
            fixed = replace(wires, params=np.full(wires.sources.size, NONE))
            self._parts.append(_Part(layer, of_wires, fixed))

    def _add_held(self, layer: StoredLayer, first: int, held: Held) -> None:
        """Adds a layer's biases; parts of it with different roles are as many layers in one."""
        kind = SHIFT if layer.kind in NORMS else BIAS
        targets = first + np.arange(held.values.size)
        roles, part = np.unique(self._roles[targets], return_inverse=True)
        sources = np.array([self._node(layer, kind) for _ in roles])[part]
        edges = Edges(sources, targets, held.values, np.zeros_like(targets), held.params)
        self._parts.append(_Part(layer, kind, edges))

    def _node(self, layer: StoredLayer, kind: int) -> int:
        """The number of a new node, which is counted on among those of its layer and kind."""
        of_layer = layer.place.index
        index = sum((other, alike) == (of_layer, kind) for other, _, alike in self.further)
        self.further.append((of_layer, index, kind))
        return self._roles.size + len(self.further) - 1

    def edges(self, node: Ids) -> Columns:
        """All edges, in the order of the layers that they lead to, targets and sources.

        Parameters
        ----------
        node
            Of each neuron its node; -1 where it has none.
        """
        count = int(node.max(initial=NONE)) + 1
        none = np.full(len(self.further), NONE)
        node = np.concatenate([node, count + np.arange(len(self.further))])
        roles, heads = (np.concatenate([each, none]) for each in (self._roles, self._heads))
        found = [_columns(part, node, roles, heads) for part in self._parts]
        return Columns(
            *(
                np.concatenate([getattr(part, each.name) for part in found])
                for each in fields(Columns)
            )
        )


def _columns(part: _Part, node: Ids, roles: Ids, heads: Ids) -> Columns:
    edges = part.edges if part.kind not in (RESIDUAL, FIXED) else _apart(part.edges, node)
    source, target = node[edges.sources], node[edges.targets]
    role, head = roles[edges.targets], heads[edges.targets]
    # What leads out of an attention tells its heads apart by where it comes from.
    head = np.where(role == ROLES.index("o"), heads[edges.sources], head)
    ends = target * node.size + source
    if np.unique(ends).size == ends.size:
        order = np.argsort(ends)
        rank = np.zeros_like(ends)
    else:
        order = np.lexsort((edges.targets, edges.sources, edges.positions, head, role, ends))
        rank = _ranks(np.stack([ends, role, head])[:, order])
    placed = rank.any() or (part.kind == WEIGHT and part.layer.kind in CONVOLUTIONS)
    return Columns(
        source[order],
        target[order],
        edges.weights[order],
        np.full_like(ends, part.kind),
        np.full_like(ends, part.layer.place.index),
        rank if placed else np.full_like(ends, NONE),
        role[order],
        head[order],
        edges.params[order],
    )


def _apart(edges: Edges, node: Ids) -> Edges:
    """Those between different nodes: each operand of a layer links two of them once."""
    source, target = node[edges.sources], node[edges.targets]
    distinct = np.flatnonzero((source != target) & (source >= 0) & (target >= 0))
    ends = np.stack([target, source, edges.positions])[:, distinct]
    _, first = np.unique(ends, axis=1, return_index=True)
    kept = distinct[first]
    return Edges(
        edges.sources[kept],
        edges.targets[kept],
        edges.weights[kept],
        edges.positions[kept],
        edges.params[kept],
    )


def _ranks(keys: Ids) -> Ids:
    """How many equal columns stand before each, where equal ones are side by side.

    Example
    -------
    >>> _ranks(np.array([[4, 7, 7, 7], [0, 0, 0, 1]])).tolist()
    [0, 0, 1, 0]
    """
    begins = np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)]
    starts = np.flatnonzero(begins)
    ranks: Ids = np.arange(begins.size) - starts[np.cumsum(begins) - 1]
    return ranks


def of_neurons(layer: StoredLayer) -> Ids:
    """(neurons, 3) layer, index and kind of each of a layer's neurons, as nodes."""
    index = np.arange(layer.place.size)
    kind = POSITION if layer.kind == "position" else NEURON
    columns = [np.full_like(index, layer.place.index), index, np.full_like(index, kind)]
    return np.stack(columns, axis=1)


def roles_and_heads(database: Database, layers: list[Place]) -> tuple[Ids, Ids]:
    """Of each neuron its place in `ROLES` and its head; -1 where it has none."""
    first, size = layers[0].first, sum(layer.size for layer in layers)
    read = database.columns(NEURON_ROLES, seconds=SECONDS, first=first, size=size)
    neuron = read["neuron"].astype(np.int64) - first
    roles, heads = np.full(size, NONE), np.full(size, NONE)
    names, number = np.unique(read["role"].astype(str), return_inverse=True)
    known = np.array([ROLES.index(name) if name else NONE for name in names], dtype=np.int64)
    roles[neuron] = known[number]
    heads[neuron] = read["head"]
    return roles, heads
