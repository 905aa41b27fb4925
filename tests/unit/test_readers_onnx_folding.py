"""What is known of an ONNX model before it runs: constants, branches, and shapes of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation
from tests.unit.test_readers_onnx import Array, array, compare, ints, kinds, model, node, read


def test_shape_arithmetic_is_folded(tmp_path: Path) -> None:
    made = model(
        [node("Shape", ["x"], "s"), node("Gather", ["s", "zero"], "n"),
         node("Unsqueeze", ["n", "axes"], "u"), node("Concat", ["u", "rest"], "t", axis=0),
         node("Reshape", ["x", "t"])],
        {"x": ("N", 3, 4)},
        {"zero": np.array(0), "axes": ints(0), "rest": ints(2, 6)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 3, 4)})
    assert kinds(graph) == ["input", "reshape"]
    # They stay parameters though nothing takes them.
    assert [(p.name, p.dtype) for p in graph.parameters] == [
        ("zero", "int64"), ("axes", "int64"), ("rest", "int64"),
    ]  # fmt: skip


def test_computed_weights_become_parameters_and_stored_ones_stay(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {
        "q": RANDOM_INTS, "scale": np.array([[0.5, 0.25, 2.0]], np.float32), "bias": array(3),
        "shape": ints(3, 1),
    }  # fmt: skip
    made = model(
        [node("Cast", ["q"], "f", to=TensorProto.FLOAT), node("Mul", ["f", "scale"], "w"),
         node("Identity", ["bias"], "same"), node("MatMul", ["x", "w"], "m", name="fc"),
         node("Add", ["m", "same"], "z"), node("Unsqueeze", ["z", "shape1"], "u"),
         node("Reshape", ["bias", "shape"], "column"), node("Mul", ["u", "column"])],
        None, {**tensors, "shape1": ints(2)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 4)})
    assert [p.name for p in graph.parameters] == ["q", "scale", "bias", "shape", "shape1", "w"]
    linear = graph.operations[1]
    assert {role: p.name for role, p in linear.parameters.items()} == {
        "weight": "w",
        "bias": "bias",
    }
    expected = tensors["q"] * tensors["scale"]
    np.testing.assert_array_equal(linear.parameters["weight"].array(), expected)
    # The column is the stored tensor in another shape, not a second one.
    (operand,) = (o for o in graph.operations if o.kind == "parameter")
    assert operand.parameters["value"].name == "bias"
    assert graph.parameters[0].array().dtype == np.int64


RANDOM_INTS = np.random.default_rng(3).integers(-9, 9, (4, 3)).astype(np.int8)


def test_half_precision_stays_the_stored_tensor(tmp_path: Path) -> None:
    made = model(
        [node("Cast", ["h"], "f", to=TensorProto.FLOAT), node("Transpose", ["f"], "t"),
         node("MatMul", ["x", "t"], "y", name="fc", domain="ai.onnx")],
        None, {"h": array(3, 4).astype(np.float16)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 4)})
    assert [(p.name, p.dtype) for p in graph.parameters] == [("h", "float16")]
    assert graph.operations[1].attributes["layout"] == "target_source"


def test_initializers_that_are_inputs_too(tmp_path: Path) -> None:
    made = model([node("Gemm", ["x", "w"])], {"x": ("N", 4), "w": (4, 3)}, {"w": array(4, 3)})
    graph = read(made, tmp_path)
    assert [o.kind for o in graph.operations] == ["input", "linear"]


def test_tensors_of_constant_nodes(tmp_path: Path) -> None:
    weight = helper.make_tensor("", TensorProto.FLOAT, (4, 2), np.arange(8.0) / 8)
    made = model(
        [node("Constant", [], "w", value=weight), node("Constant", [], "b", value_floats=[1.0, 2]),
         node("Constant", [], "two", value_float=2.0), node("Gemm", ["x", "w", "b"], "g"),
         node("Mul", ["g", "two"])],
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 4)})
    assert [p.name for p in graph.parameters] == ["w", "b"]


def branch(nodes: Sequence[onnx.NodeProto], output: str) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(nodes, output, [], [out])


def test_the_branch_that_is_taken(tmp_path: Path) -> None:
    # The other one could not be ingested.
    then = branch([node("Relu", ["x"], "inner", name="relu")], "inner")
    other = branch(
        [node("NonZero", ["x"], "found"), node("Cast", ["found"], "inner2", to=TensorProto.FLOAT)],
        "inner2",
    )
    nodes = [
        node("Shape", ["x"], "s"), node("Gather", ["s", "one"], "n"),
        node("Equal", ["n", "four"], "c"),
        node("If", ["c"], "z", then_branch=then, else_branch=other), node("Tanh", ["z"]),
    ]  # fmt: skip
    made = model(nodes, None, {"one": np.array(1), "four": np.array(4)})
    graph = compare(made, tmp_path, {"x": array(2, 4)})
    assert [o.name for o in graph.operations] == ["input", "relu", "tanh_y"]
    longer = model(nodes, {"x": ("batch", 5)}, {"one": np.array(1), "four": np.array(4)})
    with pytest.raises(UnsupportedOperation, match="holds NonZero"):
        read(longer, tmp_path)


def test_a_branch_that_depends_on_an_input(tmp_path: Path) -> None:
    then = branch([node("Relu", ["x"], "inner")], "inner")
    other = branch([node("Tanh", ["x"], "inner2")], "inner2")
    made = model(
        [node("Equal", ["k", "one"], "c"),
         node("If", ["c"], "y", then_branch=then, else_branch=other, name="choice")],
        {"x": ("batch", 4), "k": ()}, {"one": np.array(1)}, types={"k": TensorProto.INT64},
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match=r"If \(layer 'choice'\) whose condition"):
        read(made, tmp_path)


def test_an_input_times_zero_is_left_out(tmp_path: Path) -> None:
    made = model(
        [node("Mul", ["k", "zero"], "z"), node("Cast", ["z"], "f", to=TensorProto.FLOAT),
         node("Add", ["x", "f"])],
        {"x": ("batch", 4), "k": ()}, {"zero": np.array(0)}, types={"k": TensorProto.INT64},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 4), "k": np.array(7)})
    assert kinds(graph) == ["input", "plus"]


# -- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "asked", "sample"),
    [
        (("N", 3, 4), None, (3, 4)),
        ((None, 3, 4), None, (3, 4)),
        ((8, 3, 4), None, (3, 4)),
        (("N", 3, "width"), (3, 5), (3, 5)),
        (("height", 3, "width"), (2, 3, 5), (2, 3, 5)),
        ((3, "batch", 4), None, (3, 4)),
        ((7,), None, (7,)),
        (("time",), (5,), (5,)),
    ],
)
def test_the_shape_of_the_input(
    dims: Any, asked: tuple[int, ...] | None, sample: tuple[int, ...], tmp_path: Path
) -> None:
    graph = read(model([node("Relu", ["x"])], {"x": dims}), tmp_path, asked)
    assert [operation.shape for operation in graph.operations] == [sample, sample]


@pytest.mark.parametrize(
    ("dims", "asked", "error", "says"),
    [
        (("N", 3, "width"), None, InvalidArgument, r"\(N, 3, width\), and dynamic shapes must"),
        (("time",), (5, 6), ShapeMismatch, r"\(time\), which \(5, 6\) does not fit"),
        (("N", 3), (4,), ShapeMismatch, r"\(N, 3\), not \(4,\)"),
        (("N", "a", "a"), (4, 5), ShapeMismatch, r"\(N, a, a\), not \(4, 5\)"),
    ],
)
def test_shapes_that_do_not_fit(
    dims: Any, asked: tuple[int, ...] | None, error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        read(model([node("Relu", ["x"])], {"x": dims}), tmp_path, asked)


def test_names_of_axes_hold_for_further_inputs(tmp_path: Path) -> None:
    made = model([node("Add", ["x", "z"])], {"x": ("N", "t"), "z": ("N", "t")})
    graph = read(made, tmp_path, (6,))
    assert [operation.shape for operation in graph.operations] == [(6,)] * 3
    assert [operation.name for operation in graph.operations] == ["input", "z", "add_y"]
    unknown = model([node("Add", ["x", "z"])], {"x": ("N", "t"), "z": ("N", "u")})
    with pytest.raises(InvalidArgument, match="The input 'z' has the shape"):
        read(unknown, tmp_path, (6,))


@pytest.mark.parametrize(
    ("first", "second", "samples"),
    [
        (("batch", 4), (2, "batch", 4), [(4,), (2, 4)]),
        ((1, 4), (2, 1, 4), [(4,), (2, 4)]),
        ((1, 4), (4, 1), [(4,), (4,)]),
        ((4, 4), (4,), [(4,), (4,)]),
        ((4, 4), (4, 4), [(4,), (4,)]),
        ((None, 4), (2, None, 4), [(4,), (2, 4)]),
        (("b", "n", 4), ("b", "n", 4), [(3, 4), (3, 4)]),
    ],
)
def test_the_batch_axis_of_further_inputs(
    first: Any, second: Any, samples: list[tuple[int, ...]], tmp_path: Path
) -> None:
    made = model([node("Add", ["x", "z"])], {"x": first, "z": second})
    graph = read(made, tmp_path, (3, 4) if "n" in first else None)
    assert [operation.shape for operation in graph.operations[:2]] == samples


def test_axes_of_length_one_at_two_places(tmp_path: Path) -> None:
    made = model([node("Mul", ["x", "z"])], {"x": (1, 4), "z": (4, 1)})
    graph = read(made, tmp_path)
    assert graph.operations[-1].shape == (4, 4)
