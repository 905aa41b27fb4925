"""Which neurons of a shared view are one node in the construction of Graph Metanetworks.

A layer of the graph that has no matrix of its own is merged into what it takes. Numbers of neurons
are counted from the network's first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from queries.stored import Stored, StoredLayer
from queries.weights import Edges
from store import views

Ids = NDArray[np.int64]

NORMS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm")
CONVOLUTIONS = ("conv", "conv_transposed")
MATRICES = ("linear", *CONVOLUTIONS)
# Their neurons are nodes; all others are merged where they can be.
STANDING = (
    *MATRICES, "input", "embedding", "one_hot", "position", "parameter", "constant", "opaque",
    "rnn", "gates",
)  # fmt: skip
# How many layers before a recurrent layer's states its gates stand.
_BEHIND_GATES = {"gates": 0, "gru": 1, "lstm_cell": 1, "lstm": 2}
NONE = -1


class Nodes:
    """Nodes so far: each neuron's, as the first neuron that it has in it.

    Parameters
    ----------
    whole
        The network; its layers are then merged in their order.
    """

    def __init__(self, whole: Stored) -> None:
        self._layers = whole.layers
        self._origin = whole.layers[0].place.first
        self._firsts = np.array([self.first(layer) for layer in whole.layers])
        count = sum(layer.place.size for layer in whole.layers)
        self._parent = np.arange(count)
        # Matrices on the longest way from an input; of a node, not of each of its neurons.
        self._depth = np.zeros(count, dtype=np.int64)
        self._absent = np.zeros(count, dtype=np.bool_)
        # Of each layer with a matrix, the nodes that it is linked from.
        self._fed: dict[int, Ids] = {}
        self._takers: dict[int, list[str]] = {}
        for kind, taken in (
            *((layer.kind, layer.takes) for layer in whole.layers),
            ("output", whole.outputs),
        ):
            for leaf in {leaf for view in taken for leaf in views.leaves(view)}:
                self._takers.setdefault(leaf, []).append(kind)
        self._mixed = {
            layer.takes[0][1]: layer for layer in whole.layers if layer.kind == "attention"
        }

    def first(self, layer: StoredLayer) -> int:
        """Number of a layer's first neuron."""
        return layer.place.first - self._origin

    def numbered(self, edges: Edges) -> Edges:
        """Relationships with numbers of neurons in the place of their ids."""
        return replace(
            edges, sources=edges.sources - self._origin, targets=edges.targets - self._origin
        )

    def numbers(self) -> tuple[Ids, Ids]:
        """The nodes, once all layers are merged.

        Returns
        -------
        node
            (neurons,) place of each neuron's node among the nodes; -1 where it has none.
        representative
            (nodes,) the first neuron of each, ascending.
        """
        first = self.roots(np.arange(self._parent.size))
        there = (first == np.arange(first.size)) & ~self._absent
        place = np.where(there, np.cumsum(there) - 1, NONE)
        return place[first], np.flatnonzero(there)

    def roots(self, neurons: Ids) -> Ids:
        """The nodes of neurons."""
        found = self._parent[neurons]
        while True:
            above = self._parent[found]
            if (above == found).all():
                return found
            found = above

    def merge(self, layer: StoredLayer, links: Edges, wires: Edges) -> bool:
        """Settles what nodes a layer's neurons are.

        Parameters
        ----------
        links, wires
            The learned and fixed links into the layer.

        Returns
        -------
        bool
            Whether wires that lead from one node to another are edges.
        """
        own = self.first(layer) + np.arange(layer.place.size)
        match layer.kind:
            case "one_hot":
                return False
            case "attention_scores" | "attention":
                return self._attention(layer, own, wires)
            case "lstm_cell" | "lstm" | "gru" | "gates":
                self._unit(layer, wires)
            case "input":
                # Integers are told apart by the one-hot neurons that look them up.
                takers = set(self._takers.get(layer.place.index, ()))
                integers = layer.attributes.get("integers", False)
                self._absent[own] = integers and takers == {"one_hot"}
            case "copy":
                self._into_one(layer, own, self._without_parameters(wires))
            case kind if kind in NORMS or kind in ("scale", "prelu"):
                # Each neuron has one link from what it weighs, or a wire where nothing is learned.
                self._into_one(layer, own, links if links.sources.size else wires)
            case kind if kind not in STANDING:
                self._into_one(layer, own, wires)
        if layer.kind in STANDING:
            self._fed[layer.place.index] = np.unique(self.roots(links.sources))
            self._deepen(links, before=int(own[0]))
        return True

    # -- sets of neurons -------------------------------------------------------------------------

    def _join(self, some: Ids, others: Ids) -> None:
        """Makes one node of each neuron and the one in its place among the others."""
        while True:
            one, other = self.roots(some), self.roots(others)
            apart = one != other
            if not apart.any():
                return
            low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
            np.maximum.at(self._depth, low, self._depth[high])
            np.minimum.at(self._parent, high, low)

    def _deepen(self, edges: Edges, *, before: int) -> None:
        """Counts edges from layers before this one; those of recurrent layers lead back."""
        forth = edges.sources < before
        sources, targets = self.roots(edges.sources[forth]), self.roots(edges.targets[forth])
        np.maximum.at(self._depth, targets, self._depth[sources] + 1)

    def _layers_of(self, neurons: Ids) -> Ids:
        return np.searchsorted(self._firsts, neurons, side="right") - 1

    # -- elementwise layers ----------------------------------------------------------------------

    def _into_one(self, layer: StoredLayer, own: Ids, wires: Edges) -> None:
        """Merges a layer into the deepest of its operands, where that has its value for each.

        It must not mix several nodes of one operand (a mean of channels does), and what else it
        takes must follow from the node that it becomes (not so where that is spread over others).
        """
        operands, number = np.unique(wires.positions, return_inverse=True)
        inside, nodes = wires.targets - own[0], self.roots(wires.sources)
        table = np.full((operands.size, own.size), NONE)
        table[number, inside] = nodes
        if not operands.size or (table[number, inside] != nodes).any():
            self._deepen(wires, before=int(own[0]))
            return
        if layer.kind == "add":
            self._alongside(table, [wires.sources[number == each] for each in range(len(table))])
            table = np.where(table < 0, NONE, self.roots(table))
        # Of equally deep ones the later: no two sums can then lead into each other.
        deepest = max(range(len(table)), key=lambda each: self._rank(table[each]))
        there = table[deepest] >= 0
        if np.unique(table[:, there], axis=1).shape[1] != np.unique(table[deepest][there]).size:
            self._deepen(wires, before=int(own[0]))
            return
        self._join(own[there], table[deepest][there])

    def _rank(self, nodes: Ids) -> tuple[int, int]:
        there = nodes[nodes >= 0]
        return int(self._depth[there].max()), int(there.max())

    def _alongside(self, table: Ids, sources: list[Ids]) -> None:
        """Makes one set of nodes of matrices that are added up and fed by the same nodes."""
        known: dict[bytes, tuple[int, int]] = {}
        for operand, neurons in enumerate(sources):
            layer = self._matrix(neurons)
            if layer is None:
                continue
            fed = np.unique(self.roots(self._fed[layer])).tobytes()
            first, other = known.setdefault(fed, (operand, layer))
            if other != layer:
                both = (table[[first, operand]] >= 0).all(axis=0)
                self._join(table[first][both], table[operand][both])

    def _matrix(self, neurons: Ids) -> int | None:
        """The layer whose sums these are, each once and not yet part of another node."""
        layers = np.unique(self._layers_of(neurons))
        layer = self._layers[layers[0]]
        alone = np.unique(neurons).size == neurons.size and (self.roots(neurons) == neurons).all()
        if layers.size > 1 or layer.kind not in MATRICES or layer.activation != "identity":
            return None
        return int(layers[0]) if alone else None

    def _without_parameters(self, wires: Edges) -> Edges:
        """A copy's wires but those from learned values, which become one node with their copies.

        A class token is a feature at one more position; its values lead nowhere else.
        """
        kinds = np.array([layer.kind for layer in self._layers])[self._layers_of(wires.sources)]
        learned = kinds == "parameter"
        sources, times = np.unique(wires.sources[learned], return_counts=True)
        if (times > 1).any() or (self.roots(sources) != sources).any():
            return wires
        self._join(wires.sources[learned], wires.targets[learned])
        return replace(
            wires,
            sources=wires.sources[~learned],
            targets=wires.targets[~learned],
            positions=wires.positions[~learned],
        )

    # -- layers that make a set of nodes ---------------------------------------------------------

    def _unit(self, layer: StoredLayer, wires: Edges) -> None:
        """Makes one node of a recurrent unit's gates, cell and state; not of its first state."""
        gates = self._layers[layer.place.index - _BEHIND_GATES[layer.kind]]
        inside = wires.sources >= self.first(gates)
        self._join(wires.sources[inside], wires.targets[inside])

    def _attention(self, layer: StoredLayer, own: Ids, wires: Edges) -> bool:
        """Makes one set of nodes of queries, keys, values and what attention gives.

        Its scores are no nodes, unless something else takes them too.
        """
        scores = layer.takes[0][1] if layer.kind == "attention" else layer.place.index
        parts = self._heads(scores)
        if parts is None:
            self._into_one(layer, own, wires)
            return True
        if layer.kind == "attention":
            for part in parts[1:]:
                self._join(parts[0].reshape(-1), part.reshape(-1))
            return False
        if self._takers[scores] == ["attention"]:
            self._absent[own] = True
            return False
        self._deepen(wires, before=int(own[0]))
        return True

    def _heads(self, scores: int) -> list[Ids] | None:
        """Queries, keys, values and outputs of an attention, each as (heads, features).

        None where their features are not equally many, or not the same at all positions.
        """
        layer, mixed = self._layers[scores], self._mixed.get(scores)
        if mixed is None:
            return None
        turned = ("permute", layer.takes[1], (-3, -1, -2))
        taken = (layer.takes[0], turned, mixed.takes[1], ("layer", mixed.place.index))
        whole = [views.evaluate(view, self._leaf(), fill=NONE) for view in taken]
        parts = [part[:, 0] for part in whole]
        alike = all(part.shape == parts[0].shape for part in parts)
        shared = all((part == part[:, :1]).all() and (part >= 0).all() for part in whole)
        return parts if alike and shared else None

    def _leaf(self) -> Callable[[str, int], Ids]:
        return lambda _, index: self._layers[index].neurons() + self._firsts[index]
