"""A forward pass from what is stored alone: the proof that the graph means the network.

Where each value is a neuron, it is computed over the links themselves; where one neuron stands at
many positions, the links are put together to the matrix or kernel that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from queries import activations, rebuilding, scope, summing
from queries.evaluation import evaluate, lstm_states
from queries.evaluation.shapes import aligned
from queries.rebuilding import Ids
from queries.stored import Stored, StoredLayer, stored
from queries.weights import Edges, LayerWeights, kept_tensor, layer_weights, layer_wires
from store import views
from store.database import Database
from store.errors import InvalidArgument

Array = NDArray[np.float64]
Inputs = NDArray[np.float64] | Mapping[str, NDArray[np.float64]]


def forward(
    database: Database,
    network: str,
    inputs: Inputs,
    *,
    activation: str | None = None,
) -> Array:
    """Computes a network's output from its stored links, biases and activations.

    Parameters
    ----------
    inputs
        One entry per sample along the first axis; each sample has as many values as the input
        layer, in any shape. For a network of several inputs: an array for each input layer's name.
    activation
        Stands for hidden layers' ``unknown`` activation, in a network that was read from a file
        of weights alone; an output layer's is then taken for the identity.

    Returns
    -------
    numpy.ndarray
        float64, samples x shape of the output; where there are several outputs, each flat and
        side by side in their order.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the inputs do not fit, are not finite, an activation is not known, or a layer is opaque.

    References
    ----------
    Layers in topological order, each y = phi(W^T x + b); arXiv 2209.05488, section 2.

    Example
    -------
    >>> forward(database, "digits-060", images / 16).argmax(axis=1)     # doctest: +SKIP
    array([3, 7, 1])
    """
    found = outputs(database, network, inputs, activation=activation)
    if len(found) == 1:
        return found[0]
    return np.concatenate([values.reshape(len(values), -1) for values in found], axis=1)


def outputs(
    database: Database,
    network: str,
    inputs: Inputs,
    *,
    activation: str | None = None,
) -> list[Array]:
    """As :func:`forward`, each output in its own shape."""
    whole = stored(database, network)
    given, samples = _given(whole, inputs)
    run = _Pass(database, network, whole, samples, activation)
    for layer in whole.layers:
        run.compute(layer, given.get(layer.place.name))
    scope.unchanged(database, network, [layer.place for layer in whole.layers])
    return [np.array(run.value(view)) for view in whole.outputs]


_KERNELS = ("conv", "conv_transposed", "average_pool")


class _Pass:
    """Values of the layers so far."""

    def __init__(
        self,
        database: Database,
        network: str,
        whole: Stored,
        samples: int,
        activation: str | None,
    ) -> None:
        self._database = database
        self._network = network
        self._whole = whole
        self._samples = samples
        self._activation = activation
        self._values: dict[int, Array] = {}
        self._constants: dict[int, Array] = {}
        # Cell states of the LSTM whose gates were computed last.
        self._states: dict[int, tuple[Array, Array]] = {}
        self._ends = {leaf for view in whole.outputs for leaf in views.leaves(view)}

    def value(self, view: views.View) -> Array:
        """What a view of layers holds."""
        return views.evaluate(view, self._leaf, samples=self._samples)

    def _leaf(self, kind: str, index: int) -> Array:
        if kind == "layer":
            return self._values[index]
        if index not in self._constants:
            self._constants[index] = kept_tensor(self._database, self._network, index)
        return self._constants[index].astype(np.float64)

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
        final = index in self._ends
        self._values[index] = activations.apply(
            _known(layer.activation, self._activation, final), total
        )

    def _computed(self, layer: StoredLayer) -> Array:
        read = layer_weights(self._database, layer.place)
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
            return summing.maxima(layer, layer_wires(self._database, layer.place), of_layers)
        total = summing.sums(layer, read.links, of_layers)
        if layer.wired:
            wires = layer_wires(self._database, layer.place)
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
        """All time steps of a recurrent layer: keeps its states for the layers that give them."""
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
            "weight_ih": rebuilding.matrix(layer, _part(links, ~returning), sequence, targets),
            "weight_hh": rebuilding.matrix(layer, _part(links, returning), back, targets),
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
        # The gates' own values serve nobody: the states were computed with them.
        return self._states[index][0] if kind == "rnn" else np.zeros((self._samples, *layer.shape))

    def _before(self, layer: StoredLayer, states: Ids) -> Ids:
        """In an unrolled view, of each time step the states of the one before it."""
        start = np.full_like(states[:1], -1)
        if len(layer.takes) > 1:
            start = self._ids(layer.takes[1]).reshape(1, -1)
        backward = layer.attributes.get("reverse", False)
        return np.concatenate([states[1:], start] if backward else [start, states[:-1]])


def _part(links: Edges, among: NDArray[np.bool_]) -> Edges:
    return replace(
        links,
        sources=links.sources[among],
        targets=links.targets[among],
        weights=links.weights[among],
        positions=links.positions[among],
        params=links.params[among],
    )


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


def _given(whole: Stored, inputs: Inputs) -> tuple[dict[str, Array], int]:
    """The input layers' values, and how many samples they are."""
    entrances = [layer for layer in whole.layers if layer.kind == "input"]
    if not isinstance(inputs, Mapping):
        if len(entrances) > 1:
            names = ", ".join(layer.place.name for layer in entrances)
            raise InvalidArgument(
                f"The network has several inputs: give an array for each: {names}."
            )
        inputs = {entrances[0].place.name: inputs}
    known = {layer.place.name for layer in entrances}
    if inputs.keys() != known:
        raise InvalidArgument(
            f"The network's inputs are {', '.join(sorted(known))}, not "
            f"{', '.join(sorted(inputs)) or 'none'}."
        )
    found = {
        layer.place.name: _samples(inputs[layer.place.name], layer.shape) for layer in entrances
    }
    counts = {len(values) for values in found.values()}
    if len(counts) > 1:
        raise InvalidArgument("The inputs have different numbers of samples.")
    return found, counts.pop()


def _samples(inputs: Array, shape: tuple[int, ...]) -> Array:
    if inputs.ndim == 0 or not np.issubdtype(inputs.dtype, np.number):
        raise InvalidArgument("The inputs are not an array of numbers, one row per sample.")
    if not len(inputs):
        raise InvalidArgument("There is no sample among the inputs.")
    values = inputs.reshape(len(inputs), -1).astype(np.float64)
    if values.shape[1] != prod(shape):
        raise InvalidArgument(
            f"A sample has {values.shape[1]} values, but the network takes {prod(shape)}."
        )
    if not np.isfinite(values).all():
        raise InvalidArgument("The inputs hold NaN or infinite values.")
    return values.reshape(len(inputs), *shape)
