"""Keras' norms, activations, matrices and shapes against torch, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from store.errors import InputError, ShapeMismatch, UnsupportedOperation
from tests.interpreter import interpret
from tests.keras_files import Entry, Tensors, computed, given, graph_of, last, layer, sequential

RANDOM = np.random.default_rng(11)

Array = NDArray[np.float64]
Function = Callable[..., Tensor]


def random(*shape: int) -> Array:
    return RANDOM.normal(size=shape)


@pytest.mark.parametrize("axis", [-1, 1, [3]])
def test_batch_normalization(tmp_path: Path, axis: Any) -> None:
    x = random(2, 4, 5, 3)
    place = axis[0] if isinstance(axis, list) else axis
    size = x.shape[place]
    roles = {"gamma": random(size), "beta": random(size),
             "moving_mean": random(size), "moving_variance": np.abs(random(size))}  # fmt: skip
    entry = layer("BatchNormalization", "n", axis=axis, epsilon=0.01)
    result = computed(tmp_path, x, [entry], {"n": roles}, "h5")
    gamma, beta, mean, variance = (torch.as_tensor(array) for array in roles.values())
    moved = torch.as_tensor(x).movedim(place, 1)
    expected = functional.batch_norm(moved, mean, variance, gamma, beta, eps=0.01).movedim(1, place)
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize(("scale", "center"), [(False, True), (True, False), (False, False)])
def test_batch_normalization_without_scale_or_shift(
    tmp_path: Path, scale: bool, center: bool
) -> None:
    x = random(2, 6)
    roles = {**({"gamma": random(6)} if scale else {}), **({"beta": random(6)} if center else {}),
             "moving_mean": random(6), "moving_variance": np.abs(random(6))}  # fmt: skip
    entry = layer("BatchNormalization", "n", scale=scale, center=center)
    expected = (x - roles["moving_mean"]) / np.sqrt(roles["moving_variance"] + 1e-3)
    expected = expected * roles.get("gamma", 1.0) + roles.get("beta", 0.0)
    result = computed(tmp_path, x, [entry], {"n": roles})
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("axes", "shape", "sizes"), [(-1, (4, 3), (3,)), ([2, 3], (4, 5, 3), (5, 3))]
)
def test_layer_normalization(tmp_path: Path, axes: Any, shape: Any, sizes: Any) -> None:
    x, gamma, beta = random(2, *shape), random(*sizes), random(*sizes)
    entry = layer("LayerNormalization", "n", axis=axes, epsilon=0.01)
    expected = functional.layer_norm(
        torch.as_tensor(x), sizes, torch.as_tensor(gamma), torch.as_tensor(beta), 0.01
    )
    result = computed(tmp_path, x, [entry], {"n": {"gamma": gamma, "beta": beta}})
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


def test_normalization_by_groups_and_by_the_root_mean_square(tmp_path: Path) -> None:
    x, gamma, beta, scale = random(2, 4, 5, 6), random(6), random(6), random(6)
    layers = [
        layer("GroupNormalization", "g", groups=3, axis=-1, epsilon=0.01),
        layer("RMSNormalization", "r", axis=-1, epsilon=0.02),
    ]
    tensors = {"g": {"gamma": gamma, "beta": beta}, "r": {"scale": scale}}
    grouped = torch.as_tensor(
        last(functional.group_norm, x, 3, torch.as_tensor(gamma), torch.as_tensor(beta), 0.01)
    )
    expected = functional.rms_norm(grouped, (6,), torch.as_tensor(scale), 0.02)
    result = computed(tmp_path, x, layers, tensors)
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


def test_normalization_by_what_was_measured(tmp_path: Path) -> None:
    x, mean, variance = random(2, 4, 3), random(3), np.abs(random(3)) + 0.1
    roles = {"mean": mean, "variance": variance, "count": np.array(9)}
    config = sequential(given("in", 4, 3), layer("Normalization", "n", axis=[-1]))
    graph = graph_of(tmp_path, config, {"n": roles})
    (result,) = interpret(graph, x)
    np.testing.assert_allclose(result, (x - mean) / np.sqrt(variance), atol=1e-12)
    count = graph.parameters[2]
    assert (count.dtype, count.shape, count.array().item()) == ("int64", (), 9)
    roles["variance"] = np.array([0.1, 0.0, 1.0])
    with pytest.raises(UnsupportedOperation, match=r"'n'\) with a variance below 1e-14"):
        graph_of(tmp_path, config, {"n": roles})


@pytest.mark.parametrize("after_conv", [False, True])
def test_normalization_by_numbers(tmp_path: Path, after_conv: bool) -> None:
    x, kernel = random(2, 4, 5, 3), random(1, 1, 3, 3)
    entry = layer("Normalization", "n", axis=[-1], mean=[1.0, 2, -0.5], variance=[[4.0, 1.0, 0.25]])
    conv = layer("Conv2D", "c", filters=3, kernel_size=[1, 1], use_bias=False)
    layers = [conv, entry] if after_conv else [entry]
    value = x @ kernel.reshape(3, 3) if after_conv else x
    result = computed(tmp_path, x, layers, {"c": {"kernel": kernel}} if after_conv else {})
    np.testing.assert_allclose(result, (value - [1, 2, -0.5]) / [2, 1, 0.5], atol=1e-12)


@pytest.mark.parametrize("after_conv", [False, True])
@pytest.mark.parametrize("shared", [None, [1, 2], [1, 2, 3], [3]])
def test_slopes(tmp_path: Path, shared: list[int] | None, after_conv: bool) -> None:
    x, kernel = random(2, 4, 5, 3), random(1, 1, 3, 3)
    shape = tuple(1 if axis in (shared or []) else x.shape[axis] for axis in (1, 2, 3))
    alpha = random(*shape)
    conv = layer("Conv2D", "c", filters=3, kernel_size=[1, 1], use_bias=False)
    slopes = layer("PReLU", "p", shared_axes=shared)
    layers = [conv, slopes] if after_conv else [slopes]
    tensors: dict[str, Mapping[str, Array]] = {"p": {"alpha": alpha}}
    if after_conv:
        tensors = {"c": {"kernel": kernel}, **tensors}
    value = x @ kernel.reshape(3, 3) if after_conv else x
    result = computed(tmp_path, x, layers, tensors)
    np.testing.assert_allclose(result, np.where(value > 0, value, alpha * value), atol=1e-12)


ACTIVATIONS: dict[str, Function] = {
    "relu": functional.relu, "gelu": functional.gelu, "selu": functional.selu,
    "sigmoid": torch.sigmoid, "swish": functional.silu, "softplus": functional.softplus,
    "exponential": torch.exp, "hard_silu": functional.hardswish, "mish": functional.mish,
    "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.2), "linear": lambda x: x,
    "hard_sigmoid": functional.hardsigmoid,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_images(tmp_path: Path, name: str) -> None:
    x, kernel = random(2, 4, 5, 3), random(1, 1, 3, 4)
    conv = layer("Conv2D", "c", filters=4, kernel_size=[1, 1], use_bias=False, activation=name)
    result = computed(tmp_path, x, [conv], {"c": {"kernel": kernel}})
    expected = ACTIVATIONS[name](torch.as_tensor(x @ kernel.reshape(3, 4)))
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, [-2]])
def test_softmax_over_any_axis(tmp_path: Path, axis: Any) -> None:
    x, kernel = random(2, 4, 5, 3), random(1, 1, 3, 4)
    layers = [
        layer("Conv2D", "c", filters=4, kernel_size=[1, 1], use_bias=False),
        layer("Softmax", "s", axis=axis),
    ]
    result = computed(tmp_path, x, layers, {"c": {"kernel": kernel}})
    value = torch.as_tensor(x @ kernel.reshape(3, 4))
    expected = value.softmax(axis[0] if isinstance(axis, list) else axis)
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("after_conv", [False, True])
def test_shapes(tmp_path: Path, after_conv: bool) -> None:
    x, kernel, matrix = random(2, 4, 6, 3), random(1, 1, 3, 3), random(72, 5)
    layers = [
        layer("Permute", "p", dims=[3, 1, 2]),
        layer("Reshape", "r", target_shape=[9, -1]),
        layer("Flatten", "f"),
        layer("Dense", "d", units=5, use_bias=False),
        layer("RepeatVector", "v", n=3),
    ]
    tensors: dict[str, Mapping[str, Array]] = {"d": {"kernel": matrix}}
    value = x
    if after_conv:
        conv = layer("Conv2D", "k", filters=3, kernel_size=[1, 1], use_bias=False)
        layers, tensors = [conv, *layers], {"k": {"kernel": kernel}, **tensors}
        value = x @ kernel.reshape(3, 3)
    result = computed(tmp_path, x, layers, tensors)
    flat = value.transpose(0, 3, 1, 2).reshape(2, 72) @ matrix
    np.testing.assert_allclose(result, np.repeat(flat[:, None], 3, 1), atol=1e-12)


def test_matrices_along_the_last_axis(tmp_path: Path) -> None:
    x, kernel, one, two = random(2, 4, 5, 3), random(2, 2, 3, 6), random(6, 4), random(4)
    layers = [
        layer("Conv2D", "c", filters=6, kernel_size=[2, 2], use_bias=False),
        layer("Dense", "d", units=4, activation="tanh"),
    ]
    result = computed(tmp_path, x, layers, {"c": {"kernel": kernel}, "d": {"k": one, "b": two}})
    turned = torch.as_tensor(kernel).permute(3, 2, 0, 1)
    expected = np.tanh(last(functional.conv2d, x, turned) @ one + two)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_rescaling_and_what_only_training_feels(tmp_path: Path) -> None:
    x = random(2, 4, 5, 3)
    layers = [
        layer("RandomFlip", "a", mode="horizontal"),
        layer("Rescaling", "r", scale=0.5, offset=-1),
        layer("SpatialDropout2D", "d", rate=0.3),
        layer("GaussianNoise", "n", stddev=0.3),
        layer("Identity", "i"),
    ]
    np.testing.assert_allclose(computed(tmp_path, x, layers, {}), x * 0.5 - 1, atol=1e-12)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (layer("Conv2D", "c", filters=4, kernel_size=[3, 3], padding="half"), UnsupportedOperation,
         r"Conv2D \(layer 'c'\) with the padding 'half', which"),
        (layer("Conv2D", "c", filters=4, kernel_size=[3], use_bias=False), UnsupportedOperation,
         r"with the kernel_size '\[3\]'"),
        (layer("Conv2D", "c", filters=4, kernel_size=[9, 9]), ShapeMismatch, "is longer than"),
        (layer("Conv2D", "c", filters=4, kernel_size=[3, 3], groups=3), ShapeMismatch,
         "cannot part 3 channels, or 4 filters, into 3 groups"),
        (layer("Conv2D", "c", filters=5, kernel_size=[3, 3]), ShapeMismatch,
         r"'layers/conv2d/vars/0' of layer 'c' has the shape \(3, 3, 3, 4\), not \(3, 3, 3, 5\)"),
        (layer("Conv2DTranspose", "c", filters=4), UnsupportedOperation, "holds Conv2DTranspose"),
        (layer("UpSampling2D", "u", interpolation="bilinear"), UnsupportedOperation,
         "with the interpolation 'bilinear'"),
        (layer("LayerNormalization", "n", rms_scaling=True, center=False, scale=False),
         UnsupportedOperation, "with rms_scaling"),
        (layer("LayerNormalization", "n", axis=[3, 1], center=False, scale=False),
         UnsupportedOperation, r"over the axes '\[3, 1\]'"),
        (layer("Softmax", "s", axis=0), UnsupportedOperation, "over the axis '0'"),
        (layer("Softmax", "s", axis=[1, 2]), UnsupportedOperation, r"over the axis '\[1, 2\]'"),
        (layer("Rescaling", "r", scale=[1, 2, 3]), UnsupportedOperation, "with the scale"),
        (layer("Reshape", "r", target_shape=[7, -1]), ShapeMismatch, "cannot turn the shape"),
        (layer("Permute", "p", dims=[1, 2]), ShapeMismatch, "cannot put the axes"),
        (layer("Cropping2D", "c", cropping=[[3, 3], [0, 0]]), ShapeMismatch, "leaves nothing"),
        (layer("ZeroPadding2D", "p", padding=[[1, -1], [0, 0]]), UnsupportedOperation, "padding"),
        (layer("LSTM", "l", units=4), ShapeMismatch, "takes a sequence of vectors"),
        (layer("Dense", "d", units=4, activation="cube"), UnsupportedOperation, "'cube'"),
        (layer("Dense", "d", units=4, dtype="int8_from_float32"), UnsupportedOperation,
         "with quantized weights"),
        (layer("Embedding", "e", input_dim=3, output_dim=2), None, ""),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, entry: Entry, error: type[InputError] | None, message: str
) -> None:
    biased = {"kernel": random(3, 3, 3, 4), "bias": random(4)}
    tensors: Tensors = {
        "c": {} if entry["class_name"] in ("Cropping2D", "Conv2DTranspose") else biased,
        "d": {"kernel": random(3, 4), "bias": random(4)},
        "l": {"cell/kernel": random(3, 16), "cell/recurrent_kernel": random(4, 16),
              "cell/bias": random(16)},
        "e": {"embeddings": random(3, 2)},
    }  # fmt: skip
    if entry["config"].get("use_bias") is False:
        tensors = {"c": {"kernel": random(3, 3, 3, 4)}}
    layers = [layer("ReLU", "r0"), entry] if entry["class_name"] == "Embedding" else [entry]
    if error is None:
        error, message = UnsupportedOperation, "of values that are no input's"
    with pytest.raises(error, match=message):
        graph_of(tmp_path, sequential(given("in", 6, 8, 3), *layers), tensors)
