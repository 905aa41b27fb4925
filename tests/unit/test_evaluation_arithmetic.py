"""Arithmetic between values and over axes against torch, and what evaluation knows at all."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from ingest import operations
from queries import activations
from queries.evaluation import KINDS, evaluate
from store.errors import InvalidArgument

BETWEEN: Any = {
    "add": torch.add,
    "product": torch.mul,
    "subtract": torch.sub,
    "divide": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "power": torch.pow,
}
OVER: Any = {
    "mean": lambda x, axes, keep: x.mean(axes, keep),
    "sum": lambda x, axes, keep: x.sum(axes, keep),
    "max": lambda x, axes, keep: x.amax(axes, keep),
    "min": lambda x, axes, keep: x.amin(axes, keep),
    "l1": lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep),
    "l2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
}
# Computed elsewhere: from the network's inputs and tensors, by views, or not at all.
ELSEWHERE = {
    "input", "parameter", "opaque",
    "reshape", "flatten", "expand", "permute", "concat", "slice", "take", "pad",
}  # fmt: skip


def random(*shape: int) -> Tensor:
    torch.manual_seed(len(shape))
    return torch.randn(*shape, dtype=torch.float64)


def close(got: Any, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", BETWEEN)
def test_between_two(kind: str) -> None:
    one, other = random(5, 3, 4), random(5, 3, 4, 1)[..., 0]
    close(evaluate(kind, {}, [one.numpy(), other.numpy()], {}), BETWEEN[kind](one, other))


@pytest.mark.parametrize("kind", ["add", "product", "maximum", "minimum"])
def test_between_three(kind: str) -> None:
    values = [random(5, 3), 2 * random(5, 3), 3 * random(5, 3)]
    function = BETWEEN[kind]
    expected = function(function(values[0], values[1]), values[2])
    close(evaluate(kind, {}, [value.numpy() for value in values], {}), expected)


@pytest.mark.parametrize("kind", BETWEEN)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((4, 3, 4), (4, 4)),
        ((4, 4), (4, 3, 4)),
        ((4, 3, 4), (4, 1)),
        ((4, 3, 1), (4, 3, 4)),
        ((4, 2, 3, 4), (4, 3, 1)),
        ((4, 3, 4), (4,)),
        ((4, 3, 4), (1, 3, 4)),
        ((1, 4), (4, 3, 4)),
    ],
)
def test_samples_broadcast(kind: str, one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Sample by sample; a batch of length 1 is the same for all samples."""
    left, right = random(*one).abs(), random(*other)
    batch = max(one[0], other[0])
    expected = torch.stack(
        [BETWEEN[kind](left[row % one[0]], right[row % other[0]]) for row in range(batch)]
    )
    close(evaluate(kind, {}, [left.numpy(), right.numpy()], {}), expected)


@pytest.mark.parametrize("function", OVER)
@pytest.mark.parametrize("axes", [(-1,), (-2,), (-3, -1), (-1, -2, -3)])
@pytest.mark.parametrize("keep", [True, False])
def test_reduce(function: str, axes: tuple[int, ...], keep: bool) -> None:
    x = random(5, 3, 4, 2)
    attributes = {"function": function, "axes": axes, "keep": keep}
    close(evaluate("reduce", attributes, [x.numpy()], {}), OVER[function](x, axes, keep))


@pytest.mark.parametrize("keep", [True, False])
def test_reduce_product(keep: bool) -> None:
    x = random(5, 3, 4, 2)
    expected = x.prod(-1, keepdim=True).prod(-3, keepdim=True)
    attributes = {"function": "product", "axes": (-3, -1), "keep": keep}
    close(
        evaluate("reduce", attributes, [x.numpy()], {}),
        expected if keep else expected.squeeze((-3, -1)),
    )


def test_what_is_not_defined_is_not_a_warning() -> None:
    got = evaluate("divide", {}, [np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])], {})
    assert_allclose(got, [[np.inf, np.nan]])
    assert evaluate("log", {}, [np.zeros((1, 1))], {}) == -np.inf


def test_elementwise_functions_and_dropout() -> None:
    x = np.array([[-2.0, 3.0]])
    assert evaluate("leaky_relu", {"negative_slope": 0.5}, [x], {}).tolist() == [[-1.0, 3.0]]
    assert evaluate("dropout", {}, [x], {}) is x
    assert evaluate("identity", {}, [x], {}) is x


def test_every_kind_of_the_contract_is_known() -> None:
    table = str(operations.__doc__).split("===\n")[2]
    # One or more at the start of a line; further on stand attributes.
    rows = re.findall(r"^``\w+``(?: ``\w+``)*", table, re.MULTILINE)
    told = {kind for row in rows for kind in re.findall(r"\w+", row)}
    assert {"linear", "lstm_cell", "divide", "opaque"} <= told
    assert told - ELSEWHERE - set(activations.FUNCTIONS) <= set(KINDS)
    assert set(KINDS) - {"dropout"} <= told


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(InvalidArgument, match="operation 'fold' cannot be computed"):
        evaluate("fold", {}, [np.ones((1, 1))], {})
    attributes = {"function": "median", "axes": (-1,), "keep": True}
    with pytest.raises(InvalidArgument, match="reduction 'median' cannot be computed"):
        evaluate("reduce", attributes, [np.ones((1, 1))], {})
