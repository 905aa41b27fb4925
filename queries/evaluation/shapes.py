"""Arrays brought into the shapes in which an operation takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Attributes: TypeAlias = Mapping[str, Any]
Inputs: TypeAlias = Sequence[Array]
Tensors: TypeAlias = Mapping[str, Array]
Evaluator: TypeAlias = Callable[[Attributes, Inputs, Tensors], Array]
Family: TypeAlias = Mapping[str, Evaluator]


def aligned(values: Inputs) -> list[Array]:
    """Values of one number of axes, so that samples broadcast while the batch axis stays first.

    Example
    -------
    >>> [value.shape for value in aligned([np.ones((5, 3, 4)), np.ones((5, 4))])]
    [(5, 3, 4), (5, 1, 4)]
    """
    most = max(value.ndim for value in values)
    return [
        value.reshape(len(value), *(1,) * (most - value.ndim), *value.shape[1:]) for value in values
    ]


def along(tensor: Array, axes: Sequence[int], ndim: int) -> Array:
    """A tensor whose axes lie along the given negative axes of a value with ``ndim`` axes.

    Example
    -------
    >>> along(np.ones(3), (-2,), 4).shape
    (1, 1, 3, 1)
    """
    shape = [1] * ndim
    for axis, length in zip(axes, tensor.shape, strict=True):
        shape[axis] = length
    return tensor.transpose(np.argsort(axes)).reshape(shape)


def scaled(values: Array, tensors: Tensors, axes: Sequence[int]) -> Array:
    """Values times the weight and plus the bias, where there are any, along the axes."""
    if "weight" in tensors:
        values = values * along(tensors["weight"], axes, values.ndim)
    return biased(values, tensors, axes)


def biased(values: Array, tensors: Tensors, axes: Sequence[int]) -> Array:
    """Values plus the bias, where there is one, along the axes."""
    if "bias" in tensors:
        values = values + along(tensors["bias"], axes, values.ndim)
    return values


def padded(values: Array, padding: Sequence[Sequence[int]], fill: float) -> Array:
    """The last axes made longer by a pair (before, after) each; a negative number makes shorter.

    Example
    -------
    >>> padded(np.array([[1.0, 2.0, 3.0]]), [(-1, 2)], 0.0)
    array([[2., 3., 0., 0.]])
    """
    lengths = values.shape[values.ndim - len(padding) :]
    kept: list[Any] = [
        slice(max(-before, 0), length - max(-after, 0))
        for (before, after), length in zip(padding, lengths, strict=True)
    ]
    more = [(max(before, 0), max(after, 0)) for before, after in padding]
    whole = [(0, 0)] * (values.ndim - len(padding))
    return np.pad(values[(..., *kept)], whole + more, constant_values=fill)


def windows(
    values: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Array:
    """A view of what lies under a kernel at each of its places along the last axes.

    Returns
    -------
    numpy.ndarray
        The axes before, then one axis of places and after all of these one axis within the
        kernel for each axis of the kernel.

    Example
    -------
    >>> windows(np.arange(6.0), (2,), (2,), (1,))
    array([[0., 1.], [2., 3.], [4., 5.]])
    """
    spans = [step * (length - 1) + 1 for length, step in zip(kernel, dilation, strict=True)]
    views = sliding_window_view(values, spans, axis=tuple(range(-len(spans), 0)))
    every: list[Any] = [slice(None, None, step) for step in (*stride, *dilation)]
    return views[(..., *every)]
