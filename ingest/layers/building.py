"""The network while it is being built: what a layer family may do to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.layers.flow import Flow
from ingest.layers.neurons import NONE, Neurons, constant_along, pairs, varying
from ingest.layers.tensors import Tensors
from ingest.layers.values import Value
from ingest.network import DenseLinks, Layer, LinkBlock, Links, Network, SparseLinks
from ingest.operations import Operation, OperationGraph, Parameter
from store import schema, views
from store.errors import ShapeMismatch, UnsupportedOperation

SHARED, UNROLLED = "shared", "unrolled"

# What these layers give goes back into themselves as it is, so a function of it is no part of them.
FED_BACK = ("rnn", "gates", "lstm_cell", "lstm", "gru")

# A view of more steps than this becomes a layer of its own, since it stands in the graph as text.
LONGEST_VIEW = 60


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
        self._cells: dict[str, Value] = {}
        self._names = {operation.name for operation in graph.operations}
        self._flow = Flow(graph)
        self.tensors = Tensors(graph.parameters)

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
            # A constant has no neurons that could be copied.
            constant = value.params is not None
            value = (
                self.parameter_layer(operation, value)
                if constant
                else self.copy(operation.name, value)
            )
        self._values[operation.name] = value

    def pass_on(self, operation: Operation, value: Value) -> None:
        """Says that the operation gives what it takes, each value once, in whatever order."""
        self.give(operation, value)
        self._flow.pass_on(operation)

    def remember_cells(self, operation: Operation, value: Value) -> None:
        """Keeps the cell states that an LSTM gives beside its hidden ones."""
        self._cells[operation.name] = value

    def cells(self, lstm: str) -> Value | None:
        """The cell states of an LSTM; None if the operation is none."""
        return self._cells.get(lstm)

    def constant(self, parameter: Parameter, shape: tuple[int, ...]) -> Value:
        """A tensor as a value."""
        positions = self.tensors.position(parameter) + np.arange(parameter.size).reshape(shape)
        view: views.View = ("parameter", self.tensors.index(parameter))
        if shape != parameter.shape:
            view = ("reshape", view, shape)
        return Value(view, np.full(shape, NONE), positions)

    def keep(self, value: Value) -> None:
        """Keeps the tensors of a constant whole, since an operation takes their values."""
        self.tensors.keep(views.leaves(value.view, "parameter"))

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
        """Neurons that give a constant: by their biases, which are finite floats, or as it is."""
        leaves = list(views.leaves(value.view, "parameter"))
        there = value.params is not None and bool((value.params >= 0).all())
        if value.params is None or not there or not all(map(self.tensors.float_at, leaves)):
            self.keep(value)
            name = self.fresh(f"{operation.name}.constant")
            return self.place(name, "constant", value.shape, takes=[value])
        name = self.fresh(self.graph.parameters[leaves[0]].name)
        placed = self.place(name, "parameter", value.shape)
        scalars = self.tensors.scalars(value.params.reshape(-1))
        self.change(self.layer_of(placed), scalars={"bias": scalars})
        return placed

    def coordinates(self, value: Value) -> tuple[str, ...]:
        """What a value's axes are called where it comes from, if it has as many axes as that."""
        # Of several layers, the last.
        layer = self._layers[max(views.leaves(value.view))]
        return layer.coordinates if len(layer.shape) == len(value.shape) else ()

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
        scalars = self.tensors.scalars(np.ascontiguousarray(whole[one]).reshape(-1))
        self.change(index, scalars={**layer.scalars, name: scalars})

    # -- links -----------------------------------------------------------------------------------

    def link_all(self, source: int, target: int, weights: Parameter, target_first: bool) -> None:
        """Links every neuron of one layer to every neuron of another."""
        self.tensors.hold(weights)
        first = self.tensors.position(weights)
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

    # -- activations -----------------------------------------------------------------------------

    def activate(self, operation: Operation, text: str, *, elementwise: bool) -> bool:
        """Makes the operation a property of the layer that it follows, where that says the same.

        It does where the layer's values are all that it takes and nothing else takes them.
        """
        value = self.value(operation)
        view = value.view
        while elementwise and view[0] in ("reshape", "permute"):
            view = view[1]
        if view[0] != "layer" or not self._flow.alone(operation):
            return False
        layer = self._layers[view[1]]
        if layer.kind in FED_BACK:
            return False
        if not self._flow.repeats(operation):
            before = [] if layer.activation == "identity" else [layer.activation]
            self.change(view[1], activation=", ".join([*before, text]))
        self.pass_on(operation, value)
        return True

    # -- the end ---------------------------------------------------------------------------------

    def network(self) -> Network:
        """The network, once all operations are in it.

        Raises
        ------
        UnsupportedOperation
            If there is no learned link, or a tensor that no operation uses is too long to keep.
        """
        outputs = [self._values[name] for name in self._flow.outputs]
        for value in outputs:
            self.keep(value)
        network = Network(
            layers=tuple(self._layers),
            links=tuple(self._links),
            parameters=self.graph.parameters,
            outputs=tuple(value.view for value in outputs),
            view=self._view,
            source=self.graph.source,
        )
        if not network.link_count:
            raise UnsupportedOperation(
                "The model holds no layer with learned links, so there is nothing to ingest."
            )
        return replace(network, kept=self.tensors.kept())


Family: TypeAlias = Callable[[Operation, Building], None]
Families: TypeAlias = Mapping[str, Family]
