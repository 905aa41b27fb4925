"""Operation graph -> network, without any reader; and the check of its values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest import check
from ingest.check import check_finite
from ingest.layers.build import build
from ingest.network import Network
from ingest.operations import Operation, OperationGraph, Parameter
from store.errors import (
    InputError,
    InvalidName,
    InvalidWeights,
    ShapeMismatch,
    UnsupportedOperation,
)


def linear(
    name: str, source: str, weight: Parameter, bias: Parameter | None = None, layout: str = "torch"
) -> Operation:
    target_first = layout == "torch"
    parameters = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return Operation(
        name,
        "linear",
        (source,),
        (weight.shape[0 if target_first else 1],),
        parameters,
        {"layout": "target_source" if target_first else "source_target"},
    )


def graph(*operations: Operation, shape: tuple[int, ...] = (3,)) -> OperationGraph:
    tensors: dict[str, Parameter] = {}
    for operation in operations:
        tensors |= {tensor.name: tensor for tensor in operation.parameters.values()}
    first = Operation("input", "input", shape=shape)
    return OperationGraph((first, *operations), tuple(tensors.values()), "test")


def tensor(name: str, *shape: int) -> Parameter:
    return Parameter.of(name, np.arange(1.0, 1 + np.prod(shape)).reshape(shape))


W, B, V = tensor("w", 2, 3), tensor("b", 2), tensor("v", 2, 4)


def test_layers_links_and_offsets() -> None:
    network = build(
        graph(
            linear("one", "input", W, B),
            Operation("drop", "dropout", ("one",), (2,)),
            Operation("relu", "relu", ("drop",), (2,)),
            Operation("elu", "elu", ("relu",), (2,), attributes={"alpha": 0.1}),
            linear("two", "elu", V, layout="keras"),
        )
    )
    one, two = network.layers[1:]
    assert (one.kind, one.shape, one.activation) == ("linear", (2,), "relu, elu(alpha=0.1)")
    assert (two.bias, two.sources, two.takes) == (None, (1,), (("layer", 1),))
    assert one.scalars["bias"].params.tolist() == [6, 7]
    assert one.bias is not None
    assert one.bias.dtype == np.float64
    blocks = network.dense
    assert [(block.source, block.target, block.first) for block in blocks] == [
        (0, 1, 0),
        (1, 2, 8),
    ]
    np.testing.assert_array_equal(network.dense[0].tile(range(3), range(2)), W.array().T)
    np.testing.assert_array_equal(network.dense[1].tile(range(2), range(4)), V.array())
    assert network.view == "shared"
    assert network.source == "test"


@pytest.mark.parametrize("layout", ["torch", "keras"])
def test_param_is_the_place_in_the_flat_vector(layout: str) -> None:
    weight = tensor("w", 2, 3) if layout == "torch" else tensor("w", 3, 2)
    network = build(graph(linear("one", "input", weight, B, layout)))
    flat = np.concatenate([parameter.array().ravel() for parameter in network.parameters])
    block = network.dense[0]
    for source in range(3):
        for target in range(2):
            place = block.first + source * block.source_stride + target * block.target_stride
            assert flat[place] == block.tile(range(source, source + 1), range(target, target + 1))


def test_the_input_keeps_its_shape() -> None:
    flat = Operation("flat", "flatten", ("input",), (6,))
    network = build(graph(flat, linear("one", "flat", tensor("w", 2, 6)), shape=(1, 2, 3)))
    assert network.layers[0].shape == (1, 2, 3)
    assert network.layers[0].size == 6


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (1 / 3, repr(1 / 3)), (-1e-7, "-1e-07"), ("tanh", "tanh")],
)
def test_every_digit_of_an_argument_is_kept(value: object, text: str) -> None:
    after = Operation("act", "elu", ("one",), (2,), attributes={"alpha": value})
    network = build(graph(linear("one", "input", W), after))
    assert network.layers[1].activation == f"elu(alpha={text})"


@pytest.mark.parametrize(
    ("operations", "error", "message"),
    [
        (
            [linear("one", "input", V)],
            ShapeMismatch,
            "The weight 'v' (2, 4) takes 4 values, but layer 'input' before it has 3 neurons.",
        ),
        (
            [linear("one", "input", W), linear("two", "one", V)],
            ShapeMismatch,
            "The weight 'v' (2, 4) takes 4 values, but layer 'one' before it has 2 neurons.",
        ),
        (
            [linear("one", "input", W, tensor("b", 3))],
            ShapeMismatch,
            "The bias 'b' has the shape (3,), but 'w' (2, 3) has 2 outputs.",
        ),
        (
            [linear("one", "input", tensor("w", 2, 3, 1))],
            ShapeMismatch,
            "The weight 'w' of layer 'one' has the shape (2, 3, 1), which is not a matrix.",
        ),
        (
            [linear("one", "input", tensor("w", 0, 3))],
            ShapeMismatch,
            "Layer 'one' has the shape (0,), which holds no neuron.",
        ),
        (
            [Operation("act", "relu", ("input",), (3,))],
            UnsupportedOperation,
            "The model holds no layer with learned links, so there is nothing to ingest.",
        ),
        (
            [Operation("odd", "fft", ("input",), (1,))],
            UnsupportedOperation,
            "The model holds fft (layer 'odd'), which Weightome cannot ingest.",
        ),
        (
            [linear("a\nb", "input", W)],
            InvalidName,
            "The layer name 'a\\nb' holds a control character or line break.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    operations: list[Operation], error: type[InputError], message: str
) -> None:
    with pytest.raises(error) as caught:
        build(graph(*operations))
    assert str(caught.value) == message


@pytest.mark.parametrize("first", ["linear", "relu"])
def test_an_activation_that_not_all_readers_see_is_a_layer(first: str) -> None:
    one, act = linear("one", "input", W), Operation("act", "relu", ("input",), (3,))
    network = build(graph(*((one, act) if first == "linear" else (act, one))))
    kinds = {layer.name: (layer.kind, layer.activation) for layer in network.layers}
    assert kinds == {
        "input": ("input", "identity"),
        "one": ("linear", "identity"),
        "act": ("activation", "relu"),
    }
    assert network.wire_count == 3


def test_no_tensor_is_dropped() -> None:
    whole = graph(linear("one", "input", W))
    network = build(replace(whole, parameters=(*whole.parameters, V)))
    assert [network.parameters[index].name for index in network.kept] == ["v"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("torch", "The weight from neuron 2 of layer 'input' to neuron 1 of layer 'one' is {}."),
        ("keras", "The weight from neuron 1 of layer 'input' to neuron 2 of layer 'one' is {}."),
    ],
)
def test_a_weight_that_is_no_number_is_named(value: float, layout: str, message: str) -> None:
    weights = np.ones((2, 3) if layout == "torch" else (3, 4))
    weights[1, 2] = value
    network = build(graph(linear("one", "input", Parameter.of("w", weights), layout=layout)))
    with pytest.raises(InvalidWeights) as caught:
        check_finite(network)
    assert str(caught.value) == message.format(value)


def test_a_bias_that_is_no_number_is_named() -> None:
    bias = Parameter.of("b", np.array([0, np.nan], np.float32))
    with pytest.raises(InvalidWeights, match=r"^The bias of neuron 1 of layer 'one' is nan\.$"):
        check_finite(build(graph(linear("one", "input", W, bias))))


def counted(shape: tuple[int, int], reads: list[int]) -> Parameter:
    def read(start: int, stop: int) -> NDArray[Any]:
        reads.append(stop - start)
        return np.zeros((stop - start, shape[1]))

    return Parameter("w", shape, "float64", read)


@pytest.mark.parametrize(("columns", "step"), [(3, 33), (30, 3), (1000, 1)])
def test_the_check_reads_blocks_and_every_tensor_once(
    columns: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "BLOCK", 100)
    reads: list[int] = []
    weight = counted((columns, columns), reads)
    twice = build(
        graph(linear("one", "input", weight), linear("two", "one", weight), shape=(columns,))
    )
    assert len(twice.links) == 2
    assert not reads
    check_finite(twice)
    assert sum(reads) == columns
    assert max(reads) <= step


def test_a_network_is_built_without_reading_weights() -> None:
    reads: list[int] = []
    huge = counted((60_000, 50_000), reads)
    network: Network = build(graph(linear("one", "input", huge), shape=(50_000,)))
    assert network.link_count == 3 * 10**9
    assert not reads
