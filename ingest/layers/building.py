"""The network while it is being built: what a layer family may do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias

from ingest.network import DenseLinks, Layer, Network
from ingest.operations import Operation, OperationGraph, Parameter
from store import schema
from store.errors import ShapeMismatch, UnsupportedOperation


@dataclass(frozen=True)
class Value:
    """What an operation gives: a layer's neurons after so many of its activations, in a shape."""

    layer: int
    activations: int
    shape: tuple[int, ...]


class Building:
    """Layers and links so far, and where in them each operation's output lies.

    Parameters
    ----------
    graph
        The operations that are being turned into a network.
    """

    def __init__(self, graph: OperationGraph) -> None:
        self._graph = graph
        self._layers: list[Layer] = []
        self._links: list[DenseLinks] = []
        self._activations: list[list[str]] = []
        self._drawn: set[int] = set()
        self._values: dict[str, Value] = {}
        offsets = accumulate((parameter.size for parameter in graph.parameters), initial=0)
        self._first = {
            parameter.name: offset
            for parameter, offset in zip(graph.parameters, offsets, strict=False)
        }
        self._used: set[str] = set()

    def source(self, operation: Operation) -> Value:
        """What the operation takes in, to be linked from."""
        value = self._values[operation.inputs[0]]
        # An activation is a property of its layer, so all readers of a layer must read it after
        # the same activations.
        if value.activations != len(self._activations[value.layer]):
            raise self._read_twice(value.layer, operation)
        self._drawn.add(value.layer)
        return value

    def place(self, operation: Operation, layer: Layer) -> int:
        """Adds the layer that holds the operation's output; gives its index."""
        schema.valid_name(layer.name, "layer")
        if layer.size == 0:
            raise ShapeMismatch(
                f"Layer {layer.name!r} has the shape {layer.shape}, which holds no neuron."
            )
        index = len(self._layers)
        self._layers.append(layer)
        self._activations.append([])
        self._values[operation.name] = Value(index, 0, layer.shape)
        return index

    def activate(self, operation: Operation, text: str) -> None:
        """Makes the operation an activation of the layer that it follows.

        Where a model calls the same function on the same values twice, both calls are one.
        """
        value = self._values[operation.inputs[0]]
        applied = self._activations[value.layer]
        again = applied[value.activations :][:1] == [text]
        if not again:
            if value.layer in self._drawn or value.activations != len(applied):
                raise self._read_twice(value.layer, operation)
            applied.append(text)
        self._values[operation.name] = replace(value, activations=value.activations + 1)

    def same(self, operation: Operation) -> None:
        """Makes the operation's output the neurons that it takes, in its own shape."""
        value = self._values[operation.inputs[0]]
        self._values[operation.name] = replace(value, shape=operation.shape)

    def link(self, source: int, target: int, weights: Parameter, target_first: bool) -> None:
        """Links every neuron of one layer to every neuron of another."""
        first = self.position(weights)
        self._links.append(DenseLinks(source, target, weights, first, target_first))

    def name(self, layer: int) -> str:
        """A layer's name."""
        return self._layers[layer].name

    def position(self, parameter: Parameter) -> int:
        """Where a tensor that the network uses begins in the flat parameter vector."""
        self._used.add(parameter.name)
        return self._first[parameter.name]

    def network(self) -> Network:
        """The network, once all operations are in it.

        Raises
        ------
        UnsupportedOperation
            If there is no link, or a tensor that no operation uses.
        """
        if not self._links:
            raise UnsupportedOperation(
                "The model holds no linear layer, so there is nothing to ingest."
            )
        for parameter in self._graph.parameters:
            if parameter.name not in self._used:
                raise UnsupportedOperation(
                    f"The tensor {parameter.name!r} takes no part in the model's output, and "
                    "Weightome drops no tensor: remove it from the model first."
                )
        return Network(
            layers=tuple(
                replace(layer, activation=", ".join(applied)) if applied else layer
                for layer, applied in zip(self._layers, self._activations, strict=True)
            ),
            links=tuple(self._links),
            parameters=self._graph.parameters,
            source=self._graph.source,
        )

    def _read_twice(self, layer: int, operation: Operation) -> UnsupportedOperation:
        return UnsupportedOperation(
            f"The output of layer {self.name(layer)!r} is used both before and after an "
            f"activation (at {operation.name!r}), which Weightome cannot ingest."
        )


Family: TypeAlias = Callable[[Operation, Building], None]
Families: TypeAlias = Mapping[str, Family]
