"""How a layer's input lies in the values of other layers: reshaped, cut, joined, but not computed.

A view is a tree of tuples, kept in the graph as JSON (``Layer.takes``, ``Network.outputs``)::

    ("layer", 3)                                the values of layer 3, in its shape
    ("parameter", 7)                            a tensor of the network, kept whole as a constant
    ("reshape", view, shape)                    ("expand", view, shape)
    ("permute", view, axes)                     ("slice", view, axis, start, stop, step)
    ("take", view, axis, indices)               ("pad", view, pairs, mode)
    ("concat", axis, view, view, ...)

Shapes are of one sample; axes are negative, so that a batch axis before them changes nothing. The
same tree says which neurons a layer takes from (when evaluated on neuron ids) and what values
(when evaluated on activations): ingest does the one, queries the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

View: TypeAlias = tuple[Any, ...]

# NumPy's names for what fills the places that padding adds.
_PAD_MODES: dict[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def dumps(views: Sequence[View]) -> str:
    """The views as JSON."""
    return json.dumps(views, separators=(",", ":"))


def loads(text: str) -> tuple[View, ...]:
    """Views from JSON."""
    return tuple(tuples(part) for part in json.loads(text))


def tuples(value: Any) -> Any:
    """What JSON gave, with tuples for its lists."""
    return tuple(tuples(part) for part in value) if isinstance(value, list) else value


def neurons(shape: Sequence[int], axes: Sequence[int], first: int = 0) -> NDArray[np.int64]:
    """The neuron of its layer that each value of a layer belongs to, in the layer's shape.

    Parameters
    ----------
    axes
        Those along which the neurons stand, ascending from 0; along the others they repeat.
    first
        Number of the layer's first neuron.

    Example
    -------
    >>> neurons((2, 3), (1,)).tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    sizes = [length if axis in axes else 1 for axis, length in enumerate(shape)]
    return np.broadcast_to(np.arange(first, first + prod(sizes)).reshape(sizes), shape)


def leaves(view: View, kind: str = "layer") -> Iterator[int]:
    """Indices of the layers (or parameters) in a view, from left to right.

    Example
    -------
    >>> list(leaves(("concat", -1, ("layer", 2), ("reshape", ("layer", 0), (3,)))))
    [2, 0]
    """
    if view[0] in ("layer", "parameter"):
        if view[0] == kind:
            yield view[1]
        return
    for part in view[1:]:
        if isinstance(part, tuple) and part and isinstance(part[0], str):
            yield from leaves(part, kind)


def size(view: View) -> int:
    """Number of steps in a view."""
    parts = [p for p in view[1:] if isinstance(p, tuple) and p and isinstance(p[0], str)]
    return 1 + sum(size(part) for part in parts)


def evaluate(
    view: View,
    leaf: Callable[[str, int], NDArray[Any]],
    *,
    samples: int | None = None,
    fill: float = 0,
) -> NDArray[Any]:
    """The array that a view makes of its leaves'.

    Parameters
    ----------
    leaf
        ``leaf("layer", 3)`` gives the array of layer 3, ``leaf("parameter", 7)`` a constant.
    samples
        Length of the batch axis before the shape of each layer's array; None where there is none.
        Constants have none and get one.
    fill
        What stands where padding adds zeros: -1 among ids of neurons.

    Example
    -------
    >>> evaluate(("slice", ("layer", 0), -1, 1, 3, 1), lambda kind, index: np.arange(4)).tolist()
    [1, 2]
    """
    if view[0] == "parameter":
        array = leaf("parameter", view[1])
        return array if samples is None else np.broadcast_to(array, (samples, *array.shape))
    if view[0] == "layer":
        return leaf("layer", view[1])
    lead = () if samples is None else (samples,)
    if view[0] == "concat":
        parts = [evaluate(part, leaf, samples=samples, fill=fill) for part in view[2:]]
        return np.concatenate(parts, axis=view[1])
    return step(view, evaluate(view[1], leaf, samples=samples, fill=fill), lead=lead, fill=fill)


def step(
    view: View, array: NDArray[Any], *, lead: tuple[int, ...] = (), fill: float = 0
) -> NDArray[Any]:
    """One step of a view, other than ``concat``, on the array that it takes.

    Parameters
    ----------
    lead
        Shape before the sample's: ``()`` or ``(batch,)``.
    """
    match view:
        case ("reshape", _, shape):
            return array.reshape((*lead, *shape))
        case ("expand", _, shape):
            # A sample may gain axes, which come between the batch axis and its own.
            missing = len(shape) - (array.ndim - len(lead))
            whole = (*lead, *(1,) * missing, *array.shape[len(lead) :])
            return np.broadcast_to(array.reshape(whole), (*lead, *shape))
        case ("permute", _, axes):
            first = tuple(range(len(lead)))
            return array.transpose(first + tuple(axis % array.ndim for axis in axes))
        case ("slice", _, axis, start, stop, stride):
            index: list[Any] = [slice(None)] * array.ndim
            index[axis] = slice(start, stop, stride)
            sliced: NDArray[Any] = array[tuple(index)]
            return sliced
        case ("take", _, axis, indices):
            return array.take(np.asarray(indices, dtype=np.int64), axis=axis)
        case ("pad", _, pairs, mode):
            widths = [(0, 0)] * len(lead) + [(int(before), int(after)) for before, after in pairs]
            if mode == "zeros":
                return np.pad(array, widths, constant_values=fill)
            return np.pad(array, widths, mode=_PAD_MODES[mode])
    raise ValueError(f"{view[0]!r} is no step of a view.")
