"""Linear layers, convolutions and embeddings against torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.nn import functional

from queries.evaluation import evaluate
from queries.evaluation import linear as linear_family
from store.errors import InvalidArgument

CONV: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
CONV_TRANSPOSED: Any = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
CONVOLVED: Any = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
CONVOLVED_BACK: Any = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
# The same examples each time.
STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=150)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(got: Any, expected: Tensor) -> None:
    assert got.dtype == np.float64
    assert got.shape == expected.shape
    assert_allclose(got, expected.detach().numpy(), rtol=1e-10, atol=1e-10)


def tensors_of(module: nn.Module) -> dict[str, Any]:
    return {role: tensor.detach().numpy() for role, tensor in module.named_parameters()}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 7), (5, 2, 3, 7)])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    module, x = nn.Linear(7, 4, bias=bias, dtype=torch.float64), random(*shape)
    close(evaluate("linear", {}, [x.numpy()], tensors_of(module)), module(x))


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize(("dilation", "bias"), [(1, True), (2, False)])
def test_conv(
    dimension: int, groups: int, stride: int, padding: int, dilation: int, bias: bool
) -> None:
    module = CONV[dimension](4, 8, 3, stride, padding, dilation, groups, bias, dtype=torch.float64)
    x = random(2, 4, *(6, 5, 7)[:dimension])
    attributes = {
        "stride": module.stride,
        "dilation": module.dilation,
        "padding": ((padding, padding),) * dimension,
        "groups": groups,
    }
    close(evaluate("conv", attributes, [x.numpy()], tensors_of(module)), module(x))


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("stride", "output_padding"), [(1, 0), (3, 0), (3, 2)])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize(("dilation", "bias"), [(1, True), (2, False)])
def test_conv_transposed(
    dimension: int,
    groups: int,
    stride: int,
    output_padding: int,
    padding: int,
    dilation: int,
    bias: bool,
) -> None:
    module = CONV_TRANSPOSED[dimension](
        8, 4, 3, stride, padding, output_padding, groups, bias, dilation, dtype=torch.float64
    )
    x = random(2, 8, *(4, 3, 5)[:dimension])
    attributes = {
        "stride": module.stride,
        "dilation": module.dilation,
        "padding": ((padding, padding),) * dimension,
        "output_padding": module.output_padding,
        "groups": groups,
    }
    close(evaluate("conv_transposed", attributes, [x.numpy()], tensors_of(module)), module(x))


@dataclass(frozen=True)
class Geometry:
    """Of a convolution; every axis has its own."""

    groups: int
    sources: int
    targets: int
    lengths: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "dilation": self.dilation,
            "padding": self.padding,
            "groups": self.groups,
        }


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    dimension = draw(st.integers(1, 3))
    small = st.integers(1, 3)

    def per_axis(strategy: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(strategy) for _ in range(dimension))

    kernel, dilation = per_axis(st.integers(1, 4)), per_axis(small)
    padding = tuple(zip(per_axis(st.integers(-1, 3)), per_axis(st.integers(-1, 3)), strict=True))
    lengths = tuple(
        max(1, step * (length - 1) + 1 - sum(pair), -sum(min(0, side) for side in pair) + 1)
        + draw(st.integers(0, 3))
        for length, step, pair in zip(kernel, dilation, padding, strict=True)
    )
    return Geometry(
        draw(small), draw(small), draw(small), lengths, kernel, per_axis(small), dilation, padding
    )


@STEADY
@given(geometries())
def test_conv_of_any_geometry(shape: Geometry) -> None:
    x = random(2, shape.groups * shape.sources, *shape.lengths)
    weight = random(shape.groups * shape.targets, shape.sources, *shape.kernel)
    flat = [side for pair in reversed(shape.padding) for side in pair]
    expected = CONVOLVED[len(shape.kernel)](
        functional.pad(x, flat), weight, None, shape.stride, 0, shape.dilation, shape.groups
    )
    close(evaluate("conv", shape.attributes, [x.numpy()], {"weight": weight.numpy()}), expected)


@STEADY
@given(geometries(), st.integers(0, 4))
def test_conv_transposed_of_any_geometry(shape: Geometry, output_padding: int) -> None:
    x = random(2, shape.groups * shape.sources, *shape.lengths)
    weight = random(shape.groups * shape.sources, shape.targets, *shape.kernel)
    whole = CONVOLVED_BACK[len(shape.kernel)](
        x, weight, None, shape.stride, 0, 0, shape.groups, shape.dilation
    )
    padding = tuple(
        (min(before, length - 1), max(-1, min(after, length - 1 - before)))
        for (before, after), length in zip(shape.padding, whole.shape[2:], strict=True)
    )
    cut = [
        side for before, after in reversed(padding) for side in (-before, output_padding - after)
    ]
    attributes = {
        **shape.attributes,
        "padding": padding,
        "output_padding": (output_padding,) * len(padding),
    }
    got = evaluate("conv_transposed", attributes, [x.numpy()], {"weight": weight.numpy()})
    close(got, functional.pad(whole, cut))


@pytest.mark.parametrize("most", [1, 700, 1 << 24])
def test_conv_in_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(linear_family, "MOST_COLUMNS", most)
    module, x = nn.Conv2d(2, 3, 3, dtype=torch.float64), random(7, 2, 6, 6)
    attributes = {"stride": (1, 1), "dilation": (1, 1), "padding": ((0, 0),) * 2, "groups": 1}
    close(evaluate("conv", attributes, [x.numpy()], tensors_of(module)), module(x))


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2)])
def test_embedding(shape: tuple[int, ...]) -> None:
    module, indices = nn.Embedding(6, 5, dtype=torch.float64), torch.randint(6, shape)
    got = evaluate("embedding", {}, [indices.numpy().astype(np.float64)], tensors_of(module))
    close(got, module(indices))


@pytest.mark.parametrize("index", [-1.0, 6.0, 0.5, np.nan, np.inf, -np.inf, 1e300])
def test_an_embedding_takes_indices(index: float) -> None:
    with pytest.raises(InvalidArgument, match="must hold integers from 0 to 5"):
        evaluate("embedding", {}, [np.array([[0.0, index]])], {"weight": np.ones((6, 2))})
