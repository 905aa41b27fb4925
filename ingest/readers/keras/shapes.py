"""Keras' layers that join values, or give the same entries in another shape or order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np

from ingest.readers.keras.layers import Family
from ingest.readers.keras.values import Shape, Step, Value
from ingest.readers.wording import damaged, reason
from store.errors import ShapeMismatch

Kinds: TypeAlias = Mapping[str, str]

_MERGES: Kinds = {
    "Add": "add",
    "Average": "add",
    "Subtract": "subtract",
    "Multiply": "product",
    "Maximum": "maximum",
    "Minimum": "minimum",
}


def flatten(step: Step) -> Value:
    """All entries in a row."""
    value = step.only()
    given = step.operations.in_order(value, step.name)
    if not step.channels_last() and len(value.shape) > 1:
        # Keras moves the channels to the end before it flattens.
        shape = (*value.shape[1:], value.shape[0])
        axes = (*range(1 - len(shape), 0), -len(shape))
        given = step.operations.add(
            f"{step.name}.channels_last", "permute", [given], shape, axes=axes
        )
    shape = (prod(value.shape),)
    made = step.operations.add(step.name, "flatten", [given], shape)
    return Value(shape, made, integers=value.integers)


def reshape(step: Step) -> Value:
    """The same entries, as Keras has them in order, in another shape."""
    value = step.only()
    target = step.config.get("target_shape")
    if not isinstance(target, list) or any(type(size) is not int for size in target):
        raise damaged(step.operations.path, f"layer {step.name[:80]!r} has no target shape")
    known = prod(size for size in target if size != -1)
    shape = tuple(prod(value.shape) // max(1, known) if size == -1 else size for size in target)
    if prod(shape) != prod(value.shape) or any(size < 1 for size in shape):
        raise ShapeMismatch(
            f"Layer {step.name!r} cannot turn the shape {value.shape} into {tuple(target)}."
        )
    given = step.operations.in_order(value, step.name)
    made = step.operations.add(step.name, "reshape", [given], shape)
    return Value(shape, made, integers=value.integers)


def permute(step: Step) -> Value:
    """The axes in another order, straight from the order in which the value was made."""
    value = step.only()
    dims, rank = step.config.get("dims"), len(value.shape)
    if not isinstance(dims, list) or sorted(map(str, dims)) != sorted(map(str, range(1, rank + 1))):
        raise step.misfit(f"cannot put the axes of {value.shape} in the order {reason(dims)}")
    places = [int(dim) - 1 for dim in dims]
    shape = tuple(value.shape[place] for place in places)
    made = step.operations.add(
        step.name,
        "permute",
        [step.operations.as_made(value)],
        shape,
        axes=tuple(step.axis_as_made(place, value) for place in places),
    )
    return Value(shape, made, integers=value.integers, masked=value.masked)


def repeat_vector(step: Step) -> Value:
    """One vector at several steps."""
    value, times = step.only(), step.whole("n")
    if len(value.shape) != 1:
        raise step.misfit(f"cannot repeat the shape {value.shape} {times} times")
    features = value.shape[0]
    given = step.operations.in_order(value, step.name)
    row = step.operations.add(f"{step.name}.row", "reshape", [given], (1, features))
    made = step.operations.add(step.name, "expand", [row], (times, features))
    return Value((times, features), made)


def merge(step: Step) -> Value:
    """Add, Average, Subtract, Multiply, Maximum, Minimum of values that broadcast."""
    class_name, values = step.layer.class_name, step.inputs
    if step.named or len(values) < 2 or (class_name == "Subtract" and len(values) > 2):
        raise step.refused(f" of {len(values)} inputs")
    if class_name != "Average":
        return joined(step, _MERGES[class_name], values, step.name)
    total = joined(step, "add", values, f"{step.name}.sum")
    return step.elementwise("times", total, factor=1 / len(values))


def joined(step: Step, kind: str, values: Sequence[Value], name: str) -> Value:
    """An operation of several values that broadcast, with their channels first if all have so."""
    first = _all_first(values)
    try:
        shape = np.broadcast_shapes(*(value.shape for value in values))
    except ValueError as error:
        raise step.misfit(
            f"cannot join the shapes {', '.join(str(value.shape) for value in values)}"
        ) from error
    ordered = (*shape[-1:], *shape[:-1]) if first else shape
    made, *others = _given(step, values, first)
    if kind in ("add", "product"):
        made = step.operations.add(name, kind, [made, *others], ordered)
    else:
        # They take two.
        for other in others:
            made = step.operations.add(name, kind, [made, other], ordered)
    masked = any(value.masked for value in values)
    return Value(shape, first=made, masked=masked) if first else Value(shape, made, masked=masked)


def _all_first(values: Sequence[Value]) -> bool:
    """Whether all values are there with their channels first."""
    alike = len({len(value.shape) for value in values}) == 1
    return alike and all(value.first is not None for value in values)


def _given(step: Step, values: Sequence[Value], first: bool) -> list[str]:
    operations = step.operations
    order = operations.channels_first if first else operations.in_order
    return [order(value, step.name) for value in values]


def concatenate(step: Step) -> Value:
    """Values side by side along an axis."""
    values = step.inputs
    if step.named or len(values) < 2:
        raise step.refused(f" of {len(values)} inputs")
    shapes = [value.shape for value in values]
    place = step.axis(step.config.get("axis", -1), values[0])
    if len({(*shape[:place], *shape[place + 1 :]) for shape in shapes}) != 1 or any(
        len(shape) != len(shapes[0]) for shape in shapes
    ):
        raise step.misfit(f"cannot join the shapes {', '.join(map(str, shapes))}")
    length = sum(shape[place] for shape in shapes)
    shape: Shape = (*shapes[0][:place], length, *shapes[0][place + 1 :])
    first, rank = _all_first(values), len(shape)
    axis = place - rank
    if first:
        axis = -rank if place == rank - 1 else axis + 1
    made = step.operations.add(
        step.name,
        "concat",
        _given(step, values, first),
        (*shape[-1:], *shape[:-1]) if first else shape,
        axis=axis,
    )
    whole = all(value.integers for value in values)
    integers = frozenset().union(*(value.integers for value in values)) if whole else frozenset()
    masked = any(value.masked for value in values)
    last, first_made = (None, made) if first else (made, None)
    return Value(shape, last, first_made, integers, masked)


FAMILIES: Mapping[str, Family] = {
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "RepeatVector": repeat_vector,
    "Concatenate": concatenate,
    **dict.fromkeys(_MERGES, merge),
}
