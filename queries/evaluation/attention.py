"""Products of values with values, and the attention that is made of them."""

from __future__ import annotations

import numpy as np

from queries.evaluation.shapes import Array, Attributes, Family, Inputs, Tensors, aligned


def matmul(_attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    """Of (..., m, k) and (..., k, n)."""
    left, right = aligned(inputs)
    return np.asarray(left @ right)


def attention(attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    """Values weighted by the softmax of the products of queries and keys, for each head."""
    query, key, value = inputs[:3]
    if query.ndim > 3:
        shared = query.shape[-3] // key.shape[-3]
        key, value = (np.repeat(array, shared, axis=-3) for array in (key, value))
    scores = query @ key.swapaxes(-1, -2) * attributes["scale"]
    for mask in inputs[3:]:
        scores = np.add(*aligned([scores, mask]))
    if attributes["causal"]:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    return np.asarray(_shares(scores) @ value)


def _shares(scores: Array) -> Array:
    """A softmax over the last axis that gives zeros where all is masked, as torch does."""
    top = scores.max(axis=-1, keepdims=True)
    parts = np.exp(scores - np.where(np.isneginf(top), 0.0, top))
    total = parts.sum(axis=-1, keepdims=True)
    return np.asarray(parts / np.where(total == 0, 1.0, total))


FAMILY: Family = {"matmul": matmul, "attention": attention}
