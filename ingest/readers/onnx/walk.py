"""The walk over a graph's nodes: which operation holds each value so far.

Constants are folded away, an ``If`` whose condition is known is the branch that it takes, and
every other node becomes operations by the table for its operator. A node that cannot be ingested
is an error only if something takes its result.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx

from ingest.operations import Operation, Parameter
from ingest.readers.onnx.folding import FOLDABLE, Folding
from ingest.readers.onnx.nodes import (
    Constant,
    Held,
    Node,
    OneHot,
    Refused,
    Shape,
    Value,
    unknown_attributes,
    without,
)
from ingest.readers.wording import Names
from store import schema
from store.errors import ShapeMismatch, UnreadableModel, UnsupportedOperation

# No layer has more, so that a few bytes of a file describe none that no memory could hold.
MOST_VALUES = 2**40

Handler: TypeAlias = Callable[[Node, "Walk"], Sequence[Value]]
Stored: TypeAlias = Callable[[str, onnx.TensorProto], Constant]


class Walk:
    """Operations so far, and the value that each name of the file stands for.

    Parameters
    ----------
    table
        What to do with each operator; all others of ONNX become opaque operations.
    folding
        Infers shapes and folds constants.
    stored
        Gives a tensor that stands in a node, by the name that it shall have.
    taken
        Names of tensors that are parameters already.
    single
        Whether the file says that it takes one sample at a time, so that nothing can mix samples.
    """

    def __init__(
        self,
        table: Mapping[str, Handler],
        folding: Folding,
        stored: Stored,
        taken: Iterable[str],
        *,
        single: bool,
    ) -> None:
        self.operations: dict[str, Operation] = {}
        self.single = single
        self.stored = stored
        self._table = table
        self._folding = folding
        self._values: ChainMap[str, Value] = ChainMap()
        self._names = Names()
        self._parameter_names = Names()
        for name in taken:
            self._parameter_names.take(name)
        self._computed: dict[int, tuple[Constant, Parameter]] = {}
        self._operands: dict[tuple[str, Shape], str] = {}
        # Operations whose value is another one for each sample.
        self._varying: set[str] = set()

    # -- nodes -----------------------------------------------------------------------------------

    def enter(self, name: str, shape: Shape, batch: int | None, kind: int) -> None:
        """Takes an input of the model."""
        wanted = self._names.take(name) if self.operations else Names.INPUT
        held = Held(wanted, shape, batch, kind)
        self.operations[wanted] = Operation(wanted, "input", shape=held.sample)
        if batch is not None:
            self._varying.add(wanted)
        self.define(name, held)

    def define(self, name: str, value: Value) -> None:
        """Says what a name of the file stands for."""
        if name in self._values:
            raise UnreadableModel(f"The model gives two values the name {name[:200]!r}.")
        self._values[name] = value

    def graph(self, graph: onnx.GraphProto) -> list[Value]:
        """Takes all nodes of a graph, and gives its outputs."""
        for proto in graph.node:
            self._step(proto)
        for output in graph.output:
            if output.name not in self._values:
                raise UnreadableModel(f"No node gives the output {output.name[:200]!r}.")
        return [self._values[output.name] for output in graph.output]

    def _step(self, proto: onnx.NodeProto) -> None:
        node = self._node(proto)
        found: dict[str, Value]
        try:
            found = self._results(proto, node)
        except UnsupportedOperation as error:
            found = dict.fromkeys(proto.output, Refused(error))
        for name in filter(None, proto.output):
            left_out = Refused(node.refused(f" whose result {name[:80]!r} is used"))
            self.define(name, found.get(name, left_out))

    def _node(self, proto: onnx.NodeProto) -> Node:
        name = proto.name or next(filter(None, proto.output), proto.op_type)
        for given in filter(None, proto.input):
            if given not in self._values:
                raise UnreadableModel(
                    f"The node {name[:200]!r} takes {given[:200]!r}, which no node before it gives."
                )
        return Node(
            proto.op_type,
            name,
            [self._values[given] if given else None for given in proto.input],
            tuple(proto.output),
            self._folding.opset,
            {attribute.name: attribute for attribute in proto.attribute},
        )

    def _results(self, proto: onnx.NodeProto, node: Node) -> dict[str, Value]:
        if proto.domain not in ("", "ai.onnx"):
            node.operator = f"{proto.domain}.{proto.op_type}"
            raise node.refused()
        # Both are ONNX's own, and its tools know the first only.
        proto.domain = ""
        for value in node.inputs:
            if isinstance(value, Refused) and not isinstance(value, OneHot):
                raise value.error
        if proto.op_type == "If":
            return self._branch(node)
        operator = self._folding.check(proto, node)
        if any(attribute.type == onnx.AttributeProto.GRAPH for attribute in proto.attribute):
            raise node.refused()
        node.roles = [entry.name for entry in operator.inputs]
        node.types = self._folding.types(operator, proto, node)
        known = all(value is None or isinstance(value, Constant) for value in node.inputs)
        if known and proto.op_type in FOLDABLE:
            return self._folding.fold(proto, node)
        found = self._table.get(proto.op_type, opaque)(node, self)
        if node.attributes:
            raise unknown_attributes(node)
        for value, told in zip(found, node.types, strict=False):
            # Squeezing all axes of length 1 keeps the batch's, of which ONNX sees only the length.
            expected = told[0] if told and proto.op_type != "Squeeze" else None
            if isinstance(value, Held) and expected not in (None, value.shape):
                raise node.refused(f" that gives the shape {value.shape}, not {expected}")
        return dict(zip(node.outputs, found, strict=False))

    def _branch(self, node: Node) -> dict[str, Value]:
        """The results of the branch that an ``If`` takes."""
        condition = node.value(0)
        if isinstance(condition, Held) or condition.size != 1:
            raise node.refused(" whose condition depends on an input")
        taken = node.attributes.get("then_branch" if condition.scalar() else "else_branch")
        if taken is None or taken.type != onnx.AttributeProto.GRAPH:
            raise UnreadableModel(f"The node {node.name[:200]!r} has no branch to take.")
        outside = self._values
        self._values = outside.new_child()
        try:
            for tensor in taken.g.initializer:
                self.define(tensor.name, self.stored(tensor.name, tensor))
            found = self.graph(taken.g)
        finally:
            self._values = outside
        return dict(zip(node.outputs, found, strict=False))

    # -- operations ------------------------------------------------------------------------------

    def emit(
        self,
        name: str,
        kind: str,
        inputs: Sequence[Held],
        shape: Shape,
        batch: int | None,
        *,
        element: int | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Held:
        """Adds an operation.

        Parameters
        ----------
        name
            That it has if no other operation has it.
        shape, batch
            Of the ONNX value that it gives.
        element
            Type of its elements. Default: as the first input.
        """
        if not 0 < prod(shape) <= MOST_VALUES:
            raise UnsupportedOperation(
                f"The layer {name[:200]!r} gives {prod(shape)} values, and Weightome ingests "
                f"layers of 1 to {MOST_VALUES}."
            )
        operation = Operation(
            self._names.take(name),
            kind,
            tuple(held.operation for held in inputs),
            without(shape, batch),
            parameters or {},
            attributes or {},
        )
        self.operations[operation.name] = operation
        if not self._varying.isdisjoint(operation.inputs):
            self._varying.add(operation.name)
        return Held(operation.name, shape, batch, inputs[0].type if element is None else element)

    def like(self, name: str, kind: str, held: Held, **attributes: Any) -> Held:
        """Adds an operation that keeps shape and batch axis: an elementwise function, say."""
        return self.emit(name, kind, [held], held.shape, held.batch, attributes=attributes)

    def reshaped(
        self, held: Held, shape: Shape, batch: int | None, name: str, kind: str = "reshape"
    ) -> Held:
        """The same entries in the same order in another shape, or with another batch axis."""
        if prod(shape) != prod(held.shape):
            raise ShapeMismatch(
                f"The layer {name[:200]!r} cannot turn the shape {held.shape} into {shape}."
            )
        sample = without(shape, batch)
        source = self.operations[held.operation]
        # Several in a row are one, or none if they lead back.
        while source.shape != sample and source.kind in ("reshape", "flatten"):
            source = self.operations[source.inputs[0]]
        if source.shape == sample:
            return Held(source.name, shape, batch, held.type)
        before = Held(source.name, source.shape, None, held.type)
        return self.emit(name, kind, [before], shape, batch)

    def permuted(self, held: Held, axes: Sequence[int], name: str) -> Held:
        """A value without a batch axis with its axes in another order."""
        if tuple(axes) == tuple(range(len(held.shape))):
            return held
        rank = len(axes)
        shape = tuple(held.shape[axis] for axis in axes)
        order = tuple(axis - rank for axis in axes)
        return self.emit(name, "permute", [held], shape, None, attributes={"axes": order})

    def sliced(self, held: Held, axis: int, bounds: tuple[int, int, int], name: str) -> Held:
        """A part of a value along an axis that is not the batch's."""
        start, stop, step = bounds
        along = held.axis(axis)
        shape = (*held.shape[:axis], len(range(*bounds)), *held.shape[axis + 1 :])
        if along is None or shape == held.shape:
            return held
        attributes = {"axis": along, "start": start, "stop": stop, "step": step}
        return self.emit(name, "slice", [held], shape, held.batch, attributes=attributes)

    # -- constants -------------------------------------------------------------------------------

    def operand(self, constant: Constant, batch: int | None, name: str) -> Held:
        """A constant as an operand, without the axis of length 1 that stands for the batch."""
        parameter = constant.parameter or self.parameter(constant)
        shape = parameter.shape
        if batch == 0 and shape == constant.shape:
            shape = shape[1:]
        key = (parameter.name, shape)
        if key not in self._operands:
            self._operands[key] = self.emit(
                parameter.name,
                "parameter",
                [],
                shape,
                None,
                element=constant.type,
                parameters={"value": parameter},
            ).operation
        held = Held(self._operands[key], shape, None, constant.type)
        return self.reshaped(held, constant.shape, batch, f"{name}.operand")

    def parameter(self, constant: Constant) -> Parameter:
        """A constant as a parameter in its own shape; a computed one becomes a new parameter."""
        stored = constant.parameter
        if stored is not None and stored.shape == constant.shape:
            return stored
        if id(constant) not in self._computed:
            array = constant.load()
            if constant.floats:
                array = array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32)
            else:
                array = array.astype(bool if array.dtype == bool else np.int64)
            name = schema.valid_name(self._parameter_names.take(constant.name), "tensor")
            # The constant is kept too, or another one could get its id.
            self._computed[id(constant)] = constant, Parameter.of(name, np.ascontiguousarray(array))
        return self._computed[id(constant)][1]

    # -- the batch axis --------------------------------------------------------------------------

    def sample(self, node: Node, held: Held, axis: int) -> Held:
        """A value whose batch axis stands where an operator wants its own."""
        if held.batch == axis:
            return held
        if held.batch is not None and not self.single:
            node.mixes()
        if held.shape[axis] != 1:
            raise node.refused(f" of {held.shape[axis]} samples at once")
        return self.reshaped(held, held.shape, axis, f"{node.name}.sample")

    def plain(self, held: Held) -> Held:
        """The sample by itself, as a value without a batch axis."""
        return Held(held.operation, held.sample, None, held.type)

    def batch_of(self, held: Held, shape: Shape, batch: int | None) -> int | None:
        """The batch axis of a value that gets another shape.

        Where the value had lost it, a first axis of length 1 is the batch's again.
        """
        lost = batch is None and self.varies(held)
        return 0 if lost and shape[:1] == (1,) else batch

    def varies(self, held: Held) -> bool:
        """Whether a value is another one for each sample."""
        return held.operation in self._varying


def opaque(node: Node, walk: Walk) -> Sequence[Value]:
    """An operator that no table knows: what it takes, and which shape it gives."""
    node.attributes.clear()
    held: list[Held] = []
    parameters: dict[str, Parameter] = {}
    for index in range(len(node.inputs)):
        value = node.value(index) if node.has(index) else None
        if isinstance(value, Held):
            held.append(value)
        elif value is not None:
            role = node.roles[min(index, len(node.roles) - 1)]
            parameters[f"{role}_{index}" if role in parameters else role] = walk.parameter(value)
    shape, kind = node.result(0)
    batch = 0 if any(value.batch == 0 for value in held) and shape[:1] == (1,) else None
    attributes = {"operator": node.operator, "module": node.name}
    return [
        walk.emit(
            node.name,
            "opaque",
            held,
            shape,
            batch,
            element=kind,
            parameters=parameters,
            attributes=attributes,
        )
    ]
