"""Shapes of results, and the values of nodes that only take constants.

onnx infers each node's shapes from the shapes and the small constants that it takes; its reference
implementation computes shape arithmetic and prepared weights. What that may take is bounded by the
size of the file, for a few bytes can describe an array of any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import checker, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from ingest.readers.onnx.nodes import Constant, Held, Node, OneHot, Shape, Value, numpy_type
from ingest.readers.onnx.tensors import TYPES, Type
from ingest.readers.wording import reason
from store.errors import ShapeMismatch, UnreadableModel, UnsupportedOperation

# Constants of no more entries are given to shape inference.
MOST_TOLD = 4096
# Bytes of folded arrays in one model: a base, and so many for each byte of the file.
LEAST_FOLDED, FOLDED_PER_BYTE = 64 * 1024 * 1024, 16

# They compute a result of their inputs alone, and in a time in proportion to its length.
FOLDABLE = frozenset((
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos",
    "CumSum", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten",
    "Floor", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual", "Identity",
    "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pow",
    "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "Relu", "Reshape", "ScatterElements", "ScatterND", "Shape", "Sigmoid", "Sign", "Sin", "Size",
    "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "Transpose", "Trilu",
    "Unsqueeze", "Where", "Xor",
))  # fmt: skip
# From a type of floats to one that has all its values.
WIDENS = frozenset((
    (Type.FLOAT16, Type.FLOAT), (Type.FLOAT16, Type.DOUBLE), (Type.BFLOAT16, Type.FLOAT),
    (Type.BFLOAT16, Type.DOUBLE), (Type.FLOAT, Type.DOUBLE),
))  # fmt: skip
# The entries of their first input in the same order.
REORDERS_NOTHING = frozenset((
    "Cast", "CastLike", "Expand", "Flatten", "Reshape", "Squeeze", "Unsqueeze",
))  # fmt: skip


class Folding:
    """Infers and computes for the nodes of one model.

    Parameters
    ----------
    path
        Of the file, whose size bounds what is computed.
    opset
        Version of the operators.
    ir_version
        Version of the file format.
    """

    def __init__(self, path: Path, opset: int, ir_version: int) -> None:
        self.opset = opset
        self._ir_version = ir_version
        self._imports = [helper.make_opsetid("", opset)]
        self._left = LEAST_FOLDED + FOLDED_PER_BYTE * path.stat().st_size
        self._context = checker.C.CheckerContext()
        self._context.ir_version = ir_version
        self._context.opset_imports = {"": opset}

    def check(self, proto: onnx.NodeProto, node: Node) -> defs.OpSchema:
        """The description of a node's operator, which it must fit.

        Raises
        ------
        UnsupportedOperation
            If there is no such operator.
        UnreadableModel
            If the node is not one of it.
        """
        try:
            schema = defs.get_schema(proto.op_type, self.opset, "")
        except defs.SchemaError:
            raise node.refused() from None
        if schema.deprecated:
            raise node.refused()
        try:
            checker.check_node(proto, self._context)
        except checker.ValidationError as error:
            raise UnreadableModel(
                f"The node {node.name[:200]!r} is not as ONNX has it: {reason(error)}."
            ) from error
        return schema

    def types(
        self, schema: defs.OpSchema, proto: onnx.NodeProto, node: Node
    ) -> list[tuple[Shape, int] | None]:
        """Shape and element type of each result; None where they are not known.

        Raises
        ------
        ShapeMismatch
            If the node does not fit what it takes.
        """
        types, data = {}, {}
        for name, value in zip(proto.input, node.inputs, strict=True):
            if isinstance(value, Held | Constant | OneHot):
                types[name] = helper.make_tensor_type_proto(value.type, value.shape)
            if isinstance(value, Constant) and value.size <= MOST_TOLD:
                data[name] = numpy_helper.from_array(value.load(), name)
        try:
            found = shape_inference.infer_node_outputs(
                schema, proto, types, data, None, self._imports, self._ir_version
            )
        except Exception as error:
            # onnx raises bare exceptions of several kinds here.
            text = (
                str(error).replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "")
            )
            raise ShapeMismatch(
                f"The node {node.name[:200]!r} ({reason(node.operator)}) does not fit what it "
                f"takes: {reason(text)}."
            ) from error
        return [_known(found.get(name)) for name in proto.output]

    def fold(self, proto: onnx.NodeProto, node: Node) -> dict[str, Value]:
        """The results, by their names, of a node that only takes constants.

        Raises
        ------
        UnsupportedOperation
            If they take too much memory, or cannot be computed.
        """
        given = [value for value in node.inputs if value is not None]
        constants = [value for value in given if isinstance(value, Constant)]
        if len(constants) != len(given):
            raise node.refused(" of something else than constants")
        kept = self._kept(node, constants)
        if kept is not None:
            return {node.outputs[0]: kept}
        for index in range(len(node.outputs)):
            # What NonZero finds is not known before; it is no longer than what it takes.
            if node.operator != "NonZero":
                shape, kind = node.result(index)
                self._spend(node, shape, kind)
        names = dict(zip((name for name in proto.input if name), constants, strict=True))
        arrays = self._compute(proto, node, {name: c.load() for name, c in names.items()})
        if any(not isinstance(array, np.ndarray) for array in arrays):
            raise node.refused(" that gives no tensor")
        kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
        if node.operator == "NonZero":
            self._spend(node, arrays[0].shape, kinds[0])
        wanted = [name for name in node.outputs if name]
        return {
            name: Constant.of(name, array, kind)
            for name, array, kind in zip(wanted, arrays, kinds, strict=True)
        }

    def _kept(self, node: Node, constants: Sequence[Constant]) -> Constant | None:
        """A stored tensor, where a node only gives it another shape or transposes it."""
        if not constants:
            return None
        first, name = constants[0], node.outputs[0]
        if node.operator == "Identity":
            return first
        if node.operator in REORDERS_NOTHING:
            shape, kind = node.result(0)
            same = kind == first.type or (first.type, kind) in WIDENS
            if same and prod(shape) == first.size:
                return Constant(
                    name,
                    shape,
                    kind,
                    lambda: first.load().reshape(shape).astype(numpy_type(kind), copy=False),
                    first.parameter,
                    first.transposed if shape == first.shape else None,
                )
        if node.operator == "Transpose" and len(first.shape) == 2:
            order = node.wholes("perm")
            if order in (None, (1, 0)):
                whole = first.parameter is not None and first.parameter.shape == first.shape
                return Constant(
                    name, first.shape[::-1], first.type, lambda: first.load().T,
                    first.transposed, first.parameter if whole else None,
                )  # fmt: skip
            return first
        return None

    def _spend(self, node: Node, shape: Shape, kind: int) -> None:
        if kind not in TYPES:
            raise node.refused(" of another type than floats, integers and truth values")
        self._left -= prod(shape) * numpy_type(kind).itemsize
        if self._left < 0:
            raise node.refused(f" of the shape {shape}, more than such a small file should hold")

    def _compute(
        self, proto: onnx.NodeProto, node: Node, arrays: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        untyped = [helper.make_value_info(name, onnx.TypeProto()) for name in arrays]
        results = [helper.make_value_info(name, onnx.TypeProto()) for name in proto.output if name]
        graph = helper.make_graph([proto], "node", untyped, results)
        try:
            with np.errstate(all="ignore"):
                found = ReferenceEvaluator(graph, opsets={"": self.opset}).run(None, arrays)
        except UnsupportedOperation:
            raise
        except Exception as error:
            # The reference implementation checks little by itself.
            raise node.refused(f" that cannot be computed ({reason(error)})") from error
        return list(found)


def _known(found: onnx.TypeProto | None) -> tuple[Shape, int] | None:
    """What inference tells of a tensor, if that is all of its shape."""
    if found is None or found.WhichOneof("value") != "tensor_type":
        return None
    tensor = found.tensor_type
    if not tensor.HasField("shape"):
        return None
    dims = tensor.shape.dim
    if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims), tensor.elem_type
