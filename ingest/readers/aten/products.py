"""Matrices: those of a layer, and products of tensors that are both computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.operations import Parameter
from ingest.readers.aten.calls import Call
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import (
    Axes,
    Factor,
    Role,
    batches,
    common,
    fitted,
    has,
    own,
)
from ingest.readers.aten.reductions import reduced
from ingest.readers.aten.views import unsqueezed
from ingest.readers.aten.walk import Results, Rule, Stored, Walk


@dataclass(frozen=True)
class Part:
    """Some rows of a stored matrix or vector, and whether they stand as columns."""

    parameter: Parameter
    start: int
    stop: int
    transposed: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is all of the tensor."""
        return (self.start, self.stop) == (0, self.parameter.shape[0])


def part_of(call: Call, walk: Walk, argument: object, rank: int) -> Part | None:
    """What a stored tensor of that rank is seen through; None if it is something else."""
    found = walk.find(call, argument)
    views: list[Call] = []
    while isinstance(found, Stored) and found.view is not None:
        views.append(found.view)
        found = walk.find(found.view, found.view.source)
    if not isinstance(found, Stored) or len(found.shape) != rank:
        return None
    start, stop, transposed = 0, found.shape[0], False
    for view in reversed(views):
        if view.operator == "slice":
            if (
                view.arguments["dim"] % rank != int(transposed)
                or view.arguments.get("step", 1) != 1
            ):
                return None
            bounds = slice(view.arguments.get("start"), view.arguments.get("end"))
            first, last, _ = bounds.indices(stop - start)
            start, stop = start + first, start + last
        elif _exchanges(view):
            transposed = not transposed
        else:
            return None
    return Part(found.parameter, start, stop, transposed)


def _exchanges(view: Call) -> bool:
    """Whether a view of a matrix exchanges its axes."""
    if view.operator in ("mT", "numpy_T", "t"):
        return True
    if view.operator == "permute":
        return [dim % 2 for dim in view.arguments["dims"]] == [1, 0]
    if view.operator in ("swapaxes", "swapdims", "transpose"):
        one, other = list(view.arguments.values())[1:]
        return bool(one % 2 != other % 2)
    return False


def linear(call: Call, walk: Walk) -> Results:
    """A fully connected layer."""
    weight = part_of(call, walk, call.arguments["weight"], 2)
    if weight is None:
        raise call.refused(" whose weight is computed or not in the state dict")
    bias = None
    if call.arguments.get("bias") is not None:
        bias = part_of(call, walk, call.arguments["bias"], 1)
        if bias is None:
            raise call.refused(" whose bias is computed or not in the state dict")
    value = walk.value(call, call.arguments["input"])
    made = layer(call, walk, value, weight, bias, target_first=not weight.transposed)
    if made is None:
        raise call.refused(" whose weight and bias are parts that do not go together")
    return made


def layer(
    call: Call, walk: Walk, value: Value, weight: Part, bias: Part | None, *, target_first: bool
) -> Value | None:
    """A matrix along the last axis; None if it is a part of one that a layer cannot be.

    Of a stacked matrix, such as that of queries, keys and values, all is computed and the part
    taken from that.
    """
    parts = [part for part in (weight, bias) if part is not None]
    if not all(part.whole for part in parts) and not (
        target_first and len({(part.start, part.stop) for part in parts}) == 1
    ):
        return None
    value, _ = walk.along(call, value, -1)
    targets = weight.parameter.shape[0 if target_first else 1]
    tensors = {"weight": weight.parameter}
    if bias is not None:
        tensors["bias"] = bias.parameter
    axes = (*value.axes[:-1], (Factor(targets),))
    made = walk.emit(
        call,
        "linear",
        (value.operation,),
        own(axes),
        tensors,
        {"layout": "target_source" if target_first else "source_target"},
        name=walk.named_after(call, weight.parameter, "linear"),
    )
    whole = Value(made, axes)
    if weight.whole:
        return whole
    return walk.cut(call, whole, -1, weight.start, weight.stop, part="targets")


def matmul(call: Call, walk: Walk) -> Results:
    """A product of matrices, of which the second may be a layer's."""
    one, other = list(call.arguments.values())[:2]
    return _product(call, walk, one, other, None)


def add_product(call: Call, walk: Walk) -> Results:
    """A product of matrices that is added to a tensor."""
    require(call, beta=1, alpha=1)
    given, one, other = list(call.arguments.values())[:3]
    bias = part_of(call, walk, given, 1)
    if bias is not None and part_of(call, walk, other, 2) is not None:
        made = _product(call, walk, one, other, bias)
        if made is not None:
            return made
    product = _product(call, walk, one, other, None)
    return walk.joined(call, "add", [walk.value(call, given), product])


def _product(call: Call, walk: Walk, one: object, other: object, bias: Part | None) -> Value:
    weight = part_of(call, walk, other, 2)
    if weight is not None:
        made = _layer_of(call, walk, walk.value(call, one), weight, bias)
        if made is not None:
            return made
    first = part_of(call, walk, one, 2)
    if first is not None and bias is None:
        made = _of_columns(call, walk, first, walk.value(call, other))
        if made is not None:
            return made
    return multiplied(call, walk, walk.value(call, one), walk.value(call, other))


def _layer_of(
    call: Call, walk: Walk, value: Value, weight: Part, bias: Part | None
) -> Value | None:
    if len(value.axes) < 2:
        return None
    return layer(call, walk, value, weight, bias, target_first=weight.transposed)


def _of_columns(call: Call, walk: Walk, weight: Part, value: Value) -> Value | None:
    """A matrix times one whose columns are samples."""
    if len(value.axes) != 2 or own(value.axes[1:]) or not has(value.axes[1], Role.BATCH):
        return None
    turned = walk.permute(call, value, (1, 0))
    made = layer(call, walk, turned, weight, None, target_first=not weight.transposed)
    return None if made is None else walk.permute(call, made, (1, 0))


def multiplied(call: Call, walk: Walk, one: Value, other: Value, *, part: str = "") -> Value:
    """A product of tensors of matrices, whose leading axes broadcast."""
    if len(other.axes) == 1:
        product = walk.joined(call, "product", [one, other], part="product")
        return reduced(call, walk, product, "sum", [-1], False, part=part)
    if len(one.axes) == 1:
        made = multiplied(call, walk, unsqueezed(call, walk, one, 0), other, part=part)
        return walk.lay(call, made, (*made.axes[:-2], made.axes[-1]))
    one, _ = walk.along(call, one, -1)
    other, _ = walk.along(call, other, -2)
    rows, columns = one.axes[-2], other.axes[-1]
    # The samples may be rows of the one, or columns of the other, if the other has none.
    lead = common([one.axes[:-2], other.axes[:-2]]) if one.axes[:-2] or other.axes[:-2] else ()
    if lead is None or batches((*lead, rows, columns)) > 1:
        raise walk.mixes(call)
    if has(rows, Role.BATCH) and batches(other.axes):
        raise walk.mixes(call)
    if has(columns, Role.BATCH) and batches(one.axes):
        raise walk.mixes(call)
    sizes = [_single(call, walk, (axis,)) for axis in (rows, columns)]
    left = _led(call, walk, one, one.axes[:-2], lead, (sizes[0], one.axes[-1][0].size))
    right = _led(call, walk, other, other.axes[:-2], lead, (other.axes[-2][0].size, sizes[1]))
    axes = (*lead, rows, columns)
    shape = (*own(lead), *sizes)
    if shape == own(axes):
        return Value(walk.emit(call, "matmul", (left, right), shape, part=part), axes)
    whole = walk.emit(call, "matmul", (left, right), shape, part="matmul")
    return Value(walk.emit(call, "reshape", (whole,), own(axes), part=part), axes)


def _single(call: Call, walk: Walk, axes: Axes) -> int:
    """The one axis of the operation that an axis is, or 1."""
    found = own(axes)
    if len(found) > 1:
        raise walk.mixes(call)
    return found[0] if found else 1


def _led(
    call: Call, walk: Walk, value: Value, axes: Axes, lead: Axes, matrix: tuple[int, int]
) -> str:
    shape = fitted(axes, lead)
    if shape is None:
        raise walk.mixes(call)
    return walk.in_shape(call, value, (*shape, *matrix))


PRODUCTS: Mapping[str, Rule] = {
    "addmm.default": add_product,
    "baddbmm.default": add_product,
    "bmm.default": matmul,
    "linear.default": linear,
    "matmul.default": matmul,
    "mm.default": matmul,
}
