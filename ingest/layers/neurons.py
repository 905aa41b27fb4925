"""Arithmetic on arrays of neuron numbers: where they differ, which pairs they make.

An array of neurons has the shape of a value and says which neuron each entry belongs to; -1 stands
where no neuron is (padding, constants). In a shared view one neuron stands at many positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Neurons = NDArray[np.int64]

NONE = -1


def varying(neurons: Neurons) -> tuple[int, ...]:
    """The axes along which an array of neurons differs.

    Example
    -------
    >>> varying(np.broadcast_to(np.arange(3), (2, 3)))
    (1,)
    """
    axes = []
    rest = neurons
    for axis in range(neurons.ndim):
        first = rest.take([0], axis=axis)
        if rest.shape[axis] > 1 and rest.strides[axis] != 0 and (rest != first).any():
            axes.append(axis)
        else:
            # What does not differ need not be looked at again.
            rest = first
    return tuple(axes)


def constant_along(neurons: Neurons, axes: tuple[int, ...]) -> bool:
    """Whether one neuron stands at all positions of the given axes (ascending from 0)."""
    return not set(varying(neurons)) & set(axes)


def ranks(neurons: Neurons) -> Neurons | None:
    """Of each entry of a flat array, how many equal ones stand before it; None if none do.

    Example
    -------
    >>> ranks(np.array([4, 7, 4])).tolist()
    [0, 0, 1]
    """
    order = np.argsort(neurons, kind="stable")
    ordered = neurons[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    if begins.size == neurons.size:
        return None
    lengths = np.diff(np.r_[begins, neurons.size])
    found = np.empty(neurons.size, dtype=np.int64)
    found[order] = np.arange(neurons.size) - np.repeat(begins, lengths)
    return found


def pairs(
    sources: Neurons, targets: Neurons, weights: NDArray[np.float64] | float = 1.0
) -> tuple[Neurons, Neurons, NDArray[np.float64]]:
    """Distinct pairs of neurons, with the mean over a target's positions of their weights' sum.

    Parameters
    ----------
    sources, targets
        Broadcast against each other; entries without a source are left out.
    weights
        Of each entry, broadcast too.

    Returns
    -------
    sources, targets, weights
        Flat, ordered by target and source.

    Example
    -------
    >>> pairs(np.array([[0, 0], [1, 1]]), np.array([[2], [2]]), 0.25)
    (array([0, 1]), array([2, 2]), array([0.5, 0.5]))
    """
    one, other, factor = np.broadcast_arrays(sources, targets, np.asarray(weights, np.float64))
    times = 1
    for axis in range(one.ndim):
        # Axes along which nothing differs only multiply what stands there.
        if not any(array.strides[axis] for array in (one, other, factor)):
            times *= one.shape[axis]
            one, other, factor = (array.take([0], axis=axis) for array in (one, other, factor))
    there = one.ravel() >= 0
    source, target = one.ravel()[there], other.ravel()[there]
    weight = factor.ravel()[there] * times
    width = int(source.max(initial=0)) + 1
    code, inverse = np.unique(target * width + source, return_inverse=True)
    summed = np.bincount(inverse, weight, minlength=code.size)
    found = code // width
    # How often each target stands there, of all its positions.
    numbers, counts = np.unique(targets, return_counts=True)
    return code % width, found, summed / counts[np.searchsorted(numbers, found)]
