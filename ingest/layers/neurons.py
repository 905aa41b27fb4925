"""Arithmetic on arrays of neuron numbers: where they differ, which pairs they make.

An array of neurons has the shape of a value and says which neuron each entry belongs to; -1 stands
where no neuron is (padding, constants). In a shared view one neuron stands at many positions.
"""

from __future__ import annotations

from math import prod

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
        Flat.

    Example
    -------
    >>> pairs(np.array([[0, 0], [1, 1]]), np.array([[2], [2]]), 0.25)
    (array([0, 1]), array([2, 2]), array([0.25, 0.25]))
    """
    one, other, factor = np.broadcast_arrays(sources, targets, np.asarray(weights, np.float64))
    # Axes along which nothing differs only multiply what stands there.
    spread = [axis for axis in range(one.ndim) if not (one.strides[axis] or other.strides[axis]
                                                       or factor.strides[axis])]  # fmt: skip
    times = prod(one.shape[axis] for axis in spread)
    cut = tuple(slice(0, 1) if axis in spread else slice(None) for axis in range(one.ndim))
    one, other, factor = one[cut], other[cut], factor[cut]
    there = one.ravel() >= 0
    source, target = one.ravel()[there], other.ravel()[there]
    weight = factor.ravel()[there] * times
    if _told_apart(one, other):
        # Each entry is a pair of its own, which spares the search: there can be very many.
        return source, target, weight / (targets.size // _once(targets).size)
    width = int(source.max(initial=0)) + 1
    code, inverse = np.unique(target * width + source, return_inverse=True)
    summed = np.bincount(inverse, weight, minlength=code.size)
    found = code // width
    # How often each target stands there, of all its positions.
    numbers, counts = np.unique(targets, return_counts=True)
    return code % width, found, summed / counts[np.searchsorted(numbers, found)]


def _told_apart(sources: Neurons, targets: Neurons) -> bool:
    """Whether each entry of two arrays of one shape is another pair, as their strides show it."""
    if any(
        size > 1 and not (sources.strides[axis] or targets.strides[axis])
        for axis, size in enumerate(sources.shape)
    ):
        return False
    return all_different(_once(sources)) and all_different(_once(targets))


def all_different(neurons: Neurons) -> bool:
    """Whether no neuron stands at two places.

    Example
    -------
    >>> all_different(np.array([3, -1, 4, -1])), all_different(np.array([3, 4, 3]))
    (True, False)
    """
    there = neurons[neurons >= 0]
    if (there[1:] > there[:-1]).all():
        return True
    # Faster than np.unique, which is slow on numbers that follow each other.
    ordered = np.sort(there)
    return bool((ordered[1:] != ordered[:-1]).all())


def _once(neurons: Neurons) -> Neurons:
    """Without the axes along which an array was only spread out."""
    return neurons[tuple(slice(None) if stride else slice(0, 1) for stride in neurons.strides)]
