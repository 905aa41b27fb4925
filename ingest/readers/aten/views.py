"""Views: entries in other shapes, orders and parts, in the memory that they are in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Axis, Factor, Role, has, is_plain, own, shape_of
from ingest.readers.aten.walk import Results, Rule, Walk


def reshape(call: Call, walk: Walk) -> Results:
    """Any change of shape that keeps the order of the entries."""
    return walk.reshape(call, walk.value(call, call.source), call.shape)


def squeeze(call: Call, walk: Walk) -> Results:
    """Axes of length 1 taken out."""
    value = walk.value(call, call.source)
    rank = len(value.axes)
    dims = call.arguments.get("dim")
    named = range(rank) if dims is None else [dims] if isinstance(dims, int) else dims
    numbers = {dim % rank for dim in named if shape_of(value.axes)[dim] == 1}
    if any(has(value.axes[number], Role.BATCH) for number in numbers):
        raise walk.mixes(call)
    axes = tuple(axis for number, axis in enumerate(value.axes) if number not in numbers)
    return walk.lay(call, value, axes)


def unsqueeze(call: Call, walk: Walk) -> Results:
    """An axis of length 1 put in."""
    value = walk.value(call, call.source)
    at = call.arguments["dim"] % (len(value.axes) + 1)
    return unsqueezed(call, walk, value, at)


def unsqueezed(call: Call, walk: Walk, value: Value, at: int) -> Value:
    """An axis of length 1 put in before another."""
    axes = (*value.axes[:at], (Factor(1),), *value.axes[at:])
    return walk.lay(call, value, axes)


def permute(call: Call, walk: Walk) -> Results:
    """Axes in another order."""
    return walk.permute(call, walk.value(call, call.source), call.arguments["dims"])


def swap(first: str, second: str) -> Rule:
    """Two axes exchanged."""

    def rule(call: Call, walk: Walk) -> Results:
        one, other = call.arguments[first], call.arguments[second]
        return _swapped(call, walk, one, other)

    return rule


def swap_last(call: Call, walk: Walk) -> Results:
    """The last two axes exchanged."""
    return _swapped(call, walk, -1, -2)


def _swapped(call: Call, walk: Walk, one: int, other: int) -> Value:
    value = walk.value(call, call.source)
    order = list(range(len(value.axes)))
    order[one], order[other] = order[other], order[one]
    return walk.permute(call, value, order)


def transpose(call: Call, walk: Walk) -> Results:
    """All axes in the reverse order."""
    value = walk.value(call, call.source)
    return walk.permute(call, value, range(len(value.axes))[::-1])


def move(call: Call, walk: Walk) -> Results:
    """Some axes moved to other places."""
    value = walk.value(call, call.source)
    numbers = range(len(value.axes))
    source, target = (
        [given] if isinstance(given, int) else list(given)
        for given in (call.arguments["source"], call.arguments["destination"])
    )
    moved = {numbers[to]: numbers[at] for at, to in zip(source, target, strict=True)}
    rest = iter(number for number in numbers if number not in moved.values())
    return walk.permute(call, value, [moved[n] if n in moved else next(rest) for n in numbers])


def cut(call: Call, walk: Walk) -> Results:
    """Entries from..to of an axis."""
    value = walk.value(call, call.source)
    dim, size = call.arguments["dim"], shape_of(value.axes)[call.arguments["dim"]]
    step = call.arguments.get("step", 1)
    if step < 1:
        raise call.refused(f" with step={step}")
    bounds = slice(call.arguments.get("start"), call.arguments.get("end"), step)
    start, stop, step = bounds.indices(size)
    if (
        has(value.axes[dim], Role.BATCH)
        and bounds.stop in (None, sys.maxsize)
        and stop - start == size
    ):
        # Of so many samples as there are; a number of them would be another model's.
        return value
    return _cut(call, walk, value, dim, start, stop, step)


def narrow(call: Call, walk: Walk) -> Results:
    """So many entries of an axis."""
    start, dim = call.arguments["start"], call.arguments["dim"]
    if isinstance(start, Ref):
        raise call.refused(" with a computed argument")
    value = walk.value(call, call.source)
    start %= shape_of(value.axes)[dim] or 1
    return _cut(call, walk, value, dim, start, start + call.arguments["length"], 1)


def _cut(call: Call, walk: Walk, value: Value, dim: int, start: int, stop: int, step: int) -> Value:
    if has(value.axes[dim], Role.BATCH):
        raise walk.mixes(call)
    return walk.cut(call, value, dim, start, stop, step)


def select(call: Call, walk: Walk) -> Results:
    """One entry of an axis, which goes."""
    value = walk.value(call, call.source)
    return selected(call, walk, value, call.arguments["dim"], call.arguments["index"])


def selected(call: Call, walk: Walk, value: Value, dim: int, index: int) -> Value:
    """One entry of an axis, which goes; a repetition has the same at all."""
    number = dim % len(value.axes)
    axis = value.axes[number]
    if has(axis, Role.BATCH):
        raise walk.mixes(call)
    if not has(axis, Role.SPREAD):
        at = range(axis[0].size)[index]
        value = walk.cut(call, value, number, at, at + 1, part="slice")
        axis = (Factor(1),)
    elif len(axis) > 1:
        raise walk.mixes(call)
    return walk.lay(call, value, (*value.axes[:number], *value.axes[number + 1 :]))


def expand(call: Call, walk: Walk) -> Results:
    """Axes of length 1 repeated, and further ones before them."""
    value = walk.value(call, call.source)
    return expanded(call, walk, value, call.shape)


def expanded(call: Call, walk: Walk, value: Value, shape: Sequence[int]) -> Value:
    """A tensor repeated to a shape; one that depends on no sample, without an operation yet."""
    missing = len(shape) - len(value.axes)
    axes = ((Factor(1),),) * missing + value.axes
    depends = any(has(axis, Role.BATCH) for axis in axes)
    found: list[Axis] = []
    ones: list[Axis] = []
    for axis, was, size in zip(axes, shape_of(axes), shape, strict=True):
        grows = was == 1 and (size != 1 or not is_plain(axis))
        if grows and has(axis, Role.BATCH):
            if size != 1:
                raise walk.mixes(call)
            grows = False
        role = Role.OWN if depends else Role.SPREAD
        found.append((Factor(size, role),) if grows else axis)
        ones.append((Factor(1, role),) if grows else axis)
    value = walk.lay(call, value, tuple(ones), part="reshape")
    if own(tuple(found)) == own(value.axes):
        return Value(value.operation, tuple(found))
    return walk.lay(call, value, tuple(found), kind="expand")


# They take one tensor and show its entries.
VIEWS: Mapping[str, Rule] = {
    "broadcast_to.default": expand,
    "expand.default": expand,
    "flatten.using_ints": reshape,
    "mT.default": swap_last,
    "movedim.int": move,
    "movedim.intlist": move,
    "narrow.default": narrow,
    "numpy_T.default": transpose,
    "permute.default": permute,
    "reshape.default": reshape,
    "select.int": select,
    "slice.Tensor": cut,
    "squeeze.default": squeeze,
    "squeeze.dim": squeeze,
    "squeeze.dims": squeeze,
    "swapaxes.default": swap("axis0", "axis1"),
    "swapdims.default": swap("dim0", "dim1"),
    "t.default": transpose,
    "transpose.int": swap("dim0", "dim1"),
    "unflatten.int": reshape,
    "unsafe_view.default": reshape,
    "unsqueeze.default": unsqueeze,
    "view.default": reshape,
}

# They take the shape of another tensor.
VIEWS_AS: Mapping[str, Rule] = {
    "expand_as.default": expand,
    "reshape_as.default": reshape,
    "view_as.default": reshape,
}
