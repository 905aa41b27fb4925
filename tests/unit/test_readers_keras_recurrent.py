"""Keras' recurrent layers and attention against torch, embeddings and what masks do."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from ingest.operations import Parameter
from ingest.readers.keras.values import reshaped
from store.errors import InputError, ShapeMismatch, UnsupportedOperation
from tests.interpreter import interpret
from tests.keras_files import (
    Entry,
    call_2,
    call_3,
    called,
    computed,
    given,
    graph_of,
    layer,
    sequential,
    value,
)
from tests.keras_files import (
    functional as functional_model,
)

RANDOM = np.random.default_rng(12)

Array = NDArray[np.float64]
Roles = Mapping[str, Array]

# Keras' order of the gates -> torch's.
ORDER = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "SimpleRNN": (0,)}
MODULES = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}


def random(*shape: int) -> Array:
    return RANDOM.normal(size=shape)


def roles_of(class_name: str, features: int, size: int, bias: bool = True) -> dict[str, Array]:
    many = len(ORDER[class_name]) * size
    found = {"kernel": random(features, many), "recurrent_kernel": random(size, many)}
    if bias:
        found["bias"] = random(2, many) if class_name == "GRU" else random(many)
    return found


def below(folder: str, roles: Roles) -> dict[str, Array]:
    return {f"{folder}/{role}": array for role, array in roles.items()}


def states(class_name: str, x: Array, roles: Roles, backwards: bool = False) -> Array:
    """torch's hidden states of all steps, each at its step."""
    size = roles["recurrent_kernel"].shape[0]

    def turned(array: Array) -> torch.Tensor:
        parts = np.split(array, len(ORDER[class_name]), -1)
        return torch.as_tensor(np.concatenate([parts[i] for i in ORDER[class_name]], -1).T)

    module = MODULES[class_name](x.shape[-1], size, batch_first=True, dtype=torch.float64)
    bias = roles.get("bias", np.zeros(roles["kernel"].shape[1]))
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    module.load_state_dict(
        {
            "weight_ih_l0": turned(roles["kernel"]),
            "weight_hh_l0": turned(roles["recurrent_kernel"]),
            "bias_ih_l0": turned(both[0]),
            "bias_hh_l0": turned(both[1]),
        }
    )
    with torch.no_grad():
        sequence = torch.as_tensor(x[:, ::-1].copy() if backwards else x)
        found: Array = module(sequence)[0].numpy()
    return found[:, ::-1] if backwards else found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("class_name", ORDER)
def test_one_direction(
    tmp_path: Path, class_name: str, sequence: bool, backwards: bool, bias: bool
) -> None:
    x, roles = random(2, 5, 3), roles_of(class_name, 3, 4, bias)
    entry = layer(
        class_name, "r", units=4, return_sequences=sequence, go_backwards=backwards, use_bias=bias,
        **({"reset_after": True} if class_name == "GRU" else {}),
    )  # fmt: skip
    expected = states(class_name, x, roles, backwards)
    if sequence:
        # Keras gives states in the order in which they were computed.
        expected = expected[:, ::-1] if backwards else expected
    else:
        expected = expected[:, 0 if backwards else -1]
    kind = "h5" if bias else "keras"
    result = computed(tmp_path, x, [entry], {"r": below("cell", roles)}, kind)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_a_gru_that_resets_before_its_product(tmp_path: Path, bias: bool) -> None:
    x, roles = random(2, 5, 3), roles_of("GRU", 3, 4, bias=False)
    if bias:
        roles["bias"] = random(12)
    entry = layer("GRU", "r", units=4, reset_after=False, use_bias=bias)
    result = computed(tmp_path, x, [entry], {"r": below("cell", roles)}, "h5", "2.4.0")
    hidden = np.zeros((2, 4))

    def sigmoid(a: Array) -> Array:
        return 1 / (1 + np.exp(-a))

    own_z, own_r, own_n = np.split(roles["recurrent_kernel"], 3, -1)
    for step in range(5):
        z, r, n = np.split(x[:, step] @ roles["kernel"] + roles.get("bias", 0.0), 3, -1)
        update, reset = sigmoid(z + hidden @ own_z), sigmoid(r + hidden @ own_r)
        hidden = update * hidden + (1 - update) * np.tanh(n + (reset * hidden) @ own_n)
    np.testing.assert_allclose(result, hidden, atol=1e-12)


def test_the_tensors_of_a_gru_are_the_files(tmp_path: Path) -> None:
    entry = layer("GRU", "r", units=4, reset_after=True)
    roles = roles_of("GRU", 3, 4)
    graph = graph_of(tmp_path, sequential(given("in", 5, 3), entry), {"r": below("cell", roles)})
    gru = graph.operations[1]
    assert [gru.parameters[role].name for role in ("weight_ih", "weight_hh", "bias_ih")] == [
        f"layers/gru/cell/vars/{number}" for number in range(3)
    ]
    assert gru.attributes == {
        "layout": "source_target",
        "reverse": False,
        "gates": ("z", "r", "n"),
        "reset_after": True,
        "biases_joined": True,
    }
    np.testing.assert_array_equal(gru.parameters["bias_ih"].read(1, 2), roles["bias"][1:])


@pytest.mark.parametrize("kind", ["h5", "keras"])
@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("class_name", ["LSTM", "GRU"])
def test_both_directions(
    tmp_path: Path, class_name: str, mode: str, sequence: bool, kind: str
) -> None:
    x = random(2, 5, 3)
    forward, backward = roles_of(class_name, 3, 4), roles_of(class_name, 3, 4)
    inner = layer(class_name, "r", units=4, return_sequences=sequence)
    if class_name == "GRU":
        inner["config"]["reset_after"] = True
    entry = layer("Bidirectional", "b", layer=inner, merge_mode=mode)
    tensors = {
        "b": {**below("forward_layer/cell", forward), **below("backward_layer/cell", backward)}
    }
    one, two = states(class_name, x, forward), states(class_name, x, backward, backwards=True)
    if not sequence:
        one, two = one[:, -1], two[:, 0]
    expected = {
        "concat": np.concatenate([one, two], -1),
        "sum": one + two,
        "mul": one * two,
        "ave": (one + two) / 2,
    }[mode]
    result = computed(tmp_path, x, [entry], tensors, kind)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_states_go_from_one_layer_to_another(tmp_path: Path) -> None:
    one, two = roles_of("LSTM", 3, 4), roles_of("LSTM", 2, 4)
    layers = [
        called(given("a", 5, 3)),
        called(given("b", 6, 2)),
        called(layer("LSTM", "enc", units=4, return_state=True), call_3("a")),
        called(
            layer("LSTM", "dec", units=4, return_sequences=True, return_state=True),
            call_3("b", initial_state=[value("enc", 0, 1), value("enc", 0, 2)], mask=None),
        ),
    ]
    config = functional_model(
        layers, [["a", 0, 0], ["b", 0, 0]], [["dec", 0, 0], ["dec", 0, 1], ["dec", 0, 2]]
    )
    tensors = {"enc": below("cell", one), "dec": below("cell", two)}
    x, y = random(2, 5, 3), random(2, 6, 2)
    result = interpret(graph_of(tmp_path, config, tensors), {"a": x, "b": y})
    hidden = torch.zeros(2, 4, dtype=torch.float64)
    cell = hidden
    steps = []
    for roles, sequence in ((one, x), (two, y)):
        kernel, own, bias = (torch.as_tensor(array) for array in roles.values())
        for step in torch.as_tensor(sequence).unbind(1):
            i, f, g, o = (step @ kernel + hidden @ own + bias).chunk(4, -1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            steps.append(hidden)
    for found, expected in zip(result, [torch.stack(steps[5:], 1), hidden, cell], strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


def test_a_layer_at_each_step(tmp_path: Path) -> None:
    x, kernel, bias = random(2, 5, 3), random(3, 4), random(4)
    inner = layer("Dense", "dense", units=4, activation="softmax")
    entries = [
        layer("TimeDistributed", "t", layer=inner),
        layer("TimeDistributed", "d", layer=layer("Dropout", "drop", rate=0.1)),
    ]
    result = computed(tmp_path, x, entries, {"t": {"layer/kernel": kernel, "layer/bias": bias}})
    expected = torch.as_tensor(x @ kernel + bias).softmax(-1)
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


def attention_tensors(features: int, other: int, heads: int, size: int, wide: int, out: int) -> Any:
    return {
        "query_dense/kernel": random(features, heads, size),
        "query_dense/bias": random(heads, size),
        "key_dense/kernel": random(other, heads, size), "key_dense/bias": random(heads, size),
        "value_dense/kernel": random(other, heads, wide), "value_dense/bias": random(heads, wide),
        "output_dense/kernel": random(heads, wide, out), "output_dense/bias": random(out),
    }  # fmt: skip


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["h5", "keras"])
def test_attention_of_several_heads(tmp_path: Path, kind: str, causal: bool) -> None:
    x, y, tensors = random(2, 5, 6), random(2, 4, 7), attention_tensors(6, 7, 2, 3, 4, 8)
    entry = layer("MultiHeadAttention", "m", num_heads=2, key_dim=3, value_dim=4, output_shape=[8])
    call: Any = call_3("a", "b", use_causal_mask=causal, query_mask=None)
    if kind == "h5":
        call = call_2("a", value=["b", 0, 0], use_causal_mask=causal)
    layers = [called(given("a", 5, 6)), called(given("b", 4, 7)), called(entry, call)]
    config = functional_model(layers, [["a", 0, 0], ["b", 0, 0]], [["m", 0, 0]])
    graph = graph_of(tmp_path, config, {"m": tensors}, kind)
    (result,) = interpret(graph, {"a": x, "b": y})

    def part(name: str, sequence: Array) -> torch.Tensor:
        made = np.einsum("btf,fhd->bhtd", sequence, tensors[f"{name}_dense/kernel"])
        return torch.as_tensor(made + tensors[f"{name}_dense/bias"][:, None])

    attended = functional.scaled_dot_product_attention(
        part("query", x), part("key", y), part("value", y), is_causal=causal, scale=1 / sqrt(3)
    )
    expected = np.einsum("bhtd,hdo->bto", attended.numpy(), tensors["output_dense/kernel"])
    np.testing.assert_allclose(result, expected + tensors["output_dense/bias"], atol=1e-12)
    # The tensors are the file's; the matrices are the same entries row by row.
    assert [tensor.shape for tensor in graph.parameters if tensor.shape[0] == 6] == [(6, 2, 3)]
    weight = next(o for o in graph.operations if o.name == "m.query").parameters["weight"]
    assert weight.name in {tensor.name for tensor in graph.parameters}
    flat = tensors["query_dense/kernel"].reshape(6, 6)
    np.testing.assert_array_equal(weight.read(2, 4), flat[2:4])


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@settings(deadline=None)
@for_all(left=SHAPES, right=SHAPES, data=st.data())
def test_other_shapes_of_the_same_entries(left: list[int], right: list[int], data: Any) -> None:
    # The same factors, put together in two ways.
    shape, other = (*left, int(np.prod(right))), (int(np.prod(left)), *right)
    array = np.arange(float(np.prod(shape))).reshape(shape)
    found = reshaped(Parameter.of("p", array), other)
    stop = data.draw(st.integers(0, other[0]))
    start = data.draw(st.integers(0, stop))
    np.testing.assert_array_equal(found.read(start, stop), array.reshape(other)[start:stop])


def test_words_are_looked_up(tmp_path: Path) -> None:
    table, kernel = random(7, 3), random(2, 3, 4)
    layers = [
        layer("Reshape", "shape", target_shape=[6]),
        layer("Embedding", "words", input_dim=7, output_dim=3, mask_zero=True),
        layer("Conv1D", "conv", filters=4, kernel_size=[2], use_bias=False),
        layer("GlobalMaxPooling1D", "most"),
    ]
    tensors = {"words": {"embeddings": table}, "conv": {"kernel": kernel}}
    graph = graph_of(tmp_path, sequential(given("in", 2, 3, dtype="float32"), *layers), tensors)
    assert graph.operations[0].attributes == {"integers": True}
    x = RANDOM.integers(0, 7, (2, 2, 3))
    (result,) = interpret(graph, x)
    words = table[x.reshape(2, 6)]
    expected = np.stack([words[:, i] @ kernel[0] + words[:, i + 1] @ kernel[1] for i in range(5)])
    np.testing.assert_allclose(result, expected.max(0), atol=1e-12)


LSTM: Entry = layer("LSTM", "r", units=4)


@pytest.mark.parametrize(
    ("entry", "masked", "error", "message"),
    [
        (LSTM, True, UnsupportedOperation, r"LSTM \(layer 'r'\) of a masked sequence, which"),
        (layer("GlobalAveragePooling1D", "r"), True, UnsupportedOperation, "of a masked sequence"),
        (layer("Softmax", "r"), True, UnsupportedOperation, "of a masked sequence"),
        (layer("LSTM", "r", units=4, stateful=True), False, UnsupportedOperation, "with stateful"),
        (layer("LSTM", "r", units=4, recurrent_activation="hard_sigmoid"), False,
         UnsupportedOperation, "with the activation 'hard_sigmoid', not 'sigmoid'"),
        (layer("LSTM", "r", units=4, activation="relu"), False, UnsupportedOperation,
         "with the activation 'relu', not 'tanh'"),
        (layer("LSTM", "r", units=5), False, ShapeMismatch, r"not \(3, 20\)"),
        (layer("Bidirectional", "r", layer=LSTM, merge_mode=None), False, UnsupportedOperation,
         "with the merge_mode 'None'"),
        (layer("Bidirectional", "r", layer=layer("ConvLSTM2D", "x")), False, UnsupportedOperation,
         "around ConvLSTM2D"),
        (layer("TimeDistributed", "r", layer=layer("Conv1D", "x")), False, UnsupportedOperation,
         "around Conv1D"),
        (layer("RNN", "r", cell=layer("LSTMCell", "x")), False, UnsupportedOperation, "holds RNN"),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, entry: Entry, masked: bool, error: type[InputError], message: str
) -> None:
    words = layer("Embedding", "words", input_dim=7, output_dim=3, mask_zero=masked)
    roles = below("cell", roles_of("LSTM", 3, 4))
    if entry["class_name"] == "Bidirectional":
        roles = {f"{way}_layer/{role}": array for way in ("forward", "backward")
                 for role, array in roles.items()}  # fmt: skip
    elif "units" not in entry["config"]:
        roles = {"layer/kernel": random(2, 3, 4), "layer/bias": random(4)}
        roles = roles if entry["class_name"] == "TimeDistributed" else {}
    tensors = {"words": {"embeddings": random(7, 3)}, "r": roles}
    with pytest.raises(error, match=message):
        graph_of(tmp_path, sequential(given("in", 6), words, entry), tensors)
