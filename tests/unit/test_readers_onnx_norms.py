"""ONNX's normalizations and reductions, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.errors import UnsupportedOperation
from tests.unit.test_readers_onnx import array, compare, model, node, read


@pytest.mark.parametrize("shape", [(4,), (4, 5), (4, 5, 6)])
def test_batch_norm(shape: tuple[int, ...], tmp_path: Path) -> None:
    tensors = {"s": array(4), "b": array(4), "m": array(4), "v": np.abs(array(4)) + 0.1}
    made = model(
        [node("BatchNormalization", ["x", *tensors], epsilon=1e-3, name="bn")],
        {"x": ("N", *shape)},
        tensors,
    )
    graph = compare(made, tmp_path, {"x": array(2, *shape)})
    assert {role: p.name for role, p in graph.operations[1].parameters.items()} == {
        "weight": "s", "bias": "b", "mean": "m", "variance": "v",
    }  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axis", [-1, 2, 1])
def test_layer_norm(axis: int, bias: bool, tmp_path: Path) -> None:
    shape = (4, 5)[axis % 3 - 1 :]
    tensors = {"s": array(*shape), **({"b": array(*shape)} if bias else {})}
    made = model(
        [node("LayerNormalization", ["x", *tensors], axis=axis, epsilon=1e-3)],
        {"x": ("N", 4, 5)},
        tensors,
    )
    compare(made, tmp_path, {"x": array(2, 4, 5)})


def test_instance_and_group_norm(tmp_path: Path) -> None:
    tensors = {"s": array(4), "b": array(4)}
    made = model(
        [node("InstanceNormalization", ["x", "s", "b"], epsilon=1e-3)],
        {"x": ("N", 4, 5)},
        tensors,
    )
    compare(made, tmp_path, {"x": array(2, 4, 5)})
    made = model(
        [node("GroupNormalization", ["x", "s", "b"], num_groups=2)],
        {"x": ("N", 4, 5, 3)},
        tensors,
        opset=21,
    )
    compare(made, tmp_path, {"x": array(2, 4, 5, 3)})


def test_rms_norm(tmp_path: Path) -> None:
    made = model(
        [node("RMSNormalization", ["x", "s"], epsilon=1e-3)], tensors={"s": array(4)}, opset=23
    )
    compare(made, tmp_path, {"x": array(2, 4)})


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("scaled", [0, 1, 2])
def test_layer_norm_in_single_steps(square: str, scaled: int, tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", ["x"], "m", axes=[-1]),
        node("Sub", ["x", "m"], "d"),
        node("Pow", ["d", "two"], "q") if square == "Pow" else node("Mul", ["d", "d"], "q"),
        node("ReduceMean", ["q"], "v", axes=[-1]),
        node("Add", ["v", "e"], "p"),
        node("Sqrt", ["p"], "r"),
        node("Div", ["d", "r"], "n0"),
        node("Mul", ["g", "n0"], "n1", name="scale"),
        node("Add", ["n1", "b"], "n2", name="shift"),
    ]
    tensors = {
        "two": np.array(2, np.float32), "e": np.array(1e-3, np.float32),
        "g": array(5), "b": array(5),
    }  # fmt: skip
    made = model(nodes[: 7 + scaled], {"x": ("N", 3, 5)}, tensors, [f"n{scaled}"])
    graph = compare(made, tmp_path, {"x": array(2, 3, 5)})
    assert [o.kind for o in graph.operations] == ["input", "layer_norm"]
    assert set(graph.operations[1].parameters) == set(["weight", "bias"][:scaled])
    # What another node takes stays a step by itself.
    made = model(nodes, {"x": ("N", 3, 5)}, tensors, ["n2", "d"])
    graph = compare(made, tmp_path, {"x": array(2, 3, 5)})
    assert "layer_norm" not in [o.kind for o in graph.operations]


REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]  # fmt: skip


@pytest.mark.parametrize("operator", REDUCTIONS)
@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(("axes", "keep"), [((1,), 1), ((-1,), 0), ((1, 2), 0), ((2, 1), 1)])
def test_reductions(
    operator: str, opset: int, axes: tuple[int, ...], keep: int, tmp_path: Path
) -> None:
    newer = opset >= 18 or operator == "ReduceSum"
    tensors = {"axes": np.array(axes)} if newer else {}
    told: dict[str, Any] = {} if newer else {"axes": axes}
    made = model(
        [node(operator, ["x", *tensors], keepdims=keep, **told)],
        {"x": ("N", 3, 4)},
        tensors,
        opset=opset,
    )
    compare(made, tmp_path, {"x": np.abs(array(2, 3, 4)) + 0.1})


def test_over_the_batch_axis(tmp_path: Path) -> None:
    nodes = [node("ReduceMean", ["x"], name="mean")]
    with pytest.raises(UnsupportedOperation, match=r"ReduceMean \(layer 'mean'\) that mixes"):
        read(model(nodes), tmp_path)
    with pytest.raises(UnsupportedOperation, match=r"Softmax .* that mixes samples"):
        read(model([node("Softmax", ["x"], axis=0)]), tmp_path)
    # A file that only takes one sample has nothing to mix.
    made = model(nodes, {"x": (1, 4)})
    graph = read(made, tmp_path)
    assert graph.operations[-1].attributes["axes"] == (-1,)
