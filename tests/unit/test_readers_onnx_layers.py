"""ONNX's layers with weights, and pools, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from store.errors import UnsupportedOperation
from tests.unit.test_readers_onnx import array, compare, model, node, read

# -- matrices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize(
    ("bias", "kinds"),
    [
        (None, ["linear"]),
        ((6,), ["linear"]),
        ((1, 6), ["linear", "parameter", "add"]),
        ((1,), ["linear", "parameter", "add"]),
    ],
)
def test_gemm(
    transposed: int, bias: tuple[int, ...] | None, kinds: list[str], tmp_path: Path
) -> None:
    tensors = {"w": array(6, 4) if transposed else array(4, 6)}
    if bias is not None:
        tensors["b"] = array(*bias)
    made = model(
        [node("Gemm", ["x", "w", *(["b"] if bias else [])], name="fc", transB=transposed)],
        tensors=tensors,
    )
    graph = compare(made, tmp_path, {"x": array(3, 4)})
    assert sorted(o.kind for o in graph.operations) == sorted(["input", *kinds])
    (linear,) = (o for o in graph.operations if o.kind == "linear")
    assert linear.attributes == {"layout": "target_source" if transposed else "source_target"}
    assert linear.parameters["weight"].name == "w"


@pytest.mark.parametrize("attributes", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}])
def test_gemm_of_another_kind(attributes: dict[str, Any], tmp_path: Path) -> None:
    weight = array(1 if "transA" in attributes else 4, 6)
    made = model([node("Gemm", ["x", "w"], name="fc", **attributes)], tensors={"w": weight})
    with pytest.raises(UnsupportedOperation, match=r"holds Gemm \(layer 'fc'\) with"):
        read(made, tmp_path)


def test_matmul_and_its_bias(tmp_path: Path) -> None:
    made = model(
        [node("MatMul", ["x", "w"], "m", name="fc"), node("Add", ["b", "m"], name="fc/add"),
         node("Relu", ["y"], "z")],
        {"x": ("N", 3, 4)}, {"w": array(4, 6), "b": array(6)}, ["z"],
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, 3, 4)})
    assert [o.name for o in graph.operations] == ["input", "fc", "relu_z"]
    assert {role: p.name for role, p in graph.operations[1].parameters.items()} == {
        "weight": "w",
        "bias": "b",
    }


def test_what_is_no_bias_stays_an_addition(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], "m", name="fc"), node("Add", ["m", "b"], name="add")]
    tensors = {"w": array(4, 6), "b": array(1, 6)}
    graph = compare(model(nodes, None, tensors), tmp_path, {"x": array(2, 4)})
    assert [o.kind for o in graph.operations] == ["input", "linear", "parameter", "add"]
    # The product is an output too.
    tensors = {"w": array(4, 6), "b": array(6)}
    graph = compare(model(nodes, None, tensors, ["y", "m"]), tmp_path, {"x": array(2, 4)})
    assert [o.kind for o in graph.operations] == ["input", "linear", "parameter", "add"]
    assert graph.outputs == ("add", "fc")


def test_a_matrix_that_the_graph_transposes_stays_what_it_is(tmp_path: Path) -> None:
    made = model(
        [node("Transpose", ["w"], "t"), node("MatMul", ["x", "t"])], tensors={"w": array(6, 4)}
    )
    graph = compare(made, tmp_path, {"x": array(2, 4)})
    (linear,) = (o for o in graph.operations if o.kind == "linear")
    assert linear.parameters["weight"].name == "w"
    assert linear.attributes["layout"] == "target_source"
    assert [parameter.name for parameter in graph.parameters] == ["w"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("N", 3, 4), ("N", 4, 5)),
        (("N", 2, 3, 4), ("N", 1, 4, 5)),
        (("N", 3, 4), (4, 5)),
        (("N", 2, 3, 4), (2, 4, 5)),
    ],
)
def test_matmul_of_two_values(first: Any, second: Any, tmp_path: Path) -> None:
    made = model([node("MatMul", ["x", "z"])], {"x": first, "z": second})
    sizes = [tuple(2 if n == "N" else n for n in dims) for dims in (first, second)]
    if second[0] != "N":
        made = model([node("MatMul", ["x", "z"])], {"x": first}, {"z": array(*sizes[1])})
        compare(made, tmp_path, {"x": array(*sizes[0])})
    else:
        compare(made, tmp_path, {"x": array(*sizes[0]), "z": array(*sizes[1])})


def test_rows_of_samples_times_a_computed_matrix(tmp_path: Path) -> None:
    made = model(
        [node("Tanh", ["s"], "t"), node("MatMul", ["x", "t"])],
        {"x": ("N", 4), "s": (4, 5)},
    )
    graph = read(made, tmp_path)
    assert graph.operations[-1].shape == (5,)
    product = next(o for o in graph.operations if o.kind == "matmul")
    assert product.shape == (1, 5)


@pytest.mark.parametrize(
    ("equation", "first", "second"),
    [
        ("bij,bjk->bik", ("N", 3, 4), ("N", 4, 5)),
        ("bhid,bhjd->bhij", ("N", 2, 3, 4), ("N", 2, 5, 4)),
        ("bqhd,bkhd->bhqk", ("N", 3, 2, 4), ("N", 5, 2, 4)),
        ("bhqk,bkhd->bqhd", ("N", 2, 3, 5), ("N", 5, 2, 4)),
        ("bij,bij->b", ("N", 3, 4), ("N", 3, 4)),
        ("bij,jk->bik", ("N", 3, 4), (4, 5)),
        ("bij,kj->bki", ("N", 3, 4), (5, 4)),
        ("bsd,dhk->bshk", ("N", 3, 4), (4, 2, 5)),
    ],
)
def test_einsum(equation: str, first: Any, second: Any, tmp_path: Path) -> None:
    sizes = [tuple(2 if n == "N" else n for n in dims) for dims in (first, second)]
    nodes = [node("Einsum", ["x", "z"], equation=equation)]
    if second[0] == "N":
        made = model(nodes, {"x": first, "z": second})
        compare(made, tmp_path, {"x": array(*sizes[0]), "z": array(*sizes[1])})
    else:
        compare(model(nodes, {"x": first}, {"z": array(*sizes[1])}), tmp_path, {
            "x": array(*sizes[0])
        })  # fmt: skip


@pytest.mark.parametrize("equation", ["bii,bij->bij", "b...,b...->b", "bij,cij->bc"])
def test_einsum_of_another_kind(equation: str, tmp_path: Path) -> None:
    made = model([node("Einsum", ["x", "x"], equation=equation)], {"x": ("N", 3, 3)})
    with pytest.raises(UnsupportedOperation, match="holds Einsum"):
        read(made, tmp_path)


# -- indices -------------------------------------------------------------------------------------


def test_embedding(tmp_path: Path) -> None:
    made = model(
        [node("Gather", ["w", "x"], "g", name="embed"), node("ReduceMean", ["g"], axes=[1])],
        {"x": ("N", 5)}, {"w": array(7, 3)}, types={"x": TensorProto.INT64},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": np.array([[0, 1, 2, 3, 6], [5, 5, 4, 3, 2]])})
    assert graph.operations[0].attributes == {"integers": True}
    assert graph.operations[1].name == "embed"


def test_one_hot_products_are_embeddings(tmp_path: Path) -> None:
    ids = np.array([[0, 3, 2], [1, 1, 0]])
    made = model(
        [node("OneHot", ["x", "depth", "values"], "h"), node("MatMul", ["h", "w"], name="embed")],
        {"x": ("N", 3)},
        {"depth": np.array([4]), "values": np.array([0, 1], np.float32), "w": array(4, 3)},
        types={"x": TensorProto.INT64},
    )
    graph = compare(made, tmp_path, {"x": ids})
    assert [o.kind for o in graph.operations] == ["input", "embedding"]
    compared = model(
        [node("Unsqueeze", ["x", "axes"], "u"), node("Equal", ["u", "range"], "e"),
         node("Cast", ["e"], "h", to=TensorProto.FLOAT), node("MatMul", ["h", "w"])],
        {"x": ("N", 3)},
        {"axes": np.array([-1]), "range": np.arange(4), "w": array(4, 3)},
        types={"x": TensorProto.INT64},
    )  # fmt: skip
    graph = compare(compared, tmp_path, {"x": ids})
    assert [o.kind for o in graph.operations] == ["input", "embedding"]


# -- windows -------------------------------------------------------------------------------------

CONV: list[tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    ({}, (4, 9), (6, 4, 3)),
    ({"pads": [1, 2], "strides": [2]}, (4, 9), (6, 4, 3)),
    ({"pads": [1, 0, 2, 1], "dilations": [2, 1], "group": 2}, (4, 8, 9), (6, 2, 3, 2)),
    ({"group": 4, "strides": [2, 3]}, (4, 8, 9), (8, 1, 3, 3)),
    ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 7, 8), (5, 4, 4, 3)),
    ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 7, 8), (5, 4, 4, 3)),
    ({"auto_pad": "VALID"}, (4, 7, 8), (5, 4, 4, 3)),
    ({"pads": [1] * 6, "kernel_shape": [2, 3, 3]}, (2, 4, 5, 6), (3, 2, 2, 3, 3)),
]


@pytest.mark.parametrize(("attributes", "shape", "weight"), CONV)
def test_conv(
    attributes: dict[str, Any], shape: tuple[int, ...], weight: tuple[int, ...], tmp_path: Path
) -> None:
    made = model(
        [node("Conv", ["x", "w", "b"], name="conv1", **attributes)],
        {"x": ("N", *shape)},
        {"w": array(*weight), "b": array(weight[0])},
    )
    graph = compare(made, tmp_path, {"x": array(2, *shape)}, tolerance=2e-5)
    assert [o.name for o in graph.operations] == ["input", "conv1"]


TRANSPOSED: list[tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]] = [
    ({}, (4, 5), (4, 3, 3)),
    ({"strides": [2], "pads": [1, 0], "output_padding": [1]}, (4, 5), (4, 3, 3)),
    ({"strides": [2, 3], "pads": [1, 0, 1, 2], "group": 2}, (4, 5, 4), (4, 3, 3, 3)),
    ({"dilations": [2, 1], "strides": [1, 2]}, (4, 5, 4), (4, 3, 3, 2)),
    ({"strides": [2, 2], "output_shape": [9, 8]}, (4, 5, 4), (4, 3, 3, 3)),
    ({"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (4, 5, 4), (4, 3, 3, 3)),
    ({"strides": [2, 2], "auto_pad": "SAME_LOWER"}, (4, 5, 4), (4, 3, 3, 3)),
    ({"strides": [2, 2], "auto_pad": "VALID"}, (4, 5, 4), (4, 3, 3, 3)),
]


@pytest.mark.parametrize(("attributes", "shape", "weight"), TRANSPOSED)
def test_conv_transposed(
    attributes: dict[str, Any], shape: tuple[int, ...], weight: tuple[int, ...], tmp_path: Path
) -> None:
    targets = weight[1] * attributes.get("group", 1)
    made = model(
        [node("ConvTranspose", ["x", "w", "b"], name="up", **attributes)],
        {"x": ("N", *shape)},
        {"w": array(*weight), "b": array(targets)},
    )
    compare(made, tmp_path, {"x": array(2, *shape)}, tolerance=2e-5)


POOLS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    *(
        (operator, attributes, shape)
        for operator in ("MaxPool", "AveragePool")
        for attributes, shape in (
            ({"kernel_shape": [3]}, (2, 9)),
            ({"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}, (2, 8, 7)),
            ({"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, (2, 8, 7)),
            ({"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}, (2, 5, 7)),
            ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, (2, 8, 7)),
            ({"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}, (2, 8, 7)),
            ({"kernel_shape": [3], "strides": [2], "pads": [1, 1], "ceil_mode": 1}, (2, 8)),
        )
    ),
    ("MaxPool", {"kernel_shape": [3, 2], "dilations": [2, 3]}, (2, 8, 7)),
    ("AveragePool", {"kernel_shape": [3], "pads": [1, 2], "count_include_pad": 1}, (2, 9)),
    ("GlobalAveragePool", {}, (3, 4, 5)),
    ("GlobalMaxPool", {}, (3, 4)),
]


@pytest.mark.parametrize(("operator", "attributes", "shape"), POOLS)
def test_pools(
    operator: str, attributes: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    made = model([node(operator, ["x"], **attributes)], {"x": ("N", *shape)})
    compare(made, tmp_path, {"x": array(2, *shape)})


@pytest.mark.parametrize(
    ("operator", "attributes", "says"),
    [
        ("AveragePool", {"kernel_shape": [2], "dilations": [2]}, "with dilations"),
        (
            "AveragePool",
            {"kernel_shape": [3], "strides": [2], "ceil_mode": 1, "count_include_pad": 1},
            "hang over counted padding",
        ),
    ],
)
def test_pools_of_another_kind(
    operator: str, attributes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    made = model([node(operator, ["x"], **attributes)], {"x": ("N", 2, 8)}, opset=19)
    with pytest.raises(UnsupportedOperation, match=rf"holds {operator} .*{says}"):
        read(made, tmp_path)


def test_convolutions_without_a_batch_axis(tmp_path: Path) -> None:
    nodes = [node("Unsqueeze", ["x", "axes"], "u"), node("Conv", ["u", "w"])]
    tensors = {"axes": np.array([0]), "w": array(3, 2, 3)}
    graph = read(model(nodes, {"x": (2, 7)}, tensors), tmp_path, (2, 7))
    assert graph.operations[0].shape == (2, 7)
    assert [operation.shape for operation in graph.operations[-2:]] == [(3, 5), (1, 3, 5)]
    several = model([node("Conv", ["x", "w"])], {"x": (4, 2, 7)}, tensors)
    with pytest.raises(UnsupportedOperation, match=r"Conv .* of 4 samples at once"):
        read(several, tmp_path, (4, 2, 7))
