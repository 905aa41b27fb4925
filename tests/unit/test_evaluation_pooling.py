"""Pooling against torch, and against the sums and maxima by hand where torch pools otherwise."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from queries.evaluation import evaluate

MAX: Any = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE: Any = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
GENERATOR = np.random.default_rng(0)
STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=100)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dilation", [1, 2])
def test_max_pool(dimension: int, stride: int, padding: int, dilation: int) -> None:
    # All values are negative, so that a padding of zeros would win.
    x = -1 - GENERATOR.random((2, 3, *(7, 6, 8)[:dimension]))
    attributes = {
        "kernel": (3,) * dimension,
        "stride": (stride,) * dimension,
        "dilation": (dilation,) * dimension,
        "padding": ((padding, padding),) * dimension,
    }
    expected = MAX[dimension](3, stride, padding, dilation)(torch.tensor(x))
    assert_allclose(evaluate("max_pool", attributes, [x], {}), expected, rtol=0)


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("padding", "count"), [(0, True), (1, True), (1, False)])
def test_average_pool(dimension: int, stride: int, padding: int, count: bool) -> None:
    x = GENERATOR.normal(size=(2, 3, *(7, 6, 8)[:dimension]))
    attributes = {
        "kernel": (3,) * dimension,
        "stride": (stride,) * dimension,
        "padding": ((padding, padding),) * dimension,
        "count_padding": count,
    }
    module = AVERAGE[dimension](3, stride, padding, count_include_pad=count)
    got = evaluate("average_pool", attributes, [x], {})
    assert_allclose(got, module(torch.tensor(x)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
def test_ceil_mode_is_padding_after(kind: str) -> None:
    x = GENERATOR.normal(size=(2, 3, 8, 8))
    attributes = {
        "kernel": (3, 3),
        "stride": (2, 2),
        "dilation": (1, 1),
        "padding": ((0, 1), (0, 1)),
        "count_padding": False,
    }
    module = (
        nn.MaxPool2d(3, 2, ceil_mode=True)
        if kind == "max_pool"
        else nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)
    )
    got = evaluate(kind, attributes, [x], {})
    assert_allclose(got, module(torch.tensor(x)), rtol=1e-10, atol=1e-10)


@dataclass(frozen=True)
class Geometry:
    """Of pooling; every axis has its own."""

    lengths: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            "kernel": self.kernel,
            "stride": self.stride,
            "dilation": self.dilation,
            "padding": self.padding,
        }


@st.composite
def geometries(draw: st.DrawFn, most_dilation: int) -> Geometry:
    dimension = draw(st.integers(1, 2))
    axes = range(dimension)
    kernel = tuple(draw(st.integers(1, 4)) for _ in axes)
    dilation = tuple(draw(st.integers(1, most_dilation)) for _ in axes)
    # Less than the kernel, so that a value lies under it at each place.
    padding = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    spans = [step * (length - 1) + 1 for length, step in zip(kernel, dilation, strict=True)]
    return Geometry(
        tuple(span + draw(st.integers(0, 4)) for span in spans),
        kernel,
        tuple(draw(st.integers(1, 3)) for _ in axes),
        dilation,
        padding,
    )


def values_by_place(x: Any, shape: Geometry) -> tuple[tuple[int, ...], list[Any]]:
    """The number of places per axis, and for each place the values (samples, there)."""
    places = [
        range(-before, length + after - step * (size - 1), stride)
        for length, size, stride, step, (before, after) in zip(
            shape.lengths, shape.kernel, shape.stride, shape.dilation, shape.padding, strict=True
        )
    ]
    found = []
    for place in itertools.product(*places):
        under = [
            [at for at in range(first, first + step * size, step) if 0 <= at < length]
            for first, length, size, step in zip(
                place, shape.lengths, shape.kernel, shape.dilation, strict=True
            )
        ]
        found.append(x[(slice(None), *np.ix_(*under))].reshape(len(x), -1))
    return tuple(len(along) for along in places), found


@STEADY
@given(geometries(most_dilation=3))
def test_max_pool_of_any_geometry(shape: Geometry) -> None:
    x = -1 - GENERATOR.random((2, *shape.lengths))
    places, found = values_by_place(x, shape)
    expected = np.stack([values.max(axis=1) for values in found], axis=1)
    got = evaluate("max_pool", shape.attributes, [x], {})
    assert_allclose(got, expected.reshape(2, *places), rtol=0)


@STEADY
@given(geometries(most_dilation=1), st.booleans())
def test_average_pool_of_any_geometry(shape: Geometry, count: bool) -> None:
    x = GENERATOR.normal(size=(2, *shape.lengths))
    places, found = values_by_place(x, shape)
    size = np.prod(shape.kernel)
    expected = np.stack(
        [values.sum(axis=1) / (size if count else values.shape[1]) for values in found], axis=1
    )
    attributes = {**shape.attributes, "count_padding": count}
    got = evaluate("average_pool", attributes, [x], {})
    assert_allclose(got, expected.reshape(2, *places), rtol=1e-10, atol=1e-10)
