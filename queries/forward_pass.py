"""One forward pass over what is stored, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from queries import activations, rebuilding, summing
from queries.evaluation import evaluate, gate_sums, lstm_states
from queries.evaluation.shapes import aligned
from queries.rebuilding import Ids
from queries.scope import Place
from queries.stored import Stored, StoredLayer
from queries.weights import Edges, LayerWeights, kept_tensor, layer_weights, layer_wires
from store import views
from store.database import Database
from store.errors import InvalidArgument

T = TypeVar("T")
Array = NDArray[np.float64]
Visit = Callable[[StoredLayer, Array, Array | None], None]
"""Is called with a layer, what its neurons receive, and what their activation makes of it."""


class Reader:
    """Reads weights, once only where they are wanted again."""

    def __init__(self, database: Database, network: str, *, again: bool) -> None:
        self._database = database
        self._network = network
        self._again = again
        self._links: dict[int, LayerWeights] = {}
        self._wires: dict[int, Edges] = {}
        self._constants: dict[int, Array] = {}

    def links(self, layer: StoredLayer) -> LayerWeights:
        """Learned links into a layer, and what its neurons hold."""
        return self._once(self._links, layer.place, layer_weights)

    def wires(self, layer: StoredLayer) -> Edges:
        """Fixed links into a layer."""
        return self._once(self._wires, layer.place, layer_wires)

    def _once(self, known: dict[int, T], layer: Place, read: Callable[[Database, Place], T]) -> T:
        found = known.get(layer.index)
        if found is None:
            found = read(self._database, layer)
            if self._again:
                known[layer.index] = found
        return found

    def constant(self, index: int) -> Array:
        """A tensor that is kept whole."""
        if index not in self._constants:
            kept = kept_tensor(self._database, self._network, index)
            self._constants[index] = kept.astype(np.float64)
        return self._constants[index]


_KERNELS = ("conv", "conv_transposed", "average_pool")


class Pass:
    """Values of the layers so far."""

    def __init__(
        self,
        read: Reader,
        whole: Stored,
        samples: int,
        activation: str | None,
        visit: Visit | None,
    ) -> None:
        self._read = read
        self._visit = visit
        self._whole = whole
        self._samples = samples
        self._activation = activation
        self._values: dict[int, Array] = {}
        # Hidden and cell states of recurrent layers, by the index of their gates.
        self._states: dict[int, tuple[Array, Array]] = {}
        self._ends = {leaf for view in whole.outputs for leaf in views.leaves(view)}

    def value(self, view: views.View) -> Array:
        """What a view of layers holds."""
        return views.evaluate(view, self._leaf, samples=self._samples)

    def _leaf(self, kind: str, index: int) -> Array:
        if kind == "layer":
            return self._values[index]
        return self._read.constant(index)

    def _ids(self, view: views.View) -> Ids:
        """Ids of the neurons that a view of layers holds."""

        def leaf(kind: str, index: int) -> Ids:
            layer = self._whole.layers[index]
            if kind == "parameter":
                raise InvalidArgument(f"Layer {layer.place.name!r} takes a constant.")
            return layer.neurons(layer.place.first)

        return views.evaluate(view, leaf, fill=-1)

    def compute(self, layer: StoredLayer, given: Array | None) -> None:
        """Computes one layer."""
        index = layer.place.index
        if given is not None:
            total = given
        elif layer.kind in ("one_hot", "constant"):
            # What looks the integers up does so by their values; a constant is what it takes.
            total = self.value(layer.takes[0])
        elif layer.kind in ("lstm", "lstm_cell"):
            gates = index - (1 if layer.kind == "lstm_cell" else 2)
            total = self._states[gates][layer.kind == "lstm_cell"]
        elif layer.kind == "gru":
            total = self._states[index - 1][0]
        elif layer.kind == "opaque":
            raise InvalidArgument(
                f"Layer {layer.place.name!r} ({layer.attributes['operator']}) is opaque, so "
                "nothing after it can be computed."
            )
        else:
            total = self._computed(layer)
        active: Array | None
        if layer.kind in ("gates", "rnn"):
            active = self._states[index][0] if layer.kind == "rnn" else None
            self._values[index] = total if active is None else active
        else:
            final = index in self._ends
            active = activations.apply(_known(layer.activation, self._activation, final), total)
            self._values[index] = active
        if self._visit is not None:
            self._visit(layer, total, active)

    def _computed(self, layer: StoredLayer) -> Array:
        read = self._read.links(layer)
        if layer.kind in ("gates", "rnn"):
            return self._recurrent(layer, read)
        if self._is_graph(layer):
            total = self._over_links(layer, read)
        else:
            total = self._by_kind(layer, read)
        if read.biases is not None:
            total = total + read.biases.values[layer.neurons()]
        return total

    def _is_graph(self, layer: StoredLayer) -> bool:
        """Whether a layer's values follow from its links alone."""
        # Of a shared kernel all links are there, those too that see only padding.
        if layer.kind in _KERNELS and not self._whole.unrolled:
            return False
        before = [self._whole.layers[leaf] for view in layer.takes for leaf in views.leaves(view)]
        constants = any(list(views.leaves(view, "parameter")) for view in layer.takes)
        everywhere = layer.exact and all(each.exact for each in before) and not constants
        indices = any(each.kind == "one_hot" for each in before)
        return everywhere and not indices and (summing.adds_up(layer) or layer.kind == "max_pool")

    def _over_links(self, layer: StoredLayer, read: LayerWeights) -> Array:
        leaves = {leaf for view in layer.takes for leaf in views.leaves(view)}
        sources = {leaf: self._values[leaf] for leaf in sorted(leaves)}
        of_layers = [(self._whole.layers[leaf], values) for leaf, values in sources.items()]
        if not of_layers:
            return np.zeros((self._samples, *layer.shape))
        if layer.kind == "max_pool":
            return summing.maxima(layer, self._read.wires(layer), of_layers)
        total = summing.sums(layer, read.links, of_layers)
        if layer.wired:
            wires = self._read.wires(layer)
            total = total + summing.sums(layer, wires, of_layers)
        return total

    def _by_kind(self, layer: StoredLayer, read: LayerWeights) -> Array:
        inputs = [self.value(view) for view in layer.takes]
        links, neurons = read.links, layer.neurons()
        match layer.kind:
            case "parameter":
                return np.zeros((self._samples, *layer.shape))
            case "position":
                return np.ones((self._samples, *layer.shape))
            case "copy" | "activation":
                return inputs[0]
            case "linear" | "embedding":
                taken = self._ids(layer.takes[0])
                rows = taken.reshape(-1, taken.shape[-1])
                weight = rebuilding.matrix(layer, links, rows, layer.shape[-1])
                if layer.kind == "embedding":
                    weight = weight.T
                return evaluate(layer.kind, {}, inputs, {"weight": weight})
            case "conv" | "conv_transposed":
                taken = self._ids(layer.takes[0])
                weight = rebuilding.kernel(layer, links, taken.reshape(len(taken), -1)[:, 0])
                return evaluate(layer.kind, layer.attributes, inputs, {"weight": weight})
            case "shift" if len(inputs) == 1:
                return inputs[0]
            case "shift":
                position = self._whole.layers[layer.takes[1][1]]
                return inputs[0] + rebuilding.table(layer, links, position)
            case "scale":
                return inputs[0] * rebuilding.per_neuron(layer, links)[neurons]
            case "prelu":
                slopes = rebuilding.per_neuron(layer, links)[neurons]
                return np.where(inputs[0] >= 0, inputs[0], slopes * inputs[0])
            case "batch_norm":
                mean = read.held["mean"].values[neurons]
                variance = read.held["variance"].values[neurons]
                even = (inputs[0] - mean) / np.sqrt(variance + layer.attributes["epsilon"])
                return self._weighted(layer, links, even)
            case "layer_norm" | "rms_norm" | "group_norm" | "instance_norm":
                even = evaluate(layer.kind, layer.attributes, inputs, {})
                return self._weighted(layer, links, even)
            case "attention_scores":
                return _scores(layer, inputs)
            case "attention":
                return evaluate("matmul", {}, inputs, {})
        return evaluate(layer.kind, layer.attributes, inputs, {})

    def _weighted(self, layer: StoredLayer, links: Edges, values: Array) -> Array:
        if not links.weights.size:
            return values
        return values * rebuilding.per_neuron(layer, links)[layer.neurons()]

    def _recurrent(self, layer: StoredLayer, read: LayerWeights) -> Array:
        """What the gates receive at all times; keeps the states for the layers that give them."""
        kind = layer.attributes["recurrent"]
        index = layer.place.index
        out = self._whole.layers[index + {"rnn": 0, "gru": 1, "lstm": 2}[kind]]
        targets = layer.shape[-1]
        initial = list(layer.takes[1:])
        if kind == "lstm":
            initial += self._whole.layers[index + 1].takes[1:]
        sequence = self._ids(layer.takes[0])
        back = out.neurons(out.place.first)
        if self._whole.unrolled:
            back = self._before(layer, back)
        links = read.links
        returning = np.isin(links.sources, back)
        tensors = {
            "weight_ih": rebuilding.matrix(layer, links.among(~returning), sequence, targets),
            "weight_hh": rebuilding.matrix(layer, links.among(returning), back, targets),
        }
        for name, role in (("bias", "bias_ih"), ("recurrent_bias", "bias_hh")):
            if name in read.held:
                tensors[role] = read.held[name].values[:targets]
        inputs = [self.value(layer.takes[0]), *(self.value(view) for view in initial)]
        attributes = {"reverse": False, **layer.attributes}
        if kind == "lstm":
            self._states[index] = lstm_states(attributes, inputs, tensors)
        else:
            hidden = evaluate(kind, attributes, inputs, tensors)
            self._states[index] = (hidden, hidden)
        sums = gate_sums(attributes, inputs, tensors, self._states[index][0])
        return np.broadcast_to(sums, (self._samples, *layer.shape))

    def _before(self, layer: StoredLayer, states: Ids) -> Ids:
        """In an unrolled view, of each time step the states of the one before it."""
        start = np.full_like(states[:1], -1)
        if len(layer.takes) > 1:
            start = self._ids(layer.takes[1]).reshape(1, -1)
        backward = layer.attributes.get("reverse", False)
        return np.concatenate([states[1:], start] if backward else [start, states[:-1]])


def _scores(layer: StoredLayer, inputs: list[Array]) -> Array:
    """Products of queries and (turned) keys, with what must not be seen at minus infinity."""
    scores = inputs[0] @ inputs[1] * layer.attributes["scale"]
    if layer.attributes["causal"]:
        ahead = np.triu(np.ones(layer.shape[-2:], dtype=bool), k=1)
        scores = np.where(ahead, -np.inf, scores)
    if len(inputs) > 2:
        scores, mask = aligned([scores, inputs[2]])
        scores = scores + mask
    return np.asarray(scores)


def _known(function: str, given: str | None, final: bool) -> str:
    if function != activations.UNKNOWN:
        return function
    if given is None:
        raise InvalidArgument(
            "The file of this network held weights and no activations: say what stands between "
            "its layers with --activation (activation=...)."
        )
    return "identity" if final else given
