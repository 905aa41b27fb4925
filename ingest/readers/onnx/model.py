"""The graph of a parsed ONNX model as operations.

The file is not run: its operators are known by what ONNX says of them. What is read is the function
of one sample: the batch axis has length 1, wherever it is, and the operations are without it. An
input that changes nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import defs, inliner

from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers.onnx import axes, convolutions, elementwise, matrices, norms, recurrent
from ingest.readers.onnx.folding import Folding
from ingest.readers.onnx.fusions import fused
from ingest.readers.onnx.inputs import read_inputs
from ingest.readers.onnx.nodes import Constant, Held, Node, Refused, Value, numpy_type
from ingest.readers.onnx.tensors import Tensors
from ingest.readers.onnx.walk import Handler, Walk
from ingest.readers.onnx.wire import Span
from ingest.readers.wording import damaged, reason
from store.errors import ShapeMismatch, UnreadableModel, UnsupportedOperation

OLDEST_OPSET = 11
# Nodes that the calls of local functions may stand for.
MOST_NODES = 200_000


def graph(
    message: bytes,
    spans: Sequence[Span | None],
    input_shape: tuple[int, ...] | None,
    path: Path,
) -> OperationGraph:
    """The operations of a model.

    Parameters
    ----------
    message, spans
        As :func:`ingest.readers.onnx.wire.without_tensors` gives them.
    input_shape, path
        As for :func:`ingest.readers.onnx_file.read_onnx`.
    """
    try:
        model = onnx.ModelProto.FromString(message)
    except DecodeError as error:
        raise damaged(path, f"it is no protocol buffer ({error})") from error
    if len(model.graph.initializer) != len(spans):
        raise damaged(path, "its initializers cannot be told apart")
    _check_names(model.graph, path)
    opset = _opset(model, path)
    if model.functions:
        model = _inlined(model, path)
    main = model.graph
    if main.sparse_initializer:
        raise UnsupportedOperation(
            f"The file {path.name!r} holds sparse tensors, which Weightome cannot ingest."
        )
    tensors = Tensors(path)
    parameters = {
        tensor.name: tensors.parameter(tensor, tensor.name, span)
        for tensor, span in zip(main.initializer, spans, strict=True)
    }
    if len(parameters) != len(main.initializer):
        raise damaged(path, "two of its tensors have one name")
    inputs = read_inputs(
        [info for info in main.input if info.name not in parameters], input_shape, path
    )

    def stored(name: str, tensor: onnx.TensorProto) -> Constant:
        return _constant(name, tensor.data_type, tensors.parameter(tensor, name))

    walk = Walk(
        TABLE,
        Folding(path, opset, model.ir_version),
        stored,
        parameters,
        single=inputs.samples == 1,
    )
    for given in inputs.inputs:
        walk.enter(given.name, given.shape, given.batch, given.type)
    for tensor in main.initializer:
        walk.define(tensor.name, _constant(tensor.name, tensor.data_type, parameters[tensor.name]))
    try:
        results = walk.graph(main)
    except ShapeMismatch as error:
        if inputs.samples in (None, 1):
            raise
        raise ShapeMismatch(
            f"The file {path.name!r} is made for {inputs.samples} samples at once and does not "
            "work with one: export it with a batch of 1 or a named batch axis."
        ) from error
    outputs = [
        _output(walk, info.name, value, whole=inputs.inputs[0].batch is None).operation
        for info, value in zip(main.output, results, strict=True)
    ]
    operations, ends = fused(walk.operations, outputs)
    operations = _with_integers(operations)
    if not any(operation.kind == "input" for operation in operations):
        raise UnsupportedOperation(
            f"No output of {path.name!r} depends on an input, so there is nothing to ingest."
        )
    used = [p for operation in operations for p in operation.parameters.values()]
    return OperationGraph(
        operations,
        tuple({p.name: p for p in (*parameters.values(), *used)}.values()),
        "onnx",
        ends,
    )


def _constant(name: str, kind: int, parameter: Parameter) -> Constant:
    return Constant(
        name,
        parameter.shape,
        kind,
        lambda: parameter.array().astype(numpy_type(kind)),
        parameter,
    )


def _output(walk: Walk, name: str, value: Value, *, whole: bool) -> Held:
    """The operation of an output; without a batch axis its shape is all of the file's."""
    match value:
        case Refused():
            raise value.error
        case Constant():
            return walk.operand(value, None, name)
    return walk.reshaped(value, value.shape, None, f"{name}.axes") if whole else value


def _with_integers(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations, with inputs marked that take indices: those that an embedding leads to."""
    by_name = {operation.name: operation for operation in operations}
    indices: set[str] = set()
    for operation in reversed(operations):
        if operation.kind == "embedding" or operation.name in indices:
            indices.update(operation.inputs)
    return tuple(
        replace(operation, attributes={"integers": True})
        if operation.kind == "input" and operation.name in indices
        else operation
        for operation in by_name.values()
    )


# -- the file's head -----------------------------------------------------------------------------


def _check_names(graph: onnx.GraphProto, path: Path) -> None:
    """Refuses names that are no text: the parser gives them as bytes."""
    names = [each.name for each in (*graph.initializer, *graph.input, *graph.output)]
    for node in graph.node:
        names += [node.op_type, node.domain, node.name, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    if not all(isinstance(name, str) for name in names):
        raise damaged(path, "a name in it is no text")


def _opset(model: onnx.ModelProto, path: Path) -> int:
    """Version of ONNX's own operators."""
    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if not versions:
        raise UnreadableModel(f"The file {path.name!r} does not say which ONNX operators it uses.")
    version, newest = int(versions[0]), int(defs.onnx_opset_version())
    if not OLDEST_OPSET <= version <= newest:
        raise UnsupportedOperation(
            f"The file {path.name!r} uses version {version} of the ONNX operators (opset), and "
            f"Weightome reads {OLDEST_OPSET} to {newest}: export the model with one of these."
        )
    return version


def _inlined(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with its local functions in place of their calls."""
    functions = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Sequence[onnx.NodeProto], open_calls: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in open_calls:
                raise damaged(path, f"its function {node.op_type[:80]!r} calls itself")
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, open_calls | {key})
            total += sizes.get(key, 1) + sum(
                size(inner.node, open_calls) for inner in _subgraphs(node)
            )
            if total > MOST_NODES:
                raise UnsupportedOperation(
                    f"The functions of {path.name!r} stand for more than {MOST_NODES} nodes, which "
                    "Weightome does not read."
                )
        return total

    size(model.graph.node, frozenset())
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        # onnx raises bare exceptions of several kinds here.
        raise UnsupportedOperation(
            f"The functions of {path.name!r} cannot be put in place of their calls "
            f"({reason(error)}): export the model without functions."
        ) from error


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


# -- operators that belong to no other table -----------------------------------------------------


def constant(node: Node, walk: Walk) -> Sequence[Value]:
    """A tensor, a number or numbers that a node holds."""
    tensor = node.tensor("value")
    if tensor is None:
        if len(node.attributes) != 1:
            raise node.refused()
        ((key, attribute),) = node.attributes.items()
        node.ignore(key)
        kind = {
            "value_float": onnx.TensorProto.FLOAT, "value_floats": onnx.TensorProto.FLOAT,
            "value_int": onnx.TensorProto.INT64, "value_ints": onnx.TensorProto.INT64,
        }.get(key)  # fmt: skip
        if kind is None:
            raise node.refused(f" with {reason(key)}")
        numbers = onnx.helper.get_attribute_value(attribute)
        shape = () if key in ("value_float", "value_int") else (len(numbers),)
        listed = numbers if shape else [numbers]
        tensor = onnx.helper.make_tensor("", kind, shape, listed)
    return [walk.stored(node.outputs[0], tensor)]


TABLE: Mapping[str, Handler] = {
    "Constant": constant,
    **axes.TABLE,
    **convolutions.TABLE,
    **elementwise.TABLE,
    **matrices.TABLE,
    **norms.TABLE,
    **recurrent.TABLE,
}
