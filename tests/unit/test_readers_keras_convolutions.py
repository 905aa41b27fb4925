"""Keras' convolutions, pooling and padding against torch: values, tensors, order of the axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ingest.readers.keras.calls import Call
from ingest.readers.keras.config import Layer
from ingest.readers.keras.convolutions import Windows
from ingest.readers.keras.values import Operations, Step
from store.errors import ShapeMismatch
from tests.interpreter import interpret
from tests.keras_files import computed, given, graph_of, last, layer, sequential

RANDOM = np.random.default_rng(11)

Array = NDArray[np.float64]
Function = Callable[..., Tensor]


def random(*shape: int) -> Array:
    return RANDOM.normal(size=shape)


def same_padding(lengths: tuple[int, ...], kernel: tuple[int, ...], stride: int, apart: int) -> Any:
    """TensorFlow's rule, as its manual gives it."""
    flat: list[int] = []
    for length, width in reversed(list(zip(lengths, kernel, strict=True))):
        reach = (width - 1) * apart + 1
        left_over = length % stride or stride
        more = max(reach - left_over, 0)
        flat += [more // 2, more - more // 2]
    return flat


CONVOLUTIONS: tuple[Function, ...] = (functional.conv1d, functional.conv2d, functional.conv3d)


@pytest.mark.parametrize("kind", ["h5", "keras"])
@pytest.mark.parametrize(("stride", "apart"), [(1, 1), (2, 1), (3, 1), (1, 2)])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("lengths", "kernel"), [((11,), (3,)), ((9, 8), (3, 2)), ((6, 5, 7), (2, 3, 2))]
)
def test_convolutions(
    tmp_path: Path,
    lengths: tuple[int, ...],
    kernel: tuple[int, ...],
    padding: str,
    stride: int,
    apart: int,
    kind: str,
) -> None:
    x, weight, bias = random(2, *lengths, 4), random(*kernel, 2, 6), random(6)
    entry = layer(
        f"Conv{len(lengths)}D", "c", filters=6, kernel_size=list(kernel), groups=2,
        strides=[stride] * len(lengths), dilation_rate=[apart] * len(lengths), padding=padding,
        activation="relu",
    )  # fmt: skip
    result = computed(tmp_path, x, [entry], {"c": {"kernel": weight, "bias": bias}}, kind)
    more = same_padding(lengths, kernel, stride, apart) if padding == "same" else []

    def expected(value: Tensor) -> Tensor:
        turned = torch.as_tensor(weight).movedim((-1, -2), (0, 1))
        value = functional.pad(value, more)
        return CONVOLUTIONS[len(lengths) - 1](
            value, turned, torch.as_tensor(bias), stride, dilation=apart, groups=2
        ).relu()

    np.testing.assert_allclose(result, last(expected, x), atol=1e-12)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_a_convolution_of_sequences(tmp_path: Path, padding: str) -> None:
    x, weight = random(2, 9, 3), random(3, 3, 4)
    entry = layer("Conv1D", "c", filters=4, kernel_size=[3], dilation_rate=[2], padding=padding,
                  activation="softmax", use_bias=False)  # fmt: skip
    more = {"valid": (0, 0), "same": (2, 2), "causal": (4, 0)}[padding]
    result = computed(tmp_path, x, [entry], {"c": {"kernel": weight}})

    def expected(value: Tensor) -> Tensor:
        turned = torch.as_tensor(weight).permute(2, 1, 0)
        return functional.conv1d(functional.pad(value, more), turned, dilation=2).softmax(1)

    np.testing.assert_allclose(result, last(expected, x), atol=1e-12)


@pytest.mark.parametrize("kind", ["h5", "keras"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("lengths", [(9,), (9, 6)])
def test_depthwise_and_separable_convolutions(
    tmp_path: Path, lengths: tuple[int, ...], padding: str, kind: str
) -> None:
    count = len(lengths)
    x, kernel, point = random(2, *lengths, 3), (3,) * count, random(*(1,) * count, 6, 4)
    one, bias_of_one = random(*kernel, 3, 2), random(6)
    two, bias_of_two = random(*kernel, 6, 1), random(4)
    options = {"kernel_size": list(kernel), "strides": [2] * count, "padding": padding}
    layers = [
        layer(f"DepthwiseConv{count}D", "d", depth_multiplier=2, activation="tanh", **options),
        layer(f"SeparableConv{count}D", "s", depth_multiplier=1, filters=4, **options),
    ]
    word = "kernel" if kind == "keras" else "depthwise_kernel"
    tensors = {
        "d": {word: one, "bias": bias_of_one},
        "s": {"depthwise_kernel": two, "pointwise_kernel": point, "bias": bias_of_two},
    }
    convolve = CONVOLUTIONS[count - 1]

    def depthwise(value: Tensor, kernel_of: Array, bias: Array | None) -> Tensor:
        turned = torch.as_tensor(kernel_of).movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1)
        if padding == "same":
            value = functional.pad(value, same_padding(tuple(value.shape[2:]), kernel, 2, 1))
        shift = None if bias is None else torch.as_tensor(bias)
        return convolve(value, turned, shift, 2, groups=value.shape[1])

    def expected(value: Tensor) -> Tensor:
        value = depthwise(depthwise(value, one, bias_of_one).tanh(), two, None)
        turned = torch.as_tensor(point).movedim((-1, -2), (0, 1))
        return convolve(value, turned, torch.as_tensor(bias_of_two))

    if min(lengths) < 7 and padding == "valid":
        with pytest.raises(ShapeMismatch, match="'s' has a kernel that is longer than"):
            computed(tmp_path, x, layers, tensors, kind)
        return
    result = computed(tmp_path, x, layers, tensors, kind)
    np.testing.assert_allclose(result, last(expected, x), atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("lengths", [(9,), (9, 8), (5, 6, 4)])
def test_pooling(tmp_path: Path, lengths: tuple[int, ...], padding: str, stride: int) -> None:
    count = len(lengths)
    x, size = random(2, *lengths, 3), (3, 2, 2)[:count]
    options = {"pool_size": list(size), "strides": [stride] * count, "padding": padding}
    most, average = (
        computed(tmp_path, x, [layer(f"{word}Pooling{count}D", "p", **options)], {})
        for word in ("Max", "Average")
    )
    more = same_padding(lengths, size, stride, 1) if padding == "same" else []
    of_max: Function = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[
        count - 1
    ]
    of_mean: Function = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[
        count - 1
    ]

    def padded(value: Tensor, fill: float) -> Tensor:
        return functional.pad(value, more, value=fill)

    expected = last(lambda v: of_max(padded(v, -np.inf), size, stride), x)
    np.testing.assert_array_equal(most, expected)
    expected = last(
        lambda v: (
            of_mean(padded(v, 0), size, stride)
            / of_mean(padded(torch.ones_like(v), 0), size, stride)
        ),
        x,
    )
    np.testing.assert_allclose(average, expected, atol=1e-12)


def test_pooling_moves_by_its_size_unless_told(tmp_path: Path) -> None:
    x = random(2, 6, 7, 3)
    entry = layer("MaxPooling2D", "p", pool_size=[2, 3], strides=None)
    result = computed(tmp_path, x, [entry], {})
    np.testing.assert_array_equal(result, last(functional.max_pool2d, x, (2, 3)))


@pytest.mark.parametrize("after_conv", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("lengths", [(5,), (4, 5), (3, 4, 2)])
def test_global_pooling(
    tmp_path: Path, lengths: tuple[int, ...], keep: bool, after_conv: bool
) -> None:
    count, x = len(lengths), random(2, *lengths, 3)
    kernel = random(*(1,) * count, 3, 3)
    conv = layer(f"Conv{count}D", "c", filters=3, kernel_size=[1] * count, use_bias=False)
    for word, function in (("Max", np.max), ("Average", np.mean)):
        pool = layer(f"Global{word}Pooling{count}D", "p", keepdims=keep)
        layers = [conv, pool] if after_conv else [pool]
        result = computed(tmp_path, x, layers, {"c": {"kernel": kernel}} if after_conv else {})
        value = x @ kernel.reshape(3, 3) if after_conv else x
        axes = tuple(range(1, count + 1))
        np.testing.assert_allclose(result, function(value, axes, keepdims=keep), atol=1e-12)


@pytest.mark.parametrize("after_conv", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_padding_cropping_and_upsampling(tmp_path: Path, count: int, after_conv: bool) -> None:
    lengths = (4, 5, 3)[:count]
    x, kernel = random(2, *lengths, 3), random(*(1,) * count, 3, 3)
    pads, crops = [[1, 2], [0, 3], [1, 0]][:count], [[2, 0], [1, 1], [0, 2]][:count]
    times = [2, 1, 3][:count]
    layers = [
        layer(f"ZeroPadding{count}D", "p", padding=pads[0] if count == 1 else pads),
        layer(f"Cropping{count}D", "c", cropping=crops[0] if count == 1 else crops),
        layer(f"UpSampling{count}D", "u", size=times[0] if count == 1 else times),
    ]
    tensors: dict[str, Mapping[str, Array]] = {}
    expected = x
    if after_conv:
        conv = layer(f"Conv{count}D", "k", filters=3, kernel_size=[1] * count, use_bias=False)
        layers, tensors = [conv, *layers], {"k": {"kernel": kernel}}
        expected = x @ kernel.reshape(3, 3)
    result = computed(tmp_path, x, layers, tensors)
    expected = np.pad(expected, [(0, 0), *pads, (0, 0)])
    for axis, ((before, after), many) in enumerate(zip(crops, times, strict=True), 1):
        part = range(before, expected.shape[axis] - after)
        expected = np.repeat(expected.take(part, axis), many, axis)
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_channels_first(tmp_path: Path, count: int) -> None:
    lengths = (8, 9)[:count]
    x, kernel, bias = random(2, 3, *lengths), random(*(3,) * count, 3, 4), random(4)
    axes = random(*(2,) * count, 4, 1)
    first = {"data_format": "channels_first"}
    layers = [
        layer(f"Conv{count}D", "c", filters=4, kernel_size=[3] * count, strides=[2] * count,
              padding="same", activation="relu", **first),
        layer(f"ZeroPadding{count}D", "z", padding=[1, 1] if count == 1 else [[1, 1]] * 2, **first),
        layer(f"DepthwiseConv{count}D", "d", kernel_size=[2] * count, use_bias=False, **first),
        layer(f"MaxPooling{count}D", "m", pool_size=[2] * count, **first),
        layer("Flatten", "f", **first),
    ]  # fmt: skip
    tensors = {"c": {"kernel": kernel, "bias": bias}, "d": {"kernel": axes}}
    graph = graph_of(tmp_path, sequential(given("in", 3, *lengths), *layers), tensors)
    (result,) = interpret(graph, x)
    convolve = CONVOLUTIONS[count - 1]
    pool: Function = (functional.max_pool1d, functional.max_pool2d)[count - 1]
    value = functional.pad(torch.as_tensor(x), same_padding(lengths, (3,) * count, 2, 1))
    value = convolve(
        value, torch.as_tensor(kernel).movedim((-1, -2), (0, 1)), torch.as_tensor(bias), 2
    )
    value = functional.pad(value.relu(), [1, 1] * count)
    value = convolve(value, torch.as_tensor(axes).movedim((-2, -1), (0, 1)), groups=4)
    expected = pool(value, 2).movedim(1, -1).flatten(1)
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)
    # Nothing is permuted but before the values are laid in a row.
    assert [o.kind for o in graph.operations].count("permute") == 1


def test_a_chain_of_convolutions_is_permuted_at_its_ends_only(tmp_path: Path) -> None:
    conv = {"filters": 3, "kernel_size": [3, 3], "padding": "same", "use_bias": False}
    layers = [
        layer("Conv2D", "one", activation="relu", **conv),
        layer("BatchNormalization", "norm", scale=False, center=False),
        layer("LeakyReLU", "leaky", negative_slope=0.1),
        layer("SpatialDropout2D", "drop", rate=0.2),
        layer("MaxPooling2D", "pool", pool_size=[2, 2]),
        layer("ZeroPadding2D", "pad", padding=[[1, 1], [1, 1]]),
        layer("UpSampling2D", "up", size=[2, 2]),
        layer("Conv2D", "two", **conv),
        layer("GlobalAveragePooling2D", "mean"),
        layer("Dense", "out", units=2, use_bias=False),
    ]
    tensors = {
        "one": {"kernel": random(3, 3, 3, 3)},
        "norm": {"moving_mean": random(3), "moving_variance": np.ones(3)},
        "two": {"kernel": random(3, 3, 3, 3)},
        "out": {"kernel": random(3, 2)},
    }
    graph = graph_of(tmp_path, sequential(given("in", 8, 8, 3), *layers), tensors)
    assert [(o.name, o.kind) for o in graph.operations] == [
        ("input", "input"),
        ("one.channels_first", "permute"),
        ("one", "conv"),
        ("one.activation", "relu"),
        ("norm", "batch_norm"),
        ("leaky", "leaky_relu"),
        ("drop", "dropout"),
        ("pool", "max_pool"),
        ("pad", "pad"),
        ("up", "take"),
        ("up#2", "take"),
        ("two", "conv"),
        ("mean", "reduce"),
        ("out", "linear"),
    ]
    assert [o.shape for o in graph.operations][:3] == [(8, 8, 3), (3, 8, 8), (3, 8, 8)]
    assert graph.outputs == ("out",)


def test_tensors_stay_as_they_are_in_the_file(tmp_path: Path) -> None:
    kernel = random(3, 2, 2, 4).astype("f4")
    entry = layer("Conv2D", "c", filters=4, kernel_size=[3, 2], groups=2, use_bias=False)
    graph = graph_of(tmp_path, sequential(given("in", 8, 8, 4), entry), {"c": {"kernel": kernel}})
    (parameter,) = graph.parameters
    assert (parameter.name, parameter.shape, parameter.dtype) == (
        "layers/conv2d/vars/0", kernel.shape, "float32",
    )  # fmt: skip
    assert graph.operations[2].parameters["weight"] is parameter
    np.testing.assert_array_equal(parameter.read(1, 3), kernel[1:3])


@settings(deadline=None)
@for_all(
    length=st.integers(1, 30), kernel=st.integers(1, 7), stride=st.integers(1, 5),
    apart=st.integers(1, 3),
)  # fmt: skip
def test_same_padding_is_tensorflows(length: int, kernel: int, stride: int, apart: int) -> None:

    config = {"kernel_size": [kernel], "strides": stride, "dilation_rate": apart, "padding": "same"}
    operations = Operations(Path("model.keras"), keras_2=False)
    step = Step("c", Layer("c", "Conv1D", config), Call(), (), {}, {}, None, operations)
    windows = Windows.of(step, (length,), "kernel_size")
    assert windows.shape == (-(-length // stride),)
    assert list(windows.padding[0]) == same_padding((length,), (kernel,), stride, apart)
