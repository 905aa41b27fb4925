"""ONNX's operators that compute nothing: values in another shape or order, cut, joined, padded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from ingest.readers.onnx.matrices import embedding
from ingest.readers.onnx.nodes import Constant, Held, Node, Shape, Value, resolved
from ingest.readers.onnx.walk import Handler, Walk

# Entries of one operation's indices, which stand in the graph one by one.
MOST_INDICES = 100_000
# From here on the end of a slice of samples means all of them.
_ALL = 1_000_000

Numbers: TypeAlias = NDArray[np.int64]


# -- shapes --------------------------------------------------------------------------------------


def shape(node: Node, _: Walk) -> Sequence[Value]:
    """A shape is known before anything is computed; its batch axis has the length of one sample."""
    found: Shape = node.held(0).shape
    if node.operator == "Size":
        array = np.array(prod(found), np.int64)
    else:
        end = node.whole("end", len(found))
        array = np.array(found[node.whole("start", 0) : end], np.int64)
    return [Constant.of(node.outputs[0], array, TensorProto.INT64)]


def reshape(node: Node, walk: Walk) -> Sequence[Value]:
    node.ignore("allowzero")
    found = _reshaped(node, walk, node.held(0))
    ones = [axis for axis, length in enumerate(found.shape) if length == 1]
    # The file counts the samples itself, which had been joined with another axis.
    counted = node.constant(1, "shape").parameter is None and walk.varies(found)
    if found.batch is None and counted and len(ones) == 1:
        return [walk.reshaped(found, found.shape, ones[0], node.name)]
    return [found]


def flatten(node: Node, walk: Walk) -> Sequence[Value]:
    held = node.held(0)
    node.ignore("axis")
    kind = "flatten" if node.shape[:1] == (1,) else "reshape"
    return [_reshaped(node, walk, held, kind)]


def _reshaped(node: Node, walk: Walk, held: Held, kind: str = "reshape") -> Held:
    wanted = node.shape
    batch = _place(held.shape, held.batch, wanted)
    return walk.reshaped(held, wanted, walk.batch_of(held, wanted, batch), node.name, kind)


def _place(given: Shape, batch: int | None, wanted: Shape) -> int | None:
    """Where the batch axis lies in a new shape: with as many entries before it as it had.

    None where it is joined with other axes, which leaves the order of one sample's entries.
    """
    if batch is None:
        return None
    before = prod(given[:batch])
    places = [
        axis for axis, length in enumerate(wanted) if length == 1 and prod(wanted[:axis]) == before
    ]
    return batch if batch in places else next(iter(places), None)


def squeeze(node: Node, walk: Walk) -> Sequence[Value]:
    held = node.held(0)
    rank, told = len(held.shape), node.axes(1)
    if told is None:
        # With more samples the batch axis would stay.
        gone = [axis for axis, length in enumerate(held.shape) if length == 1]
        axes = tuple(axis for axis in gone if axis != held.batch or walk.single)
    else:
        axes = resolved(node, told, rank)
        if any(held.shape[axis] != 1 for axis in axes):
            raise node.refused(f" of the shape {held.shape}")
    left = tuple(length for axis, length in enumerate(held.shape) if axis not in axes)
    batch = held.batch
    if batch is not None:
        batch = None if batch in axes else batch - sum(axis < batch for axis in axes)
    return [walk.reshaped(held, left, batch, node.name)]


def unsqueeze(node: Node, walk: Walk) -> Sequence[Value]:
    held, wanted = node.held(0), node.shape
    axes = resolved(node, node.axes(1) or (), len(wanted))
    kept = [axis for axis in range(len(wanted)) if axis not in axes]
    batch = walk.batch_of(held, wanted, None if held.batch is None else kept[held.batch])
    return [walk.reshaped(held, wanted, batch, node.name)]


def transpose(node: Node, walk: Walk) -> Sequence[Value]:
    held = node.held(0)
    rank = len(held.shape)
    order = resolved(node, node.wholes("perm") or range(rank)[::-1], rank)
    batch = None if held.batch is None else order.index(held.batch)
    inner = [axis for axis in order if axis != held.batch]
    places = sorted(inner)
    moved = walk.permuted(walk.plain(held), [places.index(axis) for axis in inner], node.name)
    return [Held(moved.operation, tuple(held.shape[axis] for axis in order), batch, held.type)]


def expand(node: Node, walk: Walk) -> Sequence[Value]:
    held, wanted = node.held(0), node.shape
    more = len(wanted) - len(held.shape)
    batch = None if held.batch is None else held.batch + more
    if batch is not None and wanted[batch] != 1:
        node.mixes()
    if prod(wanted) == prod(held.shape):
        batch = walk.batch_of(held, wanted, batch)
        return [walk.reshaped(held, wanted, batch, node.name)]
    return [walk.emit(node.name, "expand", [held], wanted, batch)]


# -- parts ---------------------------------------------------------------------------------------


def slices(node: Node, walk: Walk) -> Sequence[Value]:
    held = node.held(0)
    rank = len(held.shape)
    starts = node.constant(1, "start").integers
    told = node.constant(2, "end")
    ends = told.integers
    axes = node.constant(3, "axes").integers if node.has(3) else tuple(range(len(starts)))
    steps = node.constant(4, "step").integers if node.has(4) else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise node.refused(" with starts, ends, axes and steps that do not fit")
    found = held
    for number, (axis, start, end, step) in enumerate(
        zip(resolved(node, axes, rank), starts, ends, steps, strict=True)
    ):
        indices = range(*slice(start, end, step).indices(held.shape[axis]))
        if axis == held.batch and not walk.single:
            # Of one sample all ends are the last, but a file may count the samples itself.
            counted = told.parameter is None and end == 1
            if start or step < 0 or not (counted or end >= _ALL):
                node.mixes()
        name = node.name if number == len(axes) - 1 else f"{node.name}.{number}"
        found = _part(node, walk, found, axis, indices, name)
    return [found]


def _part(node: Node, walk: Walk, held: Held, axis: int, indices: range, name: str) -> Held:
    """Some entries along an axis."""
    if not indices:
        raise node.refused(" that leaves nothing")
    if held.axis(axis) is None:
        if len(indices) != held.shape[axis]:
            node.mixes()
        return held
    if indices.step > 0:
        return walk.sliced(held, axis, (indices.start, indices[-1] + 1, indices.step), name)
    return _taken(node, walk, held, axis, list(indices), name)


def _taken(
    node: Node, walk: Walk, held: Held, axis: int, indices: Sequence[int], name: str
) -> Held:
    """Entries along an axis in any order."""
    if len(indices) > MOST_INDICES:
        raise node.refused(f" of {len(indices)} indices")
    along = held.axis(axis)
    if along is None:
        node.mixes()
    wanted = (*held.shape[:axis], len(indices), *held.shape[axis + 1 :])
    attributes = {"axis": along, "indices": tuple(indices)}
    return walk.emit(name, "take", [held], wanted, held.batch, attributes=attributes)


def split(node: Node, walk: Walk) -> Sequence[Value]:
    """Parts, whose lengths ONNX infers."""
    node.ignore("split", "num_outputs")
    held = node.held(0)
    (axis,) = resolved(node, [node.whole("axis", 0)], len(held.shape))
    found, start = [], 0
    for number, output in enumerate(node.outputs):
        stop = start + node.result(number)[0][axis]
        found.append(_part(node, walk, held, axis, range(start, stop), output or node.name))
        start = stop
    if start != held.shape[axis]:
        raise node.refused(" into parts that do not make up the whole")
    return found


def gather(node: Node, walk: Walk) -> Sequence[Value]:
    """Rows of a table by computed indices, or parts by known ones."""
    data, indices = node.value(0), node.value(1)
    (axis,) = resolved(node, [node.whole("axis", 0)], len(data.shape))
    if isinstance(data, Constant) and isinstance(indices, Held):
        if axis != 0 or len(data.shape) != 2:
            raise node.refused(f" over axis {axis} of a table of the shape {data.shape}")
        return [embedding(node, walk, indices, data)]
    if isinstance(indices, Held):
        raise node.refused(" with computed indices")
    held = node.held(0)
    length = held.shape[axis]
    chosen = [index + length if index < 0 else index for index in indices.integers]
    if not chosen or not all(0 <= index < length for index in chosen):
        raise node.refused(f" of indices outside of an axis of {length}")
    batch = held.batch
    if batch == axis:
        if not walk.single or len(chosen) != 1:
            node.mixes()
        batch, part = None, held
    else:
        steps = range(chosen[0], chosen[0] + len(chosen))
        if chosen == list(steps):
            part = _part(node, walk, held, axis, steps, f"{node.name}.slice")
        else:
            part = _taken(node, walk, held, axis, chosen, f"{node.name}.take")
        if batch is not None and batch > axis:
            batch += len(indices.shape) - 1
    return [walk.reshaped(part, node.shape, walk.batch_of(held, node.shape, batch), node.name)]


# -- several values, and more entries ------------------------------------------------------------


def concat(node: Node, walk: Walk) -> Sequence[Value]:
    values = [node.value(index) for index in range(len(node.inputs))]
    rank = len(node.shape)
    (axis,) = resolved(node, [node.whole("axis", 0)], rank)
    places = {value.batch for value in values if isinstance(value, Held)} - {None}
    if len(places) > 1 or axis in places:
        node.mixes()
    batch = next(iter(places), None)
    parts = []
    for value in values:
        if isinstance(value, Constant) and value.shape[axis] == 0:
            continue
        if batch is not None and value.shape[batch] != 1:
            node.mixes()
        if isinstance(value, Constant):
            parts.append(walk.operand(value, batch, node.name))
        else:
            parts.append(walk.reshaped(value, value.shape, batch, f"{node.name}.sample"))
    along = axis - rank + (batch is not None and axis < batch)
    attributes = {"axis": along}
    return [walk.emit(node.name, "concat", parts, node.shape, batch, attributes=attributes)]


def tile(node: Node, walk: Walk) -> Sequence[Value]:
    held = node.held(0)
    repeats = node.constant(1, "repeats").integers
    if len(repeats) != len(held.shape) or any(number < 1 for number in repeats):
        raise node.refused(f" of {repeats[:8]} repeats")
    found = held
    for axis, number in enumerate(repeats):
        if number > 1:
            length = held.shape[axis]
            if length * number > MOST_INDICES:
                raise node.refused(f" of {length * number} indices")
            indices = list(range(length)) * number
            found = _taken(node, walk, found, axis, indices, node.name)
    return [found]


_PAD_MODES = {"constant": "zeros", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(node: Node, walk: Walk) -> Sequence[Value]:
    """Padding; a negative one cuts."""
    held = node.held(0)
    rank, told = len(held.shape), node.text("mode", "constant")
    mode = _PAD_MODES.get(told)
    if mode is None:
        raise node.refused(f" with the mode {told[:20]!r}")
    if mode == "zeros" and node.has(2) and node.constant(2, "value").scalar() != 0:
        raise node.refused(" with another value than 0")
    amounts = node.constant(1, "padding").integers
    axes = resolved(node, node.constant(3, "axes").integers if node.has(3) else range(rank), rank)
    if len(amounts) != 2 * len(axes):
        raise node.refused(f" of {len(amounts)} amounts for {len(axes)} axes")
    pairs = {axis: (amounts[n], amounts[n + len(axes)]) for n, axis in enumerate(axes)}
    if held.batch is not None and any(pairs.get(held.batch, ())):
        node.mixes()
    if mode != "zeros" and any(amount < 0 for amount in amounts):
        raise node.refused(f" with the mode {told!r} that cuts")
    found = held
    for axis, (before, after) in pairs.items():
        kept = range(max(0, -before), held.shape[axis] - max(0, -after))
        found = _part(node, walk, found, axis, kept, f"{node.name}.slice")
    padding = tuple(
        (max(0, pairs.get(axis, (0, 0))[0]), max(0, pairs.get(axis, (0, 0))[1]))
        for axis in range(rank)
        if axis != held.batch
    )
    if not any(sum(pair) for pair in padding):
        return [found]
    attributes = {"padding": padding, "mode": mode}
    return [walk.emit(node.name, "pad", [found], node.shape, held.batch, attributes=attributes)]


def resize(node: Node, walk: Walk) -> Sequence[Value]:
    """Nearest neighbours, to a whole multiple of the length."""
    node.ignore("antialias", "cubic_coeff_a", "exclude_outside", "extrapolation_value")
    held, wanted = node.held(0), node.shape
    axes = resolved(node, node.wholes("axes") or range(len(wanted)), len(wanted))
    mode = node.text("mode", "nearest")
    place = node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    shown = f" with the mode {mode[:20]!r}, {place[:30]!r} and {rounding[:30]!r}"
    if mode != "nearest" or place not in _PLACES or rounding not in _ROUNDINGS:
        raise node.refused(shown)
    if policy != "stretch":
        raise node.refused(f" with {policy[:20]!r}")
    scales = node.constant(2, "scales").load().reshape(-1).tolist() if node.has(2) else []
    found = held
    for axis, scale in zip(axes, scales or [None] * len(axes), strict=True):
        before, after = held.shape[axis], wanted[axis]
        if not before or after % before or scale not in (None, after // before):
            raise node.refused(f" from {before} to {after}, which is no whole multiple")
        if before == after:
            continue
        if after > MOST_INDICES:
            raise node.refused(f" of {after} indices")
        indices = _nearest(before, after, place, rounding)
        found = _taken(node, walk, found, axis, indices, node.name)
    return [found]


# Numerator and denominator of the place in the given values, to a whole scale.
_PLACES: dict[str, Callable[[Numbers, int], tuple[Numbers, int]]] = {
    "asymmetric": lambda place, scale: (place, scale),
    "half_pixel": lambda place, scale: (2 * place + 1 - scale, 2 * scale),
    "pytorch_half_pixel": lambda place, scale: (2 * place + 1 - scale, 2 * scale),
}
_ROUNDINGS: dict[str, Callable[[Numbers, int], Numbers]] = {
    "floor": lambda above, below: above // below,
    "ceil": lambda above, below: -(-above // below),
    "round_prefer_floor": lambda above, below: -(-(2 * above - below) // (2 * below)),
    "round_prefer_ceil": lambda above, below: (2 * above + below) // (2 * below),
}


def _nearest(before: int, after: int, place: str, rounding: str) -> list[int]:
    """Which entry each new one is, without rounding errors."""
    fraction = _PLACES[place](np.arange(after), after // before)
    found: list[int] = _ROUNDINGS[rounding](*fraction).clip(0, before - 1).tolist()
    return found


def depth_to_space(node: Node, walk: Walk) -> Sequence[Value]:
    """Channels as blocks of an image, or the other way round."""
    held = walk.sample(node, node.held(0), 0)
    block, given = node.whole("blocksize", 0), walk.plain(held)
    if len(given.shape) != 3 or block < 1:
        raise node.refused(f" of the shape {held.shape} in blocks of {block}")
    channels, rows, columns = given.shape
    if node.operator == "SpaceToDepth":
        parts = (channels, rows // block, block, columns // block, block)
        order = (2, 4, 0, 1, 3)
    elif node.text("mode", "DCR") == "DCR":
        parts = (block, block, channels // block**2, rows, columns)
        order = (2, 3, 0, 4, 1)
    else:
        parts = (channels // block**2, block, block, rows, columns)
        order = (0, 3, 1, 4, 2)
    if prod(parts) != prod(given.shape):
        raise node.refused(f" of the shape {held.shape} in blocks of {block}")
    apart = walk.reshaped(given, parts, None, f"{node.name}.blocks")
    moved = walk.permuted(apart, order, f"{node.name}.permute")
    return [walk.reshaped(moved, node.shape, 0, node.name)]


TABLE: Mapping[str, Handler] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Pad": pad,
    "Reshape": reshape,
    "Resize": resize,
    "Shape": shape,
    "Size": shape,
    "Slice": slices,
    "SpaceToDepth": depth_to_space,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
