"""Where a value of one sample lies in the tensors of a program, which hold many samples.

An operation has shapes of one sample; a program's tensor also has a batch axis, which need not be
the first (``nn.MultiheadAttention`` puts the sequence first) and need not be an axis of its own
(it merges the samples with the heads). So each axis of a tensor is a sequence of factors, of which
one may be the batch; the others, in their order, are the axes of the operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from math import prod
from typing import TypeAlias


class Role(Enum):
    """What a factor is: an axis of the operation, the batch, or a repetition of all values."""

    OWN = "own"
    BATCH = "batch"
    # Of a tensor that is the same for all samples: the operation does not have this axis.
    SPREAD = "spread"


@dataclass(frozen=True)
class Factor:
    """A part of an axis, outermost first."""

    size: int
    role: Role = Role.OWN


Axis: TypeAlias = tuple[Factor, ...]
Axes: TypeAlias = tuple[Axis, ...]


def batch_first(shape: Sequence[int]) -> Axes:
    """The axes of a tensor whose first one is the batch."""
    return ((Factor(shape[0], Role.BATCH),), *plain(shape[1:]))


def plain(shape: Sequence[int]) -> Axes:
    """The axes of a tensor that are those of the operation."""
    return tuple((Factor(size),) for size in shape)


def shape_of(axes: Axes) -> tuple[int, ...]:
    """The tensor's shape."""
    return tuple(prod(factor.size for factor in axis) for axis in axes)


def own(axes: Axes) -> tuple[int, ...]:
    """The operation's shape."""
    return tuple(factor.size for axis in axes for factor in axis if factor.role is Role.OWN)


def has(axis: Axis, role: Role) -> bool:
    """Whether an axis holds a factor of a role."""
    return any(factor.role is role for factor in axis)


def batches(axes: Axes) -> int:
    """In how many axes the batch lies."""
    return sum(has(axis, Role.BATCH) for axis in axes)


def is_plain(axis: Axis) -> bool:
    """Whether an axis is one of the operation's, and nothing else."""
    return len(axis) == 1 and axis[0].role is Role.OWN


def negative(axes: Axes, number: int) -> int:
    """The operation's axis that a plain axis is, counted from the last."""
    return -len(own(axes[number:]))


def permuted(axes: Axes, order: Sequence[int]) -> tuple[Axes, tuple[int, ...]]:
    """Axes in another order, and where each axis of the operation then comes from."""
    counter = iter(range(-len(own(axes)), 0))
    places = [[next(counter) for factor in axis if factor.role is Role.OWN] for axis in axes]
    return (
        tuple(axes[number] for number in order),
        tuple(place for number in order for place in places[number]),
    )


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The axes of the same values in another shape; None if that tears the batch apart.

    Example
    -------
    >>> tokens = batch_first((2, 5, 8))
    >>> [len(axis) for axis in reshaped(tokens, (10, 2, 4))]
    [2, 1, 1]
    >>> own(reshaped(tokens, (10, 2, 4)))
    (5, 2, 4)
    >>> reshaped(tokens, (5, 2, 8)) is None
    True
    """
    rest = list(_runs(axes))
    found: list[Axis] = []
    for size in shape:
        axis: list[Factor] = []
        left = size
        if size == 1 and rest and rest[0].size == 1:
            axis.append(rest.pop(0))
        while left > 1:
            if not rest:
                return None
            factor = rest.pop(0)
            if factor.role is Role.OWN and factor.size > left and factor.size % left == 0:
                rest.insert(0, Factor(factor.size // left))
                factor = Factor(left)
            if left % factor.size:
                return None
            axis.append(factor)
            left //= factor.size
        found.append(tuple(axis) or (Factor(1),))
    if any(factor.size > 1 for factor in rest):
        return None
    if rest:
        # A batch of one sample at the end.
        last = found.pop() if found else (Factor(1),)
        found.append((*(factor for factor in last if factor != Factor(1)), *rest))
    return tuple(found)


def _runs(axes: Axes) -> Iterator[Factor]:
    """The factors of all axes; neighbours of the operation's own are one, those of 1 left out."""
    run = 1
    for axis in axes:
        for factor in axis:
            if factor.role is Role.OWN:
                run *= factor.size
                continue
            if run > 1:
                yield Factor(run)
            run = 1
            yield factor
    if run > 1:
        yield Factor(run)


def common(operands: Sequence[Axes]) -> Axes | None:
    """The axes to which tensors broadcast; None if that brings samples together."""
    columns = zip_longest(*(reversed(axes) for axes in operands))
    found = tuple(
        max((axis for axis in column if axis is not None), key=_rank) for column in columns
    )[::-1]
    return found if batches(found) <= 1 else None


def _rank(axis: Axis) -> tuple[bool, bool, bool]:
    """Of the axes that broadcast to one, the batch counts most, then what is not repeated."""
    return (
        has(axis, Role.BATCH),
        prod(factor.size for factor in axis) > 1,
        has(axis, Role.OWN),
    )


def fitted(axes: Axes, pattern: Axes) -> tuple[int, ...] | None:
    """The shape in which an operation broadcasts as its tensor does; None if there is none.

    Parameters
    ----------
    axes
        Of the tensor.
    pattern
        What :func:`common` found for it and others.
    """
    shape: list[int] = []
    for axis, wanted in zip(reversed(axes), reversed(pattern), strict=False):
        parts = _fitted(axis, wanted)
        if parts is None:
            return None
        shape[:0] = parts
    return tuple(shape)


def _fitted(axis: Axis, wanted: Axis) -> list[int] | None:
    ones = [1 for factor in wanted if factor.role is Role.OWN]
    if len(axis) == 1 and not has(axis, Role.BATCH):
        size = axis[0].size
        if size == 1:
            return ones
        if axis[0].role is Role.SPREAD and size == prod(factor.size for factor in wanted):
            return ones
    if [factor.size for factor in axis] != [factor.size for factor in wanted]:
        return None
    parts = []
    for factor, other in zip(axis, wanted, strict=True):
        if other.role is Role.OWN and factor.role is not Role.BATCH:
            parts.append(factor.size if factor.role is Role.OWN else 1)
        elif other.role is Role.OWN or factor.role not in (other.role, Role.SPREAD):
            return None
    return parts
