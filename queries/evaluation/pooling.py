"""The greatest or the mean of what lies under a kernel."""

from __future__ import annotations

import numpy as np

from queries.evaluation.shapes import Array, Attributes, Family, Inputs, Tensors, padded, windows


def max_pool(attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    """Padding is less than any value."""
    kernel = attributes["kernel"]
    values = padded(inputs[0], attributes["padding"], -np.inf)
    views = windows(values, kernel, attributes["stride"], attributes["dilation"])
    return np.asarray(views.max(axis=_within(views, kernel)))


def average_pool(attributes: Attributes, inputs: Inputs, _tensors: Tensors) -> Array:
    """Padding is 0, and counts as a value or not."""
    kernel, padding = attributes["kernel"], attributes["padding"]
    # Samples and channels share the number of values under each place of the kernel.
    ones = np.ones(inputs[0].shape[-len(kernel) :])
    counts = _sums(padded(ones, padding, float(attributes["count_padding"])), attributes)
    return _sums(padded(inputs[0], padding, 0.0), attributes) / counts


def _sums(values: Array, attributes: Attributes) -> Array:
    kernel = attributes["kernel"]
    views = windows(values, kernel, attributes["stride"], (1,) * len(kernel))
    return np.asarray(views.sum(axis=_within(views, kernel)))


def _within(views: Array, kernel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(views.ndim - len(kernel), views.ndim))


FAMILY: Family = {"max_pool": max_pool, "average_pool": average_pool}
