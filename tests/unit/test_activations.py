"""Elementwise functions against torch, and how their texts are read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from ingest.layers.activation import PLAIN, WITH_ARGUMENTS, text
from ingest.operations import Operation
from queries import activations
from store.errors import InvalidArgument
from tests.functions import FUNCTIONS as TORCH

ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in PLAIN),
    ("gelu", {"approximate": "tanh"}),
    ("softmax", {"axis": -2}),
    ("log_softmax", {"axis": -2}),
    ("softmin", {"axis": -2}),
    ("celu", {"alpha": 1.5}),
    ("clip", {"low": -0.5, "high": 1e-05}),
    ("clip", {"low": -math.inf, "high": 0.5}),
    ("clip", {"low": -1e-05, "high": math.inf}),
    ("clip", {"low": 0.5, "high": -0.5}),
    ("elu", {"alpha": 0.7}),
    ("hardshrink", {"lambd": 0.1}),
    ("hardtanh", {"min_val": -0.5, "max_val": 0.7}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("plus", {"amount": -1e-05}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}),
    ("softshrink", {"lambd": 0.1}),
    ("threshold", {"threshold": 0.1, "value": -2.0}),
    ("times", {"factor": 1e20}),
    ("to_power", {"exponent": 2.0}),
    ("to_power", {"exponent": -1.5}),
]


def values() -> Any:
    signs = 4 * np.random.default_rng(0).normal(size=(5, 6, 7))
    signs[0, 0] = [0.0, -0.0, 1.0, -1.0, 40.0, -40.0, 1000.0]
    return signs


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_against_torch(name: str, arguments: dict[str, Any]) -> None:
    """From an operation over its text, as it is stored, back to the function."""
    x = values()
    written = text(Operation(name, name, attributes=arguments))
    expected = TORCH[name](torch.tensor(x), **arguments)
    assert_allclose(activations.apply(written, x), expected, rtol=1e-10, atol=1e-10)


def test_every_function_that_is_ingested_is_known() -> None:
    named = {*PLAIN, *WITH_ARGUMENTS}
    assert named <= set(activations.FUNCTIONS)
    assert named == {name for name, _ in ARGUMENTS}


def test_what_only_keras_has() -> None:
    x = values()
    got = activations.apply("hardsigmoid(slope=0.2)", x)
    assert_allclose(got, (0.2 * torch.tensor(x) + 0.5).clamp(0, 1), rtol=1e-10)
    got = activations.apply("softplus(beta=1)", x)
    assert_allclose(got, torch.logaddexp(torch.tensor(x), torch.zeros(())), rtol=1e-14)


def test_functions_in_a_row() -> None:
    x = np.array([[-2.0, 3.0]])
    row = "clip(low=-1, high=inf), times(factor=2), plus(amount=1), abs, to_power(exponent=0.5)"
    assert_allclose(activations.apply(row, x), np.sqrt([[1.0, 7.0]]))
    assert activations.apply("relu,identity", x).tolist() == [[0.0, 3.0]]


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("unknown", "unknown"),
        ("relu, swoosh(beta=2)", "swoosh"),
        # A part of it is a known function.
        ("Relu", "Relu"),
        (
            "elu(alpha=np.float64(0.2))",
            "elu(alpha=np.float64(0.2))",
        ),
        ("relu tanh", "relu tanh"),
        ("relu,", ""),
        ("", ""),
    ],
)
def test_what_is_no_function_is_named(written: str, named: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        activations.apply(written, np.ones((1, 2)))
    assert str(raised.value) == f"The activation {named!r} cannot be computed."


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("relu(alpha=1)", "'relu' cannot be computed with the arguments (alpha=1.0)"),
        ("exp(where=0)", "'exp' cannot be computed with the arguments (where=0.0)"),
        ("threshold", "'threshold' cannot be computed with the arguments ()"),
        ("elu(alpha=one)", "'elu' cannot be computed with the arguments (alpha=one)"),
        ("softmax(axis=-3)", "'softmax' cannot be computed with the arguments (axis=-3)"),
        ("gelu(approximate=much)", "The approximation 'much' of gelu"),
    ],
)
def test_arguments_that_do_not_fit(written: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        activations.apply(written, np.ones((1, 2)))
    assert says in str(raised.value)
