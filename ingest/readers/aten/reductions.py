"""Means, sums and other statistics over axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ingest.readers.aten.calls import Call
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Factor, own, shape_of
from ingest.readers.aten.walk import Results, Rule, Walk


def reduced(
    call: Call,
    walk: Walk,
    value: Value,
    function: str,
    dims: Sequence[int],
    keep: bool,
    *,
    part: str = "",
) -> Value:
    """One operation over plain axes."""
    value, along = walk.along_all(call, value, dims)
    numbers = {dim % len(value.axes) for dim in dims}
    axes = tuple(
        (Factor(1),) if number in numbers else axis
        for number, axis in enumerate(value.axes)
        if keep or number not in numbers
    )
    given = {"function": function, "axes": tuple(sorted(along)), "keep": keep}
    made = walk.emit(call, "reduce", (value.operation,), own(axes), None, given, part=part)
    return Value(made, axes)


def dims_of(call: Call, value: Value) -> list[int]:
    """The axes that a call names; none means all."""
    dims = call.arguments.get("dim")
    if dims is None or dims == []:
        return list(range(len(value.axes)))
    return [dims] if isinstance(dims, int) else list(dims)


def reduction(function: str) -> Rule:
    """A reduction that the operation graph knows."""

    def rule(call: Call, walk: Walk) -> Results:
        require(call, dtype=None)
        value = walk.value(call, call.source)
        keep = bool(call.arguments.get("keepdim", False))
        return reduced(call, walk, value, function, dims_of(call, value), keep)

    return rule


def with_places(function: str) -> Rule:
    """A maximum or minimum, whose places nobody may take."""
    single = reduction(function)

    def rule(call: Call, walk: Walk) -> Results:
        if walk.taken[call.name] - {0}:
            raise call.refused(" with its indices")
        made = single(call, walk)
        return made if isinstance(made, tuple) else (made, None)

    return rule


def norm(call: Call, walk: Walk) -> Results:
    """The l1, l2 or maximum norm."""
    require(call, dtype=None)
    order = float(call.arguments.get("ord", call.arguments.get("p", 2)) or 0)
    value = walk.value(call, call.source)
    dims, keep = dims_of(call, value), bool(call.arguments.get("keepdim", False))
    if math.isinf(order) and order > 0:
        value, function = walk.unary(call, "abs", value, part="abs"), "max"
    elif order in (1, 2):
        function = f"l{order:.0f}"
    else:
        raise call.refused(f" of the order {order}")
    return reduced(call, walk, value, function, dims, keep)


def variance(root: bool) -> Rule:
    """A variance or standard deviation: the mean square of what differs from the mean."""

    def rule(call: Call, walk: Walk) -> Results:
        value = walk.value(call, call.source)
        dims, keep = dims_of(call, value), bool(call.arguments.get("keepdim", False))
        correction = call.arguments.get("correction", call.arguments.get("unbiased"))
        less = 1.0 if correction is None else float(correction)
        shape = shape_of(value.axes)
        count = math.prod(shape[dim] for dim in dims)
        if count <= less:
            raise call.refused(f" of {count} values")
        mean = reduced(call, walk, value, "mean", dims, True, part="mean")
        centred = walk.joined(call, "subtract", [value, mean], part="centred")
        square = walk.unary(call, "to_power", centred, {"exponent": 2.0}, part="square")
        last = "" if less == 0 and not root else "mean_square"
        found = reduced(call, walk, square, "mean", dims, keep, part=last)
        if less:
            factor = {"factor": count / (count - less)}
            found = walk.unary(call, "times", found, factor, part="variance" if root else "")
        return walk.unary(call, "sqrt", found) if root else found

    return rule


REDUCTIONS: Mapping[str, Rule] = {
    "amax.default": reduction("max"),
    "amin.default": reduction("min"),
    "linalg_vector_norm.default": norm,
    "max.dim": with_places("max"),
    "mean.dim": reduction("mean"),
    "mean.default": reduction("mean"),
    "min.dim": with_places("min"),
    "norm.ScalarOpt_dim": norm,
    "prod.dim_int": reduction("product"),
    "std.correction": variance(root=True),
    "std.dim": variance(root=True),
    "sum.default": reduction("sum"),
    "sum.dim_IntList": reduction("sum"),
    "var.correction": variance(root=False),
    "var.dim": variance(root=False),
}
