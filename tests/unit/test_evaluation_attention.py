"""Products of values and attention against torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.nn import functional

from queries.evaluation import evaluate


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(got: Any, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def attention(*values: Tensor, scale: float = 0.5, causal: bool = False) -> Any:
    attributes = {"scale": scale, "causal": causal}
    return evaluate("attention", attributes, [value.numpy() for value in values], {})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5, 3, 4), (5, 4, 2)),
        ((5, 2, 3, 4), (5, 2, 4, 2)),
        ((3, 2, 3, 4), (3, 4, 2)),
        ((3, 3, 4), (3, 2, 4, 2)),
        ((5, 3, 4), (1, 4, 2)),
    ],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    one, other = random(*left), random(*right)
    expected = torch.stack([one[row] @ other[row % right[0]] for row in range(left[0])])
    close(evaluate("matmul", {}, [one.numpy(), other.numpy()], {}), expected)


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("key_heads", [6, 3, 1])
def test_attention(queries: int, keys: int, causal: bool, key_heads: int) -> None:
    query = random(2, 6, queries, 8)
    key, value = random(2, key_heads, keys, 8), random(2, key_heads, keys, 7)
    expected = functional.scaled_dot_product_attention(
        query, key, value, is_causal=causal, scale=0.3, enable_gqa=True
    )
    close(attention(query, key, value, scale=0.3, causal=causal), expected)


@pytest.mark.parametrize("shape", [(2, 6, 3, 5), (2, 1, 3, 5), (2, 3, 5), (1, 3, 5), (1, 1, 5)])
def test_attention_with_a_mask(shape: tuple[int, ...]) -> None:
    query, key, value = random(2, 6, 3, 8), random(2, 6, 5, 8), random(2, 6, 5, 8)
    mask = random(*shape)
    mask[..., 1] = -math.inf
    # torch aligns all axes from the last, we keep the batch axis first.
    whole = mask.reshape(shape[0], *(1,) * (4 - len(shape)), *shape[1:])
    expected = functional.scaled_dot_product_attention(query, key, value, whole, scale=0.5)
    close(attention(query, key, value, mask), expected)


def test_attention_without_heads() -> None:
    query, key, value = random(2, 3, 8), random(2, 5, 8), random(2, 5, 7)
    expected = functional.scaled_dot_product_attention(query, key, value, scale=0.5)
    close(attention(query, key, value), expected)


def test_causal_and_a_mask() -> None:
    query, key, value = random(2, 3, 4, 8), random(2, 3, 4, 8), random(2, 3, 4, 8)
    mask = random(1, 4, 4)
    hidden = torch.full((4, 4), -math.inf, dtype=torch.float64).triu(1)
    expected = functional.scaled_dot_product_attention(query, key, value, mask + hidden, scale=0.5)
    close(attention(query, key, value, mask, causal=True), expected)


def test_queries_that_see_nothing_give_zeros() -> None:
    query, key, value = random(2, 3, 4, 8), random(2, 3, 5, 8), random(2, 3, 5, 8)
    mask = torch.zeros(1, 4, 5, dtype=torch.float64)
    mask[:, 2] = -math.inf
    got = attention(query, key, value, mask)
    close(got, functional.scaled_dot_product_attention(query, key, value, mask, scale=0.5))
    assert not got[:, :, 2].any()
    assert got[:, :, 1].all()


def test_great_scores_do_not_overflow() -> None:
    query, key, value = 1e3 * random(2, 3, 4, 8), 1e3 * random(2, 3, 5, 8), random(2, 3, 5, 8)
    got = attention(query, key, value)
    assert np.isfinite(got).all()
    close(got, functional.scaled_dot_product_attention(query, key, value, scale=0.5))
