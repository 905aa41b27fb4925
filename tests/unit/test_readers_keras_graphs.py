"""Keras' Functional models: several inputs and outputs, branches, models in models, arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from store.errors import (
    InputError,
    InvalidArgument,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
)
from tests.interpreter import interpret
from tests.keras_files import (
    Entry,
    call_2,
    call_3,
    called,
    dense,
    functional,
    given,
    graph_of,
    layer,
    read_here,
    saved_keras,
    sequential,
    value,
)

RANDOM = np.random.default_rng(13)

Array = NDArray[np.float64]

MERGES: dict[str, Callable[..., Array]] = {
    "Add": lambda a, b, c: a + b + c,
    "Multiply": lambda a, b, c: a * b * c,
    "Average": lambda a, b, c: (a + b + c) / 3,
    "Maximum": lambda a, b, c: np.maximum(np.maximum(a, b), c),
    "Minimum": lambda a, b, c: np.minimum(np.minimum(a, b), c),
    "Concatenate": lambda a, b, c: np.concatenate([a, b, c], -1),
}


def random(*shape: int) -> Array:
    return RANDOM.normal(size=shape)


def inputs(*names: str) -> list[Any]:
    return [[name, 0, 0] for name in names]


@pytest.mark.parametrize("kind", ["h5", "keras"])
@pytest.mark.parametrize("class_name", MERGES)
def test_values_are_joined(tmp_path: Path, class_name: str, kind: str) -> None:
    names = ("a", "b", "c")
    call = call_2(*names) if kind == "h5" else call_3([value(name) for name in names])
    layers = [*(called(given(name, 4, 3)) for name in names), called(layer(class_name, "m"), call)]
    config = functional(layers, inputs(*names), inputs("m"))
    given_arrays = {name: random(2, 4, 3) for name in names}
    (result,) = interpret(graph_of(tmp_path, config, {}, kind), given_arrays)
    np.testing.assert_allclose(result, MERGES[class_name](*given_arrays.values()), atol=1e-12)


def test_values_of_two_ranks_are_joined_along_their_last_axes(tmp_path: Path) -> None:
    layers = [
        called(given("a", 4, 3)),
        called(given("b", 3)),
        called(layer("Multiply", "m"), call_3([value("a"), value("b")])),
        called(layer("Subtract", "s"), call_3([value("b"), value("m")])),
    ]
    config = functional(layers, inputs("a", "b"), inputs("s", "m"))
    a, b = random(2, 4, 3), random(2, 3)
    first, second = interpret(graph_of(tmp_path, config, {}), {"a": a, "b": b})
    np.testing.assert_allclose(second, a * b[:, None], atol=1e-12)
    np.testing.assert_allclose(first, b[:, None] - a * b[:, None], atol=1e-12)


def test_a_residual_block_stays_in_one_order_of_axes(tmp_path: Path) -> None:
    conv = {"filters": 3, "kernel_size": [1, 1], "use_bias": False}
    layers = [
        called(given("in", 4, 5, 3)),
        called(layer("Conv2D", "one", activation="relu", **conv), call_3("in")),
        called(layer("Conv2D", "two", **conv), call_3("one")),
        called(layer("Add", "sum"), call_3([value("one"), value("two"), value("in")])),
        called(layer("Concatenate", "wide"), call_3([value("sum"), value("one")])),
        called(layer("Concatenate", "high", axis=1), call_3([value("wide"), value("wide")])),
        called(layer("Softmax", "soft", axis=2), call_3("high")),
    ]
    one, two, x = random(3, 3), random(3, 3), random(2, 4, 5, 3)
    tensors = {"one": {"kernel": one[None, None]}, "two": {"kernel": two[None, None]}}
    graph = graph_of(tmp_path, functional(layers, inputs("in"), inputs("soft")), tensors)
    assert [o.name for o in graph.operations if o.kind == "permute"] == [
        "one.channels_first",
        "output.channels_last",
    ]
    (result,) = interpret(graph, x)
    first = np.maximum(x @ one, 0)
    wide = np.concatenate([first + first @ two + x, first], -1)
    scores = np.exp(np.concatenate([wide, wide], 1))
    np.testing.assert_allclose(result, scores / scores.sum(2, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_models_in_models(tmp_path: Path, kind: str) -> None:
    # The first layer is frozen and so comes last in an .h5; both have one shape.
    head = sequential(
        given("x", 3),
        dense("frozen", 3, trainable=False),
        layer("BatchNormalization", "norm", center=False, epsilon=0.0),
        dense("free", 3, "relu"),
        name="head",
    )
    twice = functional(
        [
            called(given("y", 3)),
            called(head, call_3("y")),
            called(dense("side", 2), call_3("head")),
        ],
        inputs("y"),
        inputs("head", "side"),
        name="twice",
    )
    layers = [
        called(given("in", 3)),
        called(twice, call_3("in"), call_3(value("twice", 0, 0))),
        called(dense("out", 1), call_3(value("twice", 1, 1))),
    ]
    # Where the outputs are told, Keras counts the calls of a model from one.
    config = functional(layers, inputs("in"), [["out", 0, 0], ["twice", 1, 1], ["twice", 2, 0]])
    tensors = {
        "twice/head/frozen": {"kernel": random(3, 3), "bias": random(3)},
        "twice/head/norm": {"gamma": random(3), "moving_mean": random(3),
                            "moving_variance": np.abs(random(3))},
        "twice/head/free": {"kernel": random(3, 3), "bias": random(3)},
        "twice/side": {"kernel": random(3, 2), "bias": random(2)},
        "out": {"kernel": random(2, 1), "bias": random(1)},
    }  # fmt: skip
    graph = graph_of(tmp_path, config, tensors, kind)

    def applied(name: str, x: Array) -> Array:
        kernel, bias = tensors[name].values()
        return np.asarray(x @ kernel + bias)

    def whole(x: Array) -> tuple[Array, Array]:
        x, norm = applied("twice/head/frozen", x), tensors["twice/head/norm"]
        x = (x - norm["moving_mean"]) / np.sqrt(norm["moving_variance"]) * norm["gamma"]
        x = np.maximum(applied("twice/head/free", x), 0)
        return x, applied("twice/side", x)

    x = random(2, 3)
    first, second = whole(x)
    third, fourth = whole(first)
    result = interpret(graph, x)
    for found, expected in zip(result, [applied("out", fourth), second, third], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    names = [o.name for o in graph.operations if o.kind == "linear"]
    assert names == [
        "twice/head/frozen", "twice/head/free", "twice/side",
        "twice/head/frozen#2", "twice/head/free#2", "twice/side#2", "out",
    ]  # fmt: skip


@pytest.mark.parametrize("first", [0, 1])
def test_keras_2_counts_the_calls_of_some_models_from_one(tmp_path: Path, first: int) -> None:
    inner = sequential(dense("d", 3, batch_input_shape=[None, 3]), name="inner")
    layers = [
        called(given("in", 3)),
        called(inner, call_2("in"), call_2(("inner", first))),
        called(dense("out", 2), call_2(("inner", first + 1))),
    ]
    config = functional(layers, inputs("in"), [["out", 0, 0], ["inner", first, 0]])
    tensors = {
        "inner/d": {"kernel": random(3, 3), "bias": random(3)},
        "out": {"kernel": random(3, 2), "bias": random(2)},
    }
    x = random(2, 3)
    result = interpret(graph_of(tmp_path, config, tensors, "h5", "2.4.0"), x)
    one = x @ tensors["inner/d"]["kernel"] + tensors["inner/d"]["bias"]
    two = one @ tensors["inner/d"]["kernel"] + tensors["inner/d"]["bias"]
    out = two @ tensors["out"]["kernel"] + tensors["out"]["bias"]
    for found, expected in zip(result, [out, one], strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_model_as_the_first_layer(tmp_path: Path) -> None:
    conv = layer("Conv2D", "c", filters=3, kernel_size=[2, 2], use_bias=False)
    base = sequential(given("x", 4, 5, 2), conv, layer("GlobalMaxPooling2D", "g"), name="base")
    tensors = {"base/c": {"kernel": random(2, 2, 2, 3)},
               "out": {"kernel": random(3, 2), "bias": random(2)}}  # fmt: skip
    graph = graph_of(tmp_path, sequential(base, dense("out", 2)), tensors)
    assert graph.operations[0].shape == (4, 5, 2)
    assert [o.name for o in graph.operations][1:] == [
        "base/c.channels_first", "base/c", "base/g", "out",
    ]  # fmt: skip


ARITHMETIC: dict[str, tuple[Any, Callable[[Array, Array], Array]]] = {
    "x + y": (("Add", "x", "y"), lambda x, y: x + y),
    "x - y": (("Subtract", "x", "y"), lambda x, y: x - y),
    "x * y": (("Multiply", "x", "y"), lambda x, y: x * y),
    "x / y": (("TrueDivide", "x", "y"), lambda x, y: x / y),
    "x + 3": (("Add", "x", 3.0), lambda x, y: x + 3),
    "3 - x": (("Subtract", 3, "x"), lambda x, y: 3 - x),
    "x - 3": (("Subtract", "x", 3), lambda x, y: x - 3),
    "x * 0.5": (("Multiply", "x", 0.5), lambda x, y: x * 0.5),
    "0.5 * x": (("Multiply", 0.5, "x"), lambda x, y: x * 0.5),
    "x / 4": (("TrueDivide", "x", 4), lambda x, y: x / 4),
    "4 / x": (("Divide", 4, "x"), lambda x, y: 4 / x),
}
OPERATORS_OF_2 = {"Add": "__operators__.add", "Subtract": "math.subtract",
                  "Multiply": "math.multiply", "TrueDivide": "math.truediv",
                  "Divide": "math.truediv"}  # fmt: skip


@pytest.mark.parametrize("kind", ["keras", "h5 of 3", "h5 of 2"])
@pytest.mark.parametrize("written", ARITHMETIC)
def test_arithmetic_between_layers(tmp_path: Path, written: str, kind: str) -> None:
    (class_name, first, second), function = ARITHMETIC[written]
    entry: Entry = {"class_name": class_name, "config": {"name": "op"}}
    call: Any = call_3(first, second)
    if kind == "keras":
        entry |= {"module": "keras.src.ops.numpy", "registered_name": class_name}
    elif kind == "h5 of 2":
        entry = layer("TFOpLambda", "op", function=OPERATORS_OF_2[class_name])
        other = [second, 0, 0] if isinstance(second, str) else second
        start = [first, 0, 0] if isinstance(first, str) else ["_CONSTANT_VALUE", -1, first]
        call = [*start, {"y": other, "name": None}]
    layers = [called(given("x", 3)), called(given("y", 3)), called(entry, call)]
    config = functional(layers, inputs("x", "y"), inputs("op"))
    version = "2.4.0" if kind == "h5 of 2" else "3.4.0"
    x, y = random(2, 3), random(2, 3)
    graph = graph_of(tmp_path, config, {}, kind.partition(" ")[0], version)
    (result,) = interpret(graph, {"x": x, "y": y})
    np.testing.assert_allclose(result, function(x, y), atol=1e-12)


def test_a_layer_that_is_not_known_is_opaque_where_its_shape_is_told(tmp_path: Path) -> None:
    layers = [
        called(given("in", 4, 3)),
        called(layer("EinsumDense", "e", equation="abc,cd->abd"), call_3("in")),
        called(dense("out", 1), call_3(value("e", shape=[None, 4, 5]))),
    ]
    tensors = {"e": {"kernel": random(3, 5)}, "out": {"kernel": random(5, 1), "bias": random(1)}}
    config = functional(layers, inputs("in"), inputs("out"))
    hidden = graph_of(tmp_path, config, tensors).operations[1]
    assert (hidden.kind, hidden.shape) == ("opaque", (4, 5))
    assert hidden.attributes == {"operator": "EinsumDense", "module": "e"}
    assert list(hidden.parameters) == ["layers/einsum_dense/vars/0"]
    # An .h5 does not tell that the class is Keras' own.
    with pytest.raises(UnsupportedOperation, match=r"holds EinsumDense \(layer 'e'\), which"):
        graph_of(tmp_path, config, tensors, "h5")
    layers[2]["inbound_nodes"] = [call_3("e")]
    with pytest.raises(UnsupportedOperation, match=r"holds EinsumDense \(layer 'e'\), which"):
        graph_of(tmp_path, config, tensors)


def test_an_input_shape_is_asked_of_one_input_only(tmp_path: Path) -> None:
    layers = [called(given("a", None)), called(given("b", None)),
              called(layer("Add", "m"), call_3([value("a"), value("b")]))]  # fmt: skip
    path = saved_keras(tmp_path, functional(layers, inputs("a", "b"), inputs("m")), {})
    with pytest.raises(InvalidArgument, match="has 2 inputs: pass no input_shape"):
        read_here(path, (3,))
    with pytest.raises(InvalidArgument, match=r"has the shape \(None,\): pass input_shape"):
        read_here(path)
    roles = {"cell/kernel": random(3, 16), "cell/recurrent_kernel": random(4, 16),
             "cell/bias": random(16)}  # fmt: skip
    untold = saved_keras(tmp_path, sequential(layer("LSTM", "l", units=4)), {"l": roles})
    with pytest.raises(InvalidArgument, match="does not tell the shape of its input"):
        read_here(untold)
    assert read_here(untold, (7, 3)).operations[0].shape == (7, 3)
    one = sequential(given("a", None, 3), layer("GlobalMaxPooling1D", "m"))
    assert read_here(saved_keras(tmp_path, one, {}), (7, 3)).operations[0].shape == (7, 3)


SIDE = called(given("a", 3))


@pytest.mark.parametrize(
    ("entry", "call", "error", "message"),
    [
        (dense("d", 3), call_3("a", training=True), UnsupportedOperation,
         r"Dense \(layer 'd'\) with the argument training 'True', which"),
        (layer("Dropout", "d"), call_3("a", True), UnsupportedOperation,
         "with the argument argument 1 'True'"),
        (layer("Add", "d"), call_3([value("a"), value("a"), 2.0]), UnsupportedOperation,
         r"with the argument argument 0"),
        (layer("Add", "d"), call_3([value("a")]), UnsupportedOperation, "of 1 inputs"),
        (layer("Subtract", "d"), call_3([value("a")] * 3), UnsupportedOperation, "of 3 inputs"),
        (layer("ReLU", "d"), call_3("a", "a"), UnsupportedOperation, "of 2 inputs"),
        (layer("Lambda", "d", function={"class_name": "__lambda__", "config": {"code": "4wEA"}}),
         call_3(value("a", shape=[None, 3])), UnsupportedOperation, r"holds Lambda \(layer 'd'\)"),
        (layer("Layer", "d") | {"module": "mine", "registered_name": "mine>Layer"}, call_3("a"),
         UnsupportedOperation, "holds mine>Layer: Layer"),
        (layer("Dense", "d") | {"module": "keras_hub.layers"}, call_3("a"), UnsupportedOperation,
         "holds keras_hub.layers: Dense"),
        (dense("d", 3), call_3(value("a", 0, 1)), UnreadableModel, "'a' does not give what is"),
        (dense("d", 3), call_3("nobody"), UnreadableModel, "are not reached from the model's"),
        (dense("d", 3), call_3("d"), UnreadableModel, "are not reached from the model's"),
        (dense("d", 3), call_3(), UnreadableModel, "'d' is called wrongly"),
        (dense("d", 3), "a", UnreadableModel, "describes a call wrongly"),
        (layer("ReLU", "a"), call_3("a"), UnreadableModel, "two layers have one name"),
        (layer("Dot", "d", axes=1), call_3([value("a"), value("a")]), UnsupportedOperation,
         r"holds Dot \(layer 'd'\)"),
        (layer("Flatten", "d"), call_3(value("a", shape=[None, 3])), None, ""),
    ],
)  # fmt: skip
def test_calls_that_are_refused(
    tmp_path: Path, entry: Entry, call: Any, error: type[InputError] | None, message: str
) -> None:
    config = functional([SIDE, called(entry, call)], inputs("a"), [["d", 0, 0]])
    if error is None:
        # A shape that is told must be the one that comes out.
        config["config"]["layers"].append(
            called(layer("ReLU", "r"), call_3(value("d", shape=[None, 4])))
        )
        config["config"]["output_layers"] = inputs("r")
        error, message = ShapeMismatch, r"gives the shape \(3,\), but the file says \(4,\)"
    tensors = {"d": {"kernel": random(3, 3), "bias": random(3)}}
    with pytest.raises(error, match=message):
        graph_of(tmp_path, config, tensors)


def test_tensors_in_another_order_than_keras_are_refused(tmp_path: Path) -> None:
    # The frozen one should come last.
    frozen = dense("one", 3, trainable=False)
    inner = sequential(given("x", 3), frozen, dense("two", 3), name="inner")
    tensors = {f"inner/{name}": {"kernel": random(3, 3), "bias": random(3)}
               for name in ("one", "two")}  # fmt: skip
    graph_of(tmp_path, sequential(given("in", 3), inner), tensors, "h5")
    wrong = {f"inner/{name}": tensors[f"inner/{name}"] for name in ("two", "one")}
    free = sequential(given("x", 3), dense("one", 3), dense("two", 3), name="inner")
    with pytest.raises(UnreadableModel, match="stands where a tensor of 'one' should"):
        graph_of(tmp_path, sequential(given("in", 3), free), wrong, "h5")
