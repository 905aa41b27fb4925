"""Tensors taken apart, and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingest.readers.aten.calls import GETITEM, Call, Ref
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Factor, Role, common, fitted, has, own
from ingest.readers.aten.views import unsqueezed
from ingest.readers.aten.walk import Held, Results, Rule, Walk, shape_held


def pieces(call: Call, walk: Walk) -> Results:
    """An axis in several parts: each one is a slice, or one entry."""
    shape = shape_held(walk.find(call, call.source))
    dim = call.arguments["dim"] % len(shape)
    taken = walk.taken[call.name]
    results: list[Held | None] = []
    for number in range(max(taken, default=-1) + 1):
        if number in taken:
            part = _piece(call, walk, number, dim, shape)
            results.append(walk.find(part, walk.run(part)))
        else:
            results.append(None)
    return tuple(results)


def _piece(call: Call, walk: Walk, number: int, dim: int, shape: tuple[int, ...]) -> Call:
    """The call of a view that gives one part alone."""
    given: dict[str, object] = {"self": call.source, "dim": dim}
    kept: tuple[int, ...] = ()
    if call.operator == "unbind":
        target, given["index"] = "aten.select.int", number
    else:
        start, stop = _bounds(call, number, shape[dim])
        target, kept = "aten.slice.Tensor", (stop - start,)
        given |= {"start": start, "end": stop, "step": 1}
    dtype = walk.dtypes.get(call.source.name, "") if isinstance(call.source, Ref) else ""
    shape = (*shape[:dim], *kept, *shape[dim + 1 :])
    return Call(f"{call.name}.{number}", target, given, call.module, False, shape, dtype)


def _bounds(call: Call, number: int, size: int) -> tuple[int, int]:
    """Where a part of an axis begins and ends."""
    match call.key:
        case "chunk.default":
            length = -(-size // call.arguments["chunks"])
        case "split.Tensor":
            length = call.arguments["split_size"]
        case "tensor_split.sections":
            each, more = divmod(size, call.arguments["sections"])
            start = number * each + min(number, more)
            return start, start + each + (number < more)
        case _:
            given = call.arguments
            sizes = given["split_size" if call.key == "split.sizes" else "split_sizes"]
            start = sum(sizes[:number])
            return start, start + sizes[number]
    return number * length, min((number + 1) * length, size)


def getitem(call: Call, walk: Walk) -> Results:
    """One of several results."""
    source = call.source
    results = walk.held.get(source.name) if isinstance(source, Ref) else None
    if not isinstance(results, tuple):
        raise call.refused(" of something else than several results")
    found: Held | None = results[call.arguments["index"]]
    if found is None:
        raise call.refused(f" of result {call.arguments['index']}")
    return found


def cat(call: Call, walk: Walk) -> Results:
    """Tensors one after another along an axis."""
    # torch leaves out an old kind of empty tensor.
    given = [
        part for part in call.arguments["tensors"] if shape_held(walk.find(call, part)) != (0,)
    ]
    return concatenated(call, walk, walk.values(call, given), call.arguments.get("dim", 0))


def hstack(call: Call, walk: Walk) -> Results:
    """Tensors one after another along the second axis."""
    values = walk.values(call, call.arguments["tensors"])
    return concatenated(call, walk, values, 1 if len(call.shape) > 1 else 0)


def stack(call: Call, walk: Walk) -> Results:
    """Tensors one after another along an axis of their own."""
    values = walk.values(call, call.arguments["tensors"])
    at = call.arguments["dim"] % len(call.shape)
    return concatenated(call, walk, [unsqueezed(call, walk, v, at) for v in values], at)


def concatenated(
    call: Call, walk: Walk, values: Sequence[Value], dim: int, *, part: str = ""
) -> Value:
    """Tensors one after another along a plain axis, all else being the same."""
    number = dim % len(values[0].axes)
    if any(has(value.axes[number], Role.BATCH) for value in values):
        raise walk.mixes(call)
    solid = [walk.along(call, value, number)[0] for value in values]
    if len(solid) == 1:
        return solid[0]
    # Along their other axes they must be alike: a part of length 1 stands for each.
    ones = [(*value.axes[:number], (Factor(1),), *value.axes[number + 1 :]) for value in solid]
    whole = common(ones)
    if whole is None:
        raise walk.mixes(call)
    names = []
    for value in solid:
        length = value.axes[number]
        wanted = (*whole[:number], length, *whole[number + 1 :])
        shape = fitted(value.axes, wanted)
        if shape is None:
            raise walk.mixes(call)
        laid = walk.in_shape(call, value, shape)
        if shape != own(wanted):
            laid = walk.emit(call, "expand", (laid,), own(wanted), part="expand")
        names.append(laid)
    total = sum(value.axes[number][0].size for value in solid)
    axes = (*whole[:number], (Factor(total),), *whole[number + 1 :])
    given = {"axis": -len(own(axes[number:]))}
    return Value(walk.emit(call, "concat", names, own(axes), None, given, part=part), axes)


# Their results show entries of their argument.
PIECES: Mapping[str, Rule] = {
    "chunk.default": pieces,
    "split.Tensor": pieces,
    "split.sizes": pieces,
    "split_with_sizes.default": pieces,
    "tensor_split.sections": pieces,
    "unbind.int": pieces,
    GETITEM: getitem,
}

JOINS: Mapping[str, Rule] = {
    "cat.default": cat,
    "concat.default": cat,
    "concatenate.default": cat,
    "hstack.default": hstack,
    "stack.default": stack,
}
