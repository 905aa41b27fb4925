"""A live module -> operations -> network: names, values, what is refused, what is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ingest.layers.build import build
from ingest.network import DenseLinks, Network
from ingest.readers import read
from store.errors import (
    InvalidArgument,
    InvalidWeights,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
)

Matrix = NDArray[np.float64]

ACTIVATIONS: dict[str, Callable[[Matrix], Matrix]] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "leaky_relu(negative_slope=0.2)": lambda x: np.where(x > 0, x, 0.2 * x),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "softplus(beta=2, threshold=20)": lambda x: np.log1p(np.exp(2 * x)) / 2,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
}


def forward(network: Network, samples: Matrix) -> Matrix:
    """The last layer's activations, from layers and links alone."""
    values = [samples.reshape(len(samples), -1)]
    for index, layer in enumerate(network.layers[1:], 1):
        total: Matrix = np.zeros((len(samples), layer.size))
        for block in dense(network):
            if block.target == index:
                weights = block.tile(range(block.sources), range(block.targets))
                total = total + values[block.source] @ weights
        if layer.bias is not None:
            total = total + layer.bias
        for name in (
            layer.activation.split(", ") if "(" not in layer.activation else [layer.activation]
        ):
            total = ACTIVATIONS[name](total)
        values.append(total)
    return values[-1]


def dense(network: Network) -> list[DenseLinks]:
    """The links of a network that has no others."""
    assert all(isinstance(block, DenseLinks) for block in network.links)
    return [block for block in network.links if isinstance(block, DenseLinks)]


def names(network: Network) -> list[str]:
    return [layer.name for layer in network.layers]


class Classifier(nn.Module):
    """A block that is called twice, functional activations, dropout in place."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.first = nn.Linear(6, 5)
        self.block = nn.Sequential(nn.Linear(5, 5), nn.LeakyReLU(0.2))
        self.last = nn.Linear(5, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.gelu(self.first(self.flat(x)))
        hidden = functional.dropout(self.block(hidden), 0.5, self.training)
        return torch.softmax(self.last(self.block(hidden)), -1)


@pytest.mark.parametrize("shape", [None, (6,), (2, 3), (1, 2, 3)])
def test_layers_are_called_by_their_path(shape: tuple[int, ...] | None) -> None:
    network = build(read(Classifier(), shape))
    assert names(network) == ["input", "first", "block.0", "block.0#2", "last"]
    assert network.layers[0].shape == (shape or (6,))
    assert [layer.activation for layer in network.layers] == [
        "identity",
        "gelu",
        "leaky_relu(negative_slope=0.2)",
        "leaky_relu(negative_slope=0.2)",
        "softmax",
    ]
    assert [layer.sources for layer in network.layers] == [(), (0,), (1,), (2,), (3,)]
    assert network.source == "torch.nn.Module"


def test_a_layer_called_twice_keeps_its_parameter() -> None:
    network = build(read(Classifier()))
    _, first, second, _ = dense(network)
    assert first.weights is second.weights
    assert first.first == second.first == 6 * 5 + 5
    biases = [network.layers[number].scalars["bias"].params.tolist() for number in (2, 3)]
    assert biases == [list(range(35 + 25, 65))] * 2
    assert [parameter.name for parameter in network.parameters] == list(Classifier().state_dict())


def test_tied_weights_are_one_parameter_with_two_keys() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    network = build(read(model))
    assert names(network) == ["input", "0", "2"]
    assert [(tensor.name, tensor.aliases) for tensor in network.parameters] == [
        ("0.weight", ("2.weight",)),
        ("0.bias", ()),
        ("2.bias", ()),
    ]
    assert [block.first for block in dense(network)] == [0, 0]


def test_values_are_those_of_the_module() -> None:
    model = Classifier().to(torch.float64)
    network = build(read(model))
    state = model.state_dict()
    for block in dense(network):
        expected = state[block.weights.name].numpy().T
        whole = block.tile(range(block.sources), range(block.targets))
        np.testing.assert_array_equal(whole, expected)
        np.testing.assert_array_equal(block.tile(range(1, 3), range(2)), expected[1:3, :2])
    np.testing.assert_array_equal(network.layers[1].bias, state["first.bias"].numpy())


@pytest.mark.parametrize(
    "model",
    [
        Classifier(),
        nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 4), nn.Softsign(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.ReLU(), nn.Linear(4, 2), nn.Tanhshrink()),
        nn.Sequential(nn.Linear(6, 4), nn.Softplus(2.0), nn.Dropout(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Identity(), nn.Linear(4, 2)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_forward_from_links_equals_torch(model: nn.Module) -> None:
    samples = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.eval()(samples).double().numpy()
    given = forward(build(read(model)), samples.double().numpy())
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.ReLU(), "relu"),
        (nn.ReLU6(), "relu6"),
        (nn.LeakyReLU(), "leaky_relu(negative_slope=0.01)"),
        (nn.ELU(0.5), "elu(alpha=0.5)"),
        (nn.SELU(), "selu"),
        (nn.CELU(2), "celu(alpha=2)"),
        (nn.GELU(), "gelu"),
        (nn.GELU("tanh"), "gelu(approximate=tanh)"),
        (nn.SiLU(), "silu"),
        (nn.Mish(), "mish"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Tanh(), "tanh"),
        (nn.Softplus(), "softplus(beta=1, threshold=20)"),
        (nn.Hardtanh(), "hardtanh(min_val=-1, max_val=1)"),
        (nn.Hardswish(), "hardswish"),
        (nn.Hardsigmoid(), "hardsigmoid"),
        (nn.Softsign(), "softsign"),
        (nn.LogSigmoid(), "logsigmoid"),
        (nn.Softmax(1), "softmax"),
        (nn.LogSoftmax(-1), "log_softmax"),
        (nn.Softmin(1), "softmin"),
        (nn.Tanhshrink(), "tanhshrink"),
        (nn.Softshrink(), "softshrink(lambd=0.5)"),
        (nn.Hardshrink(0.25), "hardshrink(lambd=0.25)"),
        (nn.Threshold(0.1, 20), "threshold(threshold=0.1, value=20)"),
        (nn.Identity(), "identity"),
        (nn.Dropout(), "identity"),
        (nn.AlphaDropout(), "identity"),
        (nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Tanh()), "relu, tanh"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(), nn.ReLU()), "relu"),
    ],
    ids=str,
)
def test_activations(module: nn.Module, text: str) -> None:
    network = build(read(nn.Sequential(nn.Linear(3, 4), module)))
    assert [layer.activation for layer in network.layers] == ["identity", text]


class Forward(nn.Module):
    """Two linear layers and whatever forward a test wants."""

    def __init__(self, function: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def changed_in_place(model: Any, x: torch.Tensor) -> Any:
    hidden = model.a(x)
    hidden.relu_()
    model.b.weight.abs()
    return model.b(hidden)


def test_a_change_in_place_is_seen_by_later_readers() -> None:
    network = build(read(Forward(changed_in_place)))
    assert [layer.activation for layer in network.layers] == ["identity", "relu", "identity"]


def test_functional_layers_are_called_by_their_parameter() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixing = nn.Parameter(torch.ones(2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.linear(x.flatten(1), self.mixing)

    assert names(build(read(Functional(), (3,)))) == ["input", "mixing"]
    with pytest.raises(InvalidArgument, match="pass input_shape"):
        read(Functional())


def test_one_activation_called_twice_is_one() -> None:
    model = Forward(lambda m, x: (m.a(x.relu()), m.b(x.relu())))
    assert [layer.activation for layer in build(read(model)).layers] == [
        "relu",
        "identity",
        "identity",
    ]


def test_a_branch_gives_two_layers_of_one_source() -> None:
    network = build(read(Forward(lambda m, x: (m.a(x), m.b(x)))))
    assert [layer.sources for layer in network.layers] == [(), (0,), (0,)]


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (
            nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)),
            None,
            "The model holds batch_norm (layer '1') with training=True, which Weightome cannot "
            "ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x) + torch.rand(4))),
            None,
            "The model holds rand (outside any layer), which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(torch.cat([m.a(x), x]))),
            None,
            "The model holds cat (outside any layer) that mixes samples (to the shape (4, 4)), "
            "which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(x + m.a(x)[0])),
            None,
            "The model holds select (outside any layer) that mixes samples (to the shape (4,)), "
            "which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x)[:2])),
            None,
            "The model holds slice (outside any layer) that mixes samples (to the shape (2, 4)), "
            "which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x)).sum()),
            None,
            "The model holds sum (outside any layer) over the batch axis, which Weightome cannot "
            "ingest.",
        ),
        (
            Forward(lambda m, x: m.b(functional.dropout(m.a(x), 0.5))),
            None,
            "The model holds dropout (outside any layer) with train=True, which Weightome cannot "
            "ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x).softmax(0))),
            None,
            "The model holds softmax (outside any layer) over the batch axis, which Weightome "
            "cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x)).reshape(1, -1)),
            None,
            "The model holds reshape (outside any layer) that mixes samples (to the shape "
            "(1, 8)), which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: functional.linear(m.a(x), m.b.weight.abs(), m.b.bias)),
            None,
            "The model holds linear (outside any layer) whose weight is computed or not in the "
            "state dict, which Weightome cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x).double().float())),
            None,
            "The model holds to (outside any layer) from float32 to float64, which Weightome "
            "cannot ingest.",
        ),
        (
            Forward(lambda m, x: m.b(m.a(x)) if x.sum() > 0 else x),
            (4,),
            "torch.export cannot trace the model with an input of shape (2, 4): Could not guard",
        ),
        (nn.Sequential(nn.ReLU()), None, "The model has no weights"),
    ],
)
def test_what_is_not_dense_is_refused_by_name(
    model: nn.Module, shape: tuple[int, ...] | None, message: str, capfd: Any
) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        read(model, shape)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (nn.Conv2d(1, 2, 3), "Conv2d"),
        (nn.Embedding(5, 2), "Embedding"),
        (nn.LSTM(3, 2), "LSTM"),
        (nn.GRUCell(3, 2), "GRUCell"),
        (nn.MultiheadAttention(4, 2), "MultiheadAttention"),
    ],
)
def test_only_a_linear_tells_the_shape_of_the_input(first: nn.Module, name: str) -> None:
    message = rf"{name} \(layer '0'\), which does not tell .*: pass input_shape, without the batch"
    with pytest.raises(InvalidArgument, match=message):
        read(nn.Sequential(first, nn.Linear(8, 2)))


def test_a_norm_before_the_first_linear_has_its_shape() -> None:
    assert read(nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2))).operations[0].shape == (3,)


def test_a_tensor_that_takes_no_part_is_kept() -> None:
    graph = read(Forward(lambda m, x: m.a(x)))
    assert [tensor.name for tensor in graph.parameters] == [
        "a.weight", "a.bias", "b.weight", "b.bias",
    ]  # fmt: skip


def test_the_module_is_left_as_it_was() -> None:
    model = Classifier()
    model(torch.ones(2, 6)).sum().backward()
    before = [(id(tensor), tensor.grad) for tensor in model.parameters()]
    build(read(model))
    assert [(id(tensor), tensor.grad) for tensor in model.parameters()] == before


def test_training_flags_are_as_before_also_after_an_error() -> None:
    def raising(model: Any, x: torch.Tensor) -> torch.Tensor:
        assert not model.training
        assert not model.a.training
        raise RuntimeError("no way\nto see this")

    for function in (raising, lambda m, x: m.b(m.a(x))):
        model = Forward(function).train()
        model.b.eval()
        try:
            read(model)
        except UnsupportedOperation as error:
            assert "no way; if its input has another shape, pass input_shape." in str(error)
            assert "see this" not in str(error)
        assert [child.training for child in model.modules()] == [True, True, False]


def test_wrapped_modules_keep_their_keys_and_lose_the_prefix_of_names() -> None:
    plain = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    compiled: Any = torch.compile(plain)
    for wrapped in (compiled, nn.DataParallel(plain)):
        network = build(read(wrapped))
        assert [tensor.name for tensor in network.parameters] == list(wrapped.state_dict())
        assert names(network) == ["input", "0"]


def test_a_bare_layer_and_one_called_input_have_names_of_their_own() -> None:
    assert names(build(read(nn.Linear(3, 2)))) == ["input", "linear"]
    model = nn.Sequential()
    model.add_module("input", nn.Linear(3, 2))
    assert names(build(read(model))) == ["input", "input#2"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_keep_their_name_and_their_value(dtype: torch.dtype) -> None:
    model = nn.Linear(5, 3).to(dtype)
    network = build(read(model))
    assert network.parameters[0].dtype == str(dtype).removeprefix("torch.")
    np.testing.assert_array_equal(
        dense(network)[0].tile(range(5), range(3)), model.weight.detach().double().numpy().T
    )


def test_rows_are_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []
    original = torch.Tensor.cpu

    def counted(tensor: torch.Tensor) -> torch.Tensor:
        moved.append(tensor.numel())
        return original(tensor)

    network = build(read(nn.Linear(50, 40)))
    monkeypatch.setattr(torch.Tensor, "cpu", counted)
    dense(network)[0].tile(range(50), range(3, 5))
    assert moved == [2 * 50]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.LazyLinear(3), InvalidWeights, "has no values yet"),
        (nn.Linear(3, 2, device="meta"), InvalidWeights, "meta device"),
        (nn.Linear(3, 2, dtype=torch.complex64), UnsupportedOperation, "no weights"),
        ([nn.Linear(3, 2)], UnreadableModel, "not an object of list"),
    ],
)
def test_modules_without_float_values(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(model)


@pytest.mark.parametrize(
    ("buffer", "kept"),
    [
        (torch.tensor(7), np.array(7)),
        (torch.tensor([[1, 200]], dtype=torch.uint8), np.array([[1, 200]])),
        (torch.tensor([True, False]), np.array([True, False])),
    ],
)
def test_buffers_of_integers_and_truth_values_are_kept(
    buffer: torch.Tensor, kept: NDArray[Any]
) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_buffer("extra", buffer)
    (tensor,) = (each for each in read(model).parameters if each.name == "extra")
    assert tensor.dtype == str(buffer.dtype).removeprefix("torch.")
    assert tensor.array().dtype == kept.dtype
    np.testing.assert_array_equal(tensor.array(), kept)


def test_complex_buffers_are_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    model.register_buffer("phases", torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(InvalidWeights, match="'phases' holds complex64"):
        read(model)


@pytest.mark.parametrize("shape", [(), (0,), (2.0,), (-1, 3), (True,)])
def test_input_shapes_are_checked(shape: Any) -> None:
    with pytest.raises(InvalidArgument, match="positive whole numbers"):
        read(nn.Linear(3, 2), shape)


def test_an_input_shape_of_another_size_does_not_fit() -> None:
    with pytest.raises((UnsupportedOperation, ShapeMismatch), match=r"\(2, 4\)"):
        build(read(nn.Linear(3, 2), (4,)))


def test_activation_is_for_files_without_a_graph() -> None:
    with pytest.raises(InvalidArgument, match="tells its activations itself"):
        read(nn.Linear(3, 2), activation="relu")
    with pytest.raises(InvalidArgument, match="There is no activation 'linear'"):
        read(nn.Linear(3, 2), activation="linear")
