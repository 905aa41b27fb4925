"""ONNX models of a few nodes, computed from the operation graph and by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers.onnx.file import read_onnx
from tests.interpreter import interpret

Array = NDArray[Any]
Dims = Sequence[int | str]

RANDOM = np.random.default_rng(7)


def array(*shape: int) -> Array:
    return RANDOM.normal(size=shape).astype(np.float32)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def kinds(graph: OperationGraph) -> list[str]:
    return [operation.kind for operation in graph.operations]


def node(operator: str, inputs: Sequence[str], output: str = "y", **attributes: Any) -> Any:
    outputs = output.split()
    name = attributes.pop("name", f"{operator.lower()}_{outputs[0]}")
    return helper.make_node(operator, inputs, outputs, name=name, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Dims] | None = None,
    tensors: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    *,
    opset: int = 17,
    types: Mapping[str, int] | None = None,
    outside: Sequence[onnx.OperatorSetIdProto] = (),
) -> onnx.ModelProto:
    given = inputs if inputs is not None else {"x": ("batch", 4)}
    kinds = types or {}
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), dims)
            for name, dims in given.items()
        ],
        [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None)
            for name in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in (tensors or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *outside]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return made


def read(
    made: onnx.ModelProto, folder: Path, input_shape: tuple[int, ...] | None = None
) -> OperationGraph:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return read_onnx(path, input_shape, None)


def separate(graph: OperationGraph) -> OperationGraph:
    """The graph with each direction's part of recurrent weights as tensors of their own."""

    def apart(operation: Operation) -> Operation:
        index = operation.attributes.get("direction_index")
        if index is None:
            return operation
        tensors = {role: p.array()[index] for role, p in operation.parameters.items()}
        if operation.attributes.get("biases_joined"):
            tensors["bias_ih"], tensors["bias_hh"] = np.split(tensors["bias_ih"], 2)
        return replace(
            operation,
            parameters={role: Parameter.of(role, value) for role, value in tensors.items()},
            attributes={
                key: value
                for key, value in operation.attributes.items()
                if key not in ("direction_index", "biases_joined")
            },
        )

    return replace(graph, operations=tuple(apart(each) for each in graph.operations))


def runtime(made: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feeds)))


def compare(
    made: onnx.ModelProto,
    folder: Path,
    feeds: Mapping[str, Array],
    *,
    axes: Mapping[str, int] | None = None,
    input_shape: tuple[int, ...] | None = None,
    tolerance: float = 1e-5,
) -> OperationGraph:
    """Compares outputs; ``axes`` says where the batch axis of a value is, if not first."""
    graph = read(made, folder, input_shape)
    assert agree(made, graph, feeds, axes or {}) < tolerance
    return graph


def agree(
    made: onnx.ModelProto,
    graph: OperationGraph,
    feeds: Mapping[str, Array],
    axes: Mapping[str, int],
) -> float:
    """The largest difference of an output, as a part of the output where that is beyond 1.

    The runtime computes in float32, and what a layer without bounds makes of random numbers may be
    large.
    """
    first = next(iter(feeds))
    taken = {operation.name for operation in graph.operations if operation.kind == "input"}
    given = {
        "input" if name == first else name: np.moveaxis(value, axes.get(name, 0), 0)
        for name, value in feeds.items()
        if name == first or name in taken
    }
    found = interpret(separate(graph), given)
    expected = runtime(made, feeds)
    assert len(found) == len(expected)
    worst = 0.0
    for info, ours, theirs in zip(made.graph.output, found, expected, strict=True):
        moved = np.moveaxis(theirs, axes.get(info.name, 0), 0)
        assert ours.shape == moved.shape, info.name
        scale = max(1.0, float(np.abs(moved).max(initial=0.0)))
        worst = max(worst, float(np.abs(ours - moved).max(initial=0.0)) / scale)
    return worst


# -- functions -----------------------------------------------------------------------------------

FUNCTIONS: list[tuple[str, dict[str, Any], int, list[str]]] = [
    *(
        (operator, {}, 20, [kind])
        for operator, kind in {
            "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Elu": "elu", "Erf": "erf", "Exp": "exp",
            "Floor": "floor", "Gelu": "gelu", "HardSwish": "hardswish", "Mish": "mish",
            "Neg": "times", "Relu": "relu", "Selu": "selu", "Sigmoid": "sigmoid", "Sign": "sign",
            "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign", "Tanh": "tanh",
            "Celu": "celu", "LeakyRelu": "leaky_relu", "Reciprocal": "reciprocal",
            "ThresholdedRelu": "threshold", "Shrink": "hardshrink", "Softmax": "softmax",
            "LogSoftmax": "log_softmax", "Dropout": "dropout",
        }.items()
    ),
    ("Elu", {"alpha": 0.5}, 17, ["elu"]),
    ("Celu", {"alpha": 2.0}, 17, ["celu"]),
    ("LeakyRelu", {"alpha": 0.3}, 17, ["leaky_relu"]),
    ("Gelu", {"approximate": "tanh"}, 20, ["gelu"]),
    ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, 17, ["hardsigmoid"]),
    ("HardSigmoid", {}, 17, ["times", "plus", "clip"]),
    ("ThresholdedRelu", {"alpha": 0.2}, 17, ["threshold"]),
    ("Shrink", {"lambd": 0.4, "bias": 0.4}, 17, ["softshrink"]),
    ("Softmax", {"axis": 1}, 17, ["softmax"]),
    ("Softmax", {"axis": 1}, 11, ["reshape", "softmax", "reshape"]),
    ("LogSoftmax", {"axis": 2}, 11, ["log_softmax"]),
    ("Cast", {"to": TensorProto.FLOAT}, 17, []),
    ("Identity", {}, 17, []),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "attributes", "opset", "kinds"), FUNCTIONS)
def test_functions(
    operator: str, attributes: dict[str, Any], opset: int, kinds: list[str], tmp_path: Path
) -> None:
    made = model([node(operator, ["x"], **attributes)], {"x": ("batch", 3, 5)}, opset=opset)
    graph = compare(made, tmp_path, {"x": array(2, 3, 5)})
    assert [operation.kind for operation in graph.operations] == ["input", *kinds]
    if kinds:
        assert graph.operations[-1].name.startswith(operator.lower())


@pytest.mark.parametrize("operator", ["Sqrt", "Log"])
def test_functions_of_positive_numbers(operator: str, tmp_path: Path) -> None:
    made = model([node(operator, ["x"])])
    compare(made, tmp_path, {"x": np.abs(array(2, 4)) + 0.5})


def test_swish(tmp_path: Path) -> None:
    # onnxruntime has no such operator yet: what ONNX says is x times its sigmoid.
    graph = read(model([node("Swish", ["x"])], opset=24), tmp_path)
    assert [operation.kind for operation in graph.operations] == ["input", "silu"]


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [(0, 6, "relu6"), (0, None, "relu"), (-1, 2, "clip"), (None, 0.5, "clip"), (-1, None, "clip")],
)
def test_clip(low: float | None, high: float | None, kind: str, tmp_path: Path) -> None:
    tensors = {
        name: np.float32(limit) for name, limit in (("a", low), ("b", high)) if limit is not None
    }
    inputs = ["x", "a" if low is not None else "", "b" if high is not None else ""]
    made = model([node("Clip", inputs)], tensors={n: np.asarray(v) for n, v in tensors.items()})
    graph = compare(made, tmp_path, {"x": 5 * array(3, 4)})
    assert [operation.kind for operation in graph.operations] == ["input", kind]
    # A number that becomes an argument is kept as a tensor too.
    assert {parameter.name for parameter in graph.parameters} == set(tensors)


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ((1,), ["prelu"]),
        ((3, 1, 1), ["prelu"]),
        ((5,), ["prelu"]),
        ((3, 4, 1), ["parameter", "relu", "clip", "product", "add"]),
    ],
)
def test_prelu(shape: tuple[int, ...], kinds: list[str], tmp_path: Path) -> None:
    made = model([node("PRelu", ["x", "s"])], {"x": ("N", 3, 4, 5)}, {"s": array(*shape)})
    graph = compare(made, tmp_path, {"x": array(2, 3, 4, 5)})
    assert sorted(o.kind for o in graph.operations) == sorted(["input", *kinds])


# -- arithmetic ----------------------------------------------------------------------------------

OPERATORS = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (5,), (3, 1), (1, 3, 5), (1, 1, 5)])
def test_arithmetic_with_constants(
    operator: str, first: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    inputs = ["x", "c"] if first else ["c", "x"]
    made = model([node(operator, inputs)], {"x": ("N", 3, 5)}, {"c": np.abs(array(*shape)) + 0.5})
    graph = compare(made, tmp_path, {"x": np.abs(array(2, 3, 5)) + 0.5})
    single = not shape or max(shape) == 1
    power = operator == "Pow" and not first
    assert any(o.kind == "parameter" for o in graph.operations) == (not single or power)
    assert [parameter.name for parameter in graph.parameters] == ["c"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_arithmetic_of_two_values(operator: str, tmp_path: Path) -> None:
    made = model([node(operator, ["x", "z"])], {"x": ("N", 3, 5), "z": ("N", 1, 5)})
    feeds = {"x": np.abs(array(2, 3, 5)) + 0.5, "z": np.abs(array(2, 1, 5)) + 0.5}
    compare(made, tmp_path, feeds)


@pytest.mark.parametrize("operator", ["Sum", "Mean", "Max", "Min"])
def test_arithmetic_of_many_values(operator: str, tmp_path: Path) -> None:
    made = model(
        [node("Exp", ["x"], "e"), node(operator, ["x", "c", "e"])], tensors={"c": array(4)}
    )
    compare(made, tmp_path, {"x": array(3, 4)})


def test_the_batch_axis_may_be_in_the_middle(tmp_path: Path) -> None:
    made = model(
        [node("Transpose", ["x"], "t", perm=[1, 0, 2]), node("Add", ["t", "c"], "s"),
         node("Mul", ["s", "d"])],
        {"x": ("N", 3, 5)}, {"c": array(3, 1, 5), "d": array(5)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 3, 5)}, axes={"y": 1})
    assert graph.operations[-1].shape == (3, 5)
    mixing = model(
        [node("Transpose", ["x"], "t", perm=[1, 0]), node("Add", ["t", "x"])], {"x": ("N", 1)}
    )
    with pytest.raises(Exception, match="mixes samples"):
        read(mixing, tmp_path)
