"""The network while it is being built: what a layer family may do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.layers.neurons import NONE, Neurons, constant_along, pairs, varying
from ingest.network import DenseLinks, Layer, LinkBlock, Links, Network, Scalars, SparseLinks
from ingest.operations import Operation, OperationGraph, Parameter
from store import schema, views
from store.errors import ShapeMismatch, UnsupportedOperation

SHARED, UNROLLED = "shared", "unrolled"

# What these layers give goes back into themselves as it is, so a function of it is no part of them.
FED_BACK = ("rnn", "gates", "lstm_cell", "lstm", "gru")

# A tensor that no link or neuron holds is kept as one property; a longer one would be a burden.
MOST_KEPT = 2_000_000
# A view of more steps than this becomes a layer of its own, since it stands in the graph as text.
LONGEST_VIEW = 60


@dataclass(frozen=True)
class Value:
    """What an operation gives.

    Parameters
    ----------
    view
        How it lies in the values of layers.
    neurons
        In its shape: the neuron that each entry belongs to.
    params
        Of a constant: where each entry lies in the flat parameter vector (-1: padding).
    """

    view: views.View
    neurons: Neurons
    params: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        return self.neurons.shape


class Building:
    """Layers and links so far, and where in them each operation's output lies.

    Parameters
    ----------
    graph
        The operations that are being turned into a network.
    view
        ``shared``: a neuron stands for a channel or feature at all positions; ``unrolled``: every
        value is a neuron.
    allow_opaque
        Keeps operations that are not understood.
    """

    def __init__(
        self, graph: OperationGraph, view: str = SHARED, *, allow_opaque: bool = False
    ) -> None:
        self.graph = graph
        self.allow_opaque = allow_opaque
        self.unrolled = view == UNROLLED
        self._view = view
        self._layers: list[Layer] = []
        self._firsts: list[int] = [0]
        self._links: list[Links] = []
        self._values: dict[str, Value] = {}
        # Operations that give what they take: where each takes it from.
        self._through: dict[str, str] = {}
        self._names = {operation.name for operation in graph.operations}
        self._consumers: dict[str, list[Operation]] = {}
        for operation in graph.operations:
            for name in operation.inputs:
                self._consumers.setdefault(name, []).append(operation)
        taken = {name for operation in graph.operations for name in operation.inputs}
        self._outputs = graph.outputs or tuple(
            operation.name for operation in graph.operations if operation.name not in taken
        )
        self._indices = {tensor.name: index for index, tensor in enumerate(graph.parameters)}
        offsets = accumulate((parameter.size for parameter in graph.parameters), initial=0)
        self._first = dict(zip(self._indices, offsets, strict=False))
        self._held: dict[str, NDArray[np.bool_] | None] = {}
        self._kept: set[str] = set()

    # -- values ----------------------------------------------------------------------------------

    def source(self, operation: Operation, number: int = 0) -> Value:
        """What the operation takes in, as values of neurons."""
        value = self._values[operation.inputs[number]]
        return value if value.params is None else self.parameter_layer(operation, value)

    def value(self, operation: Operation, number: int = 0) -> Value:
        """What the operation takes in, which may be a constant."""
        return self._values[operation.inputs[number]]

    def give(self, operation: Operation, value: Value) -> None:
        """Says what the operation gives; refuses a shape that is not what the reader promised."""
        if value.shape != operation.shape:
            raise ShapeMismatch(
                f"Layer {operation.name!r} gives the shape {value.shape}, but the model says "
                f"{operation.shape}."
            )
        if views.size(value.view) > LONGEST_VIEW:
            value = self.copy(operation.name, value)
        self._values[operation.name] = value

    def pass_on(self, operation: Operation, value: Value) -> None:
        """Says that the operation gives what it takes, each value once, in whatever order."""
        self.give(operation, value)
        self._through[operation.name] = operation.inputs[0]

    def remember(self, name: str, value: Value) -> None:
        """Keeps a value that an operation gives beside its own."""
        self._values[name] = value

    def remembered(self, name: str) -> Value:
        """A value that was kept."""
        return self._values[name]

    def constant(self, parameter: Parameter, shape: tuple[int, ...]) -> Value:
        """A tensor as a value."""
        positions = self.position(parameter) + np.arange(parameter.size).reshape(shape)
        view: views.View = ("parameter", self._indices[parameter.name])
        if shape != parameter.shape:
            view = ("reshape", view, shape)
        return Value(view, np.full(shape, NONE), positions)

    def keep(self, value: Value) -> None:
        """Keeps the tensors of a constant whole, since an operation takes their values."""
        for index in views.leaves(value.view, "parameter"):
            self._kept.add(self.graph.parameters[index].name)

    # -- layers ----------------------------------------------------------------------------------

    def place(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        axes: Sequence[int] | None = None,
        *,
        takes: Sequence[Value] = (),
        **properties: Any,
    ) -> Value:
        """Adds a layer; gives its values.

        Parameters
        ----------
        axes
            Along which the neurons stand in a shared view; in an unrolled one they always stand
            along all. None: along all in both.
        takes
            Its inputs, whose layers feed it.
        properties
            Further ones of :class:`ingest.network.Layer`.
        """
        schema.valid_name(name, "layer")
        everywhere = axes is None or self.unrolled or len(axes) == len(shape)
        sources = dict.fromkeys(leaf for value in takes for leaf in views.leaves(value.view))
        layer = Layer(
            name,
            kind,
            shape,
            None if everywhere or axes is None else tuple(axes),
            takes=tuple(value.view for value in takes),
            sources=tuple(sources),
            **properties,
        )
        if prod(layer.shape) == 0:
            raise ShapeMismatch(
                f"Layer {layer.name!r} has the shape {layer.shape}, which holds no neuron."
            )
        index = len(self._layers)
        self._layers.append(layer)
        self._firsts.append(self._firsts[-1] + layer.size)
        return Value(("layer", index), layer.neurons(self._firsts[index]))

    def layer_of(self, value: Value) -> int:
        """Index of the layer whose values these are, as :meth:`place` gave them."""
        return int(value.view[1])

    def size(self, value: Value) -> int:
        """Number of neurons of the layer whose values these are."""
        return self._layers[self.layer_of(value)].size

    def layer(self, index: int) -> Layer:
        """A layer so far."""
        return self._layers[index]

    def change(self, index: int, **properties: Any) -> None:
        """Changes properties of a layer that is there; never its shape or axes."""
        self._layers[index] = replace(self._layers[index], **properties)

    def holders(self, neurons: Neurons) -> dict[int, Neurons]:
        """The layers that neurons belong to, each with its own of them, counted from its first."""
        ends = np.asarray(self._firsts[1:])
        flat = np.unique(neurons[neurons >= 0])
        layers = np.searchsorted(ends, flat, side="right")
        return {
            int(index): flat[layers == index] - self._firsts[index] for index in np.unique(layers)
        }

    def before(self, index: int, inside: Neurons) -> Neurons:
        """The neurons that lead into some neurons of a layer, these counted from its first."""
        targets = inside + self._firsts[index]
        blocks = [
            block
            for links in self._links
            if isinstance(links, SparseLinks) and links.target == index
            for block in links.blocks()
        ]
        sources = [block.sources[np.isin(block.targets, targets)] for block in blocks]
        return np.concatenate(sources) if sources else np.empty(0, dtype=np.int64)

    def fresh(self, name: str) -> str:
        """A layer name that no operation has."""
        chosen, number = name, 1
        while chosen in self._names:
            number += 1
            chosen = f"{name}_{number}"
        self._names.add(chosen)
        return chosen

    def copy(self, name: str, value: Value, axes: Sequence[int] | None = None) -> Value:
        """A layer that only repeats a value, with neurons along the given axes."""
        chosen = varying(value.neurons) if axes is None else axes
        copied = self.place(self.fresh(f"{name}.copy"), "copy", value.shape, chosen, takes=[value])
        self.wire(copied, value.neurons, copied.neurons)
        return copied

    def standing_along(self, operation: Operation, value: Value, axes: tuple[int, ...]) -> Value:
        """The value with neurons along these axes alone (ascending from 0), all of them there.

        What the axes of a shared view do not allow becomes a copy; in an unrolled view only
        entries without a neuron do.
        """
        others = tuple(axis for axis in range(len(value.shape)) if axis not in axes)
        there = bool((value.neurons >= 0).all())
        if there and (self.unrolled or constant_along(value.neurons, others)):
            return value
        return self.copy(operation.name, value, axes)

    def parameter_layer(self, operation: Operation, value: Value) -> Value:
        """Neurons that give a constant: their biases, with nothing before them."""
        if value.params is None or (value.params < 0).any():
            self.keep(value)
            name = self.fresh(f"{operation.name}.constant")
            return self.place(name, "constant", value.shape, takes=[value])
        tensor = self.graph.parameters[next(views.leaves(value.view, "parameter"))]
        placed = self.place(self.fresh(f"{tensor.name}"), "parameter", value.shape)
        self.change(self.layer_of(placed), scalars={"bias": self.scalars(value.params.reshape(-1))})
        return placed

    def last_layer(self, value: Value) -> int:
        """The layer that a value comes from; of several, the last."""
        return max(views.leaves(value.view))

    def whole_layer(self, neurons: Neurons) -> int | None:
        """The layer whose neurons these are, all of them in their order; None if it is none."""
        flat = neurons.reshape(-1)
        if flat.size == 0 or flat[0] < 0:
            return None
        index = int(np.searchsorted(np.asarray(self._firsts[1:]), flat[0], side="right"))
        first, end = self._firsts[index], self._firsts[index + 1]
        if flat.size != end - first or not (flat == np.arange(first, end)).all():
            return None
        return index

    def add_scalars(self, value: Value, name: str, params: NDArray[np.int64]) -> None:
        """Gives each neuron of a layer a value of its own.

        Parameters
        ----------
        params
            Where they lie in the flat parameter vector, in a shape that broadcasts to the
            layer's.
        """
        index = self.layer_of(value)
        layer = self._layers[index]
        whole = np.broadcast_to(params, layer.shape)
        one = tuple(slice(None) if axis in layer.neuron_axes else 0 for axis in range(whole.ndim))
        scalars = self.scalars(np.ascontiguousarray(whole[one]).reshape(-1))
        self.change(index, scalars={**layer.scalars, name: scalars})

    # -- links -----------------------------------------------------------------------------------

    def link_all(self, source: int, target: int, weights: Parameter, target_first: bool) -> None:
        """Links every neuron of one layer to every neuron of another."""
        self.hold(weights)
        first = self.position(weights)
        self._links.append(DenseLinks(source, target, weights, first, target_first))

    def link(self, target: Value, count: int, blocks: Callable[[], Iterator[LinkBlock]]) -> None:
        """Learned links into a layer, made later."""
        if count:
            self._links.append(SparseLinks(self.layer_of(target), count, True, blocks))

    def wire(
        self,
        target: Value,
        sources: Neurons,
        targets: Neurons,
        weights: NDArray[np.float64] | float = 1.0,
        *,
        argument: int | None = None,
    ) -> None:
        """Fixed links into a layer: one for each distinct pair of neurons.

        Parameters
        ----------
        weights
            Of each entry; a pair's is their sum, in the mean over the target's positions.
        argument
            Which operand of a product or the like they bring: kept as the link's position.
        """
        count = pairs(sources, targets, weights)[0].size

        def blocks() -> Iterator[LinkBlock]:
            source, into, weight = pairs(sources, targets, weights)
            position = None if argument is None else np.full(source.size, argument)
            yield LinkBlock(source, into, weight, None, position)

        if count:
            self._links.append(SparseLinks(self.layer_of(target), count, False, blocks))

    # -- parameters ------------------------------------------------------------------------------

    def position(self, parameter: Parameter) -> int:
        """Where a tensor begins in the flat parameter vector."""
        return self._first[parameter.name]

    def hold(self, parameter: Parameter, entries: NDArray[np.int64] | None = None) -> None:
        """Notes that links or neurons hold a tensor, or some entries of it in flat order."""
        if entries is None:
            self._held[parameter.name] = None
            return
        held = self._held.setdefault(parameter.name, np.zeros(parameter.size, dtype=np.bool_))
        if held is not None:
            held[entries] = True

    def scalars(self, params: NDArray[np.int64]) -> Scalars:
        """Values of entries of the flat parameter vector, to be kept on neurons."""
        values = np.empty(params.size)
        for parameter in self._parameters_at(params):
            first = self.position(parameter)
            inside = (params >= first) & (params < first + parameter.size)
            entries = params[inside] - first
            values[inside] = parameter.array().reshape(-1)[entries]
            self.hold(parameter, entries)
        return Scalars(values, params)

    def _parameters_at(self, params: NDArray[np.int64]) -> list[Parameter]:
        ends = np.cumsum([parameter.size for parameter in self.graph.parameters])
        found = np.unique(np.searchsorted(ends, params, side="right"))
        return [self.graph.parameters[index] for index in found]

    # -- activations -----------------------------------------------------------------------------

    def activate(self, operation: Operation, text: str, *, elementwise: bool) -> bool:
        """Makes the operation a property of the layer that it follows, where that says the same.

        It does where nothing else takes the values before it. Where a model calls the same
        function on the same values twice, both calls are one.
        """
        value = self._values[operation.inputs[0]]
        layers = list(views.leaves(value.view))
        if len(layers) != 1 or not self._whole(value, layers[0], elementwise=elementwise):
            return False
        name = operation.inputs[0]
        if not self._alone(name, operation):
            return False
        layer = self._layers[layers[0]]
        if layer.kind in FED_BACK:
            return False
        if not self._repeated(name, operation):
            before = [] if layer.activation == "identity" else [layer.activation]
            self.change(layers[0], activation=", ".join([*before, text]))
        self.pass_on(operation, value)
        return True

    def _whole(self, value: Value, layer: int, *, elementwise: bool) -> bool:
        """Whether a value is all of a layer, so that a function of it is one of the layer."""
        view = value.view
        while elementwise and view[0] in ("reshape", "permute"):
            view = view[1]
        return view == ("layer", layer)

    def _alone(self, name: str, operation: Operation) -> bool:
        """Whether the values under a name, and those that they are a view of, go here only."""
        if any(
            (each.kind, dict(each.attributes)) != (operation.kind, dict(operation.attributes))
            for each in self._consumers[name]
        ):
            return False
        while name not in self._outputs:
            if name not in self._through:
                return True
            name = self._through[name]
            if len(self._consumers[name]) > 1:
                return False
        return False

    def _repeated(self, name: str, operation: Operation) -> bool:
        return any(
            each.name in self._values for each in self._consumers[name] if each is not operation
        )

    # -- the end ---------------------------------------------------------------------------------

    def network(self) -> Network:
        """The network, once all operations are in it.

        Raises
        ------
        UnsupportedOperation
            If there is no learned link, or a tensor that no operation uses is too long to keep.
        """
        kept = [
            index
            for index, parameter in enumerate(self.graph.parameters)
            if parameter.name in self._kept or not self._complete(parameter)
        ]
        network = Network(
            layers=tuple(self._layers),
            links=tuple(self._links),
            parameters=self.graph.parameters,
            kept=tuple(kept),
            outputs=tuple(self._values[name].view for name in self._outputs),
            view=self._view,
            source=self.graph.source,
        )
        if not network.link_count:
            raise UnsupportedOperation(
                "The model holds no layer with learned links, so there is nothing to ingest."
            )
        for index in kept:
            parameter = self.graph.parameters[index]
            if parameter.size > MOST_KEPT:
                raise UnsupportedOperation(
                    f"The tensor {parameter.name!r} ({parameter.size:,} values) takes no part in "
                    "the model's output or only with some of its values, and Weightome drops no "
                    "tensor: remove it from the model first."
                )
        return network

    def _complete(self, parameter: Parameter) -> bool:
        if parameter.name not in self._held:
            return False
        held = self._held[parameter.name]
        return held is None or bool(held.all())


Family: TypeAlias = Callable[[Operation, Building], None]
Families: TypeAlias = Mapping[str, Family]
