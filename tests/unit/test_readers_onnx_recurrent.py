"""ONNX's recurrent operators, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.errors import UnsupportedOperation
from tests.unit.test_readers_onnx import Array, array, compare, model, node, read

T, F, H = 4, 3, 5
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def weights(operator: str, directions: int, *, bias: bool = True) -> dict[str, Array]:
    many = GATES[operator] * H
    found = {"w": array(directions, many, F), "r": array(directions, many, H)}
    if bias:
        found["b"] = array(directions, 2 * many)
    return found


def results(operator: str) -> list[str]:
    return ["y", "yh", "yc"] if operator == "LSTM" else ["y", "yh"]


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_all_results(operator: str, direction: str, bias: bool, tmp_path: Path) -> None:
    tensors = weights(operator, DIRECTIONS[direction], bias=bias)
    outputs = results(operator)
    made = model(
        [node(operator, ["x", *tensors], " ".join(outputs), hidden_size=H, direction=direction,
              name="rnn")],
        {"x": (T, "batch", F)}, tensors, outputs,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(T, 2, F)}, axes={"x": 1, "y": 2, "yh": 1, "yc": 1})
    layers = [o for o in graph.operations if o.kind == operator.lower()]
    names = ["rnn", "rnn.reverse"][: DIRECTIONS[direction]]
    assert [layer.name for layer in layers] == names
    # All directions share the tensors of the file.
    assert [p.name for p in graph.parameters] == list(tensors)
    for index, layer in enumerate(layers):
        assert layer.attributes["direction_index"] == index
        assert layer.attributes.get("biases_joined", False) == bias
        assert {p.name for p in layer.parameters.values()} == set(tensors)


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_initial_states(operator: str, direction: str, tmp_path: Path) -> None:
    directions = DIRECTIONS[direction]
    tensors = weights(operator, directions)
    states = ["h", "c"] if operator == "LSTM" else ["h"]
    outputs = results(operator)
    made = model(
        [node(operator, ["x", *tensors, "", *states], " ".join(outputs), hidden_size=H,
              direction=direction)],
        {"x": (T, "batch", F), **dict.fromkeys(states, (directions, "batch", H))},
        tensors, outputs,
    )  # fmt: skip
    feeds = {"x": array(T, 2, F), **{name: array(directions, 2, H) for name in states}}
    compare(made, tmp_path, feeds, axes={"x": 1, "h": 1, "c": 1, "y": 2, "yh": 1, "yc": 1})


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_initial_states(value: float, tmp_path: Path) -> None:
    tensors = weights("LSTM", 1)
    states = {name: np.full((1, 1, H), value, np.float32) for name in ("h", "c")}
    made = model(
        [node("LSTM", ["x", *tensors, "", *states], "y", hidden_size=H)],
        {"x": (T, "batch", F)}, {**tensors, **states},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(T, 1, F)}, axes={"x": 1, "y": 2})
    (layer,) = (o for o in graph.operations if o.kind == "lstm")
    assert len(layer.inputs) == (3 if value else 1)
    # One of the two alone: the other is zero.
    made = model(
        [node("LSTM", ["x", *tensors, "", "", "c"], "y", hidden_size=H)],
        {"x": (T, "batch", F)}, {**tensors, "c": states["c"]},
    )  # fmt: skip
    compare(made, tmp_path, {"x": array(T, 1, F)}, axes={"x": 1, "y": 2})


def test_resetting_after_the_product(tmp_path: Path) -> None:
    tensors = weights("GRU", 1)
    made = model(
        [node("GRU", ["x", *tensors], "y", hidden_size=H, linear_before_reset=1)],
        {"x": (T, "batch", F)}, tensors,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(T, 2, F)}, axes={"x": 1, "y": 2})
    assert graph.operations[1].attributes["reset_after"] is True


def test_relu_as_activation(tmp_path: Path) -> None:
    tensors = weights("RNN", 2)
    made = model(
        [node("RNN", ["x", *tensors], "y", hidden_size=H, direction="bidirectional",
              activations=["Relu", "Relu"])],
        {"x": (T, "batch", F)}, tensors,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(T, 2, F)}, axes={"x": 1, "y": 2})
    assert graph.operations[1].attributes["activation"] == "relu"


def test_stacked_and_joined_as_torch_writes_them(tmp_path: Path) -> None:
    first, second = weights("LSTM", 2), weights("GRU", 1)
    tensors = {
        **first,
        "w2": array(1, 3 * H, 2 * H), "r2": second["r"], "b2": second["b"],
        "join": np.array([0, 0, -1]), "one": np.array([1]), "last": np.array(-1),
        "fc": array(H, 2),
    }  # fmt: skip
    made = model(
        [
            node("Transpose", ["x"], "t", perm=[1, 0, 2]),
            node("LSTM", ["t", "w", "r", "b"], "s", hidden_size=H, direction="bidirectional"),
            node("Transpose", ["s"], "p", perm=[0, 2, 1, 3]),
            node("Reshape", ["p", "join"], "q"),
            node("GRU", ["q", "w2", "r2", "b2"], "g", hidden_size=H, linear_before_reset=1),
            node("Squeeze", ["g", "one"], "v"),
            node("Transpose", ["v"], "u", perm=[1, 0, 2]),
            node("Gather", ["u", "last"], "e", axis=1),
            node("MatMul", ["e", "fc"], "y"),
        ],
        {"x": ("batch", T, F)}, tensors,
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": array(2, T, F)})
    assert [o.kind for o in graph.operations] == [
        "input", "lstm", "lstm", "concat", "gru", "slice", "reshape", "linear",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"clip": 1.0}, "with clip"),
        ({"input_forget": 1}, "with input_forget=1"),
        ({"activations": ["Tanh", "Tanh", "Tanh"]}, "with the activations Tanh"),
        ({"hidden_size": H + 1}, "another hidden_size"),
    ],
)
def test_another_kind(told: dict[str, Any], says: str, tmp_path: Path) -> None:
    tensors = weights("LSTM", 1)
    made = model(
        [node("LSTM", ["x", *tensors], "y", name="rnn", **{"hidden_size": H, **told})],
        {"x": (T, "batch", F)}, tensors,
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match=rf"holds LSTM \(layer 'rnn'\).*{says}"):
        read(made, tmp_path)


def test_peepholes_and_lengths(tmp_path: Path) -> None:
    tensors = {**weights("LSTM", 1), "p": array(1, 3 * H)}
    made = model(
        [node("LSTM", ["x", "w", "r", "b", "", "", "", "p"], "y", hidden_size=H)],
        {"x": (T, "batch", F)}, tensors,
    )  # fmt: skip
    with pytest.raises(UnsupportedOperation, match="with peepholes"):
        read(made, tmp_path)
    tensors = {**weights("LSTM", 1), "n": np.array([T - 1], np.int32)}
    made = model(
        [node("LSTM", ["x", "w", "r", "b", "n"], "y", hidden_size=H)], {"x": (T, 1, F)}, tensors
    )
    with pytest.raises(UnsupportedOperation, match="of sequences of several lengths"):
        read(made, tmp_path, (T, 1, F))


def test_batch_first(tmp_path: Path) -> None:
    # onnxruntime computes no other layout than 0: the same model with transposes is the oracle.
    tensors = weights("LSTM", 2)
    outputs = ["y", "yh", "yc"]
    inputs: dict[str, Any] = {"x": ("batch", T, F), "h": ("batch", 2, H), "c": ("batch", 2, H)}
    made = model(
        [node("LSTM", ["x", *tensors, "", "h", "c"], "y yh yc", hidden_size=H, layout=1,
              direction="bidirectional")],
        inputs, tensors, outputs,
    )  # fmt: skip
    graph = read(made, tmp_path)
    turned = model(
        [node("Transpose", [name], f"{name}t", perm=[1, 0, 2]) for name in inputs]
        + [node("LSTM", ["xt", *tensors, "", "ht", "ct"], "s sh sc", hidden_size=H,
                direction="bidirectional"),
           node("Transpose", ["s"], "y", perm=[2, 0, 1, 3]),
           node("Transpose", ["sh"], "yh", perm=[1, 0, 2]),
           node("Transpose", ["sc"], "yc", perm=[1, 0, 2])],
        inputs, tensors, outputs,
    )  # fmt: skip
    other = compare(
        turned, tmp_path, {"x": array(2, T, F), "h": array(2, 2, H), "c": array(2, 2, H)}
    )
    assert [(o.kind, o.shape) for o in graph.operations] == [
        (o.kind, o.shape) for o in other.operations
    ]


def test_time_must_not_be_the_batch(tmp_path: Path) -> None:
    tensors = weights("LSTM", 1)
    made = model(
        [node("LSTM", ["x", *tensors], "y", hidden_size=H)], {"x": ("batch", 1, F)}, tensors
    )
    with pytest.raises(UnsupportedOperation, match=r"LSTM .*mixes samples"):
        read(made, tmp_path)
    graph = read(made, tmp_path, (T, 1, F))
    assert graph.operations[0].shape == (T, 1, F)
    assert next(o for o in graph.operations if o.kind == "lstm").shape == (T, H)
