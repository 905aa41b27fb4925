"""Arithmetic of numbers and of tensors that broadcast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import shape_of
from ingest.readers.aten.walk import Constant, Results, Rule, Walk


def scaled(call: Call, walk: Walk, value: Value, factor: float, *, part: str = "") -> Value:
    """A tensor times a number."""
    return value if factor == 1 else walk.unary(call, "times", value, {"factor": factor}, part=part)


def shifted(call: Call, walk: Walk, value: Value, amount: float) -> Value:
    """A tensor plus a number."""
    return value if amount == 0 else walk.unary(call, "plus", value, {"amount": amount})


def _typed(call: Call, number: float) -> float:
    """A number as the result's type has it: integers stay indices."""
    return int(number) if call.dtype.startswith("int") else float(number)


def _scalar(call: Call, walk: Walk, one: object, other: object) -> float | None:
    """The other argument where it is one number and does not make the first one longer."""
    number = walk.number(call, other)
    if number is None or walk.number(call, one) is not None:
        return None
    if isinstance(one, Ref) and prod(shape_of(walk.value(call, one).axes)) != prod(call.shape):
        return None
    return _typed(call, number)


def add(call: Call, walk: Walk) -> Results:
    """A sum."""
    one, other = call.arguments["self"], call.arguments["other"]
    alpha = call.arguments.get("alpha", 1)
    amount = _scalar(call, walk, one, other)
    if amount is not None:
        return shifted(call, walk, walk.value(call, one), _typed(call, alpha * amount))
    amount = _scalar(call, walk, other, one)
    if amount is not None:
        value = scaled(call, walk, walk.value(call, other), float(alpha), part="times")
        return shifted(call, walk, value, amount)
    values = walk.values(call, [one, other])
    values[1] = scaled(call, walk, values[1], _typed(call, alpha), part="times")
    return walk.joined(call, "add", values)


def subtract(call: Call, walk: Walk) -> Results:
    """A difference."""
    return _difference(call, walk, call.arguments["self"], call.arguments["other"])


def subtract_from(call: Call, walk: Walk) -> Results:
    """The difference with its arguments swapped."""
    return _difference(call, walk, call.arguments["other"], call.arguments["self"])


def _difference(call: Call, walk: Walk, one: object, other: object) -> Results:
    require(call, alpha=1)
    amount = _scalar(call, walk, one, other)
    if amount is not None:
        return shifted(call, walk, walk.value(call, one), -amount)
    amount = _scalar(call, walk, other, one)
    if amount is not None:
        negated = scaled(call, walk, walk.value(call, other), _typed(call, -1), part="times")
        return shifted(call, walk, negated, amount)
    return walk.joined(call, "subtract", walk.values(call, [one, other]))


def multiply(call: Call, walk: Walk) -> Results:
    """A product."""
    one, other = call.arguments["self"], call.arguments["other"]
    for value, factor in ((one, other), (other, one)):
        number = _scalar(call, walk, value, factor)
        if number is not None:
            return scaled(call, walk, walk.value(call, value), number)
    return walk.joined(call, "product", walk.values(call, [one, other]))


def divide(call: Call, walk: Walk) -> Results:
    """A quotient; torch takes its floor in another way than of the quotient itself."""
    require(call, rounding_mode=None)
    one, other = call.arguments["self"], call.arguments["other"]
    divisor, dividend = _scalar(call, walk, one, other), _scalar(call, walk, other, one)
    if divisor is not None and divisor != 0:
        return scaled(call, walk, walk.value(call, one), 1 / divisor)
    if dividend is not None:
        value = walk.unary(call, "reciprocal", walk.value(call, other), part="reciprocal")
        return scaled(call, walk, value, dividend)
    return walk.joined(call, "divide", walk.values(call, [one, other]))


def negate(call: Call, walk: Walk) -> Results:
    """-x."""
    return walk.unary(call, "times", walk.value(call, call.source), {"factor": _typed(call, -1)})


def power(call: Call, walk: Walk) -> Results:
    """A power with a number or a tensor as its exponent, or a number as its base."""
    one, other = call.arguments["self"], call.arguments["exponent"]
    exponent = _scalar(call, walk, one, other)
    if exponent is not None:
        return walk.unary(call, "to_power", walk.value(call, one), {"exponent": float(exponent)})
    base = _scalar(call, walk, other, one)
    if base is not None:
        if base <= 0:
            raise call.refused(f" of the base {base}")
        inner = walk.unary(
            call, "times", walk.value(call, other), {"factor": math.log(base)}, part="times"
        )
        return walk.unary(call, "exp", inner)
    return walk.joined(call, "power", walk.values(call, [one, other]))


def extremum(kind: str) -> Rule:
    """The greater or the smaller of two tensors."""

    def rule(call: Call, walk: Walk) -> Results:
        one, other = call.arguments["self"], call.arguments["other"]
        limit = _scalar(call, walk, one, other)
        if limit is None:
            return walk.joined(call, kind, walk.values(call, [one, other]))
        low, high = (limit, math.inf) if kind == "maximum" else (-math.inf, limit)
        return walk.unary(call, "clip", walk.value(call, one), {"low": low, "high": high})

    return rule


def masked_fill(call: Call, walk: Walk) -> Results:
    """A number where a mask that is known says so."""
    return _chosen(call, walk, call.arguments["value"], call.source, call.arguments["mask"])


def where(call: Call, walk: Walk) -> Results:
    """One tensor or another, as a mask that is known says."""
    one, other = call.arguments["self"], call.arguments["other"]
    return _chosen(call, walk, one, other, call.arguments["condition"])


def _chosen(call: Call, walk: Walk, one: object, other: object, mask: object) -> Results:
    """Where the mask holds, the first; elsewhere the second.

    Tensors are multiplied by 0 where they are not chosen, and what is chosen added, which is the
    same for all finite entries; so nothing is multiplied where a number is infinite.
    """
    known = walk.constant(call, mask)
    if known is None:
        raise call.refused(" with a computed mask")
    chosen = known.astype(np.bool_)
    added = np.zeros(chosen.shape, np.float64 if call.dtype == "float64" else np.float32)
    tensors = []
    for argument, places in ((one, chosen), (other, ~chosen)):
        number = walk.number(call, argument)
        if number is None:
            tensors.append((walk.value(call, argument), places))
        else:
            added[places] = number
    if not tensors:
        raise call.refused(" of numbers alone")

    def operand(name: str, entries: NDArray[Any]) -> Value:
        return walk.value(call, Constant(f"{call.module}.{call.name}.{name}".lstrip("."), entries))

    terms = []
    for number, (value, places) in enumerate(tensors):
        if np.isinf(added).any():
            terms.append(value)
        else:
            kept = operand(f"kept{number or ''}", places.astype(np.float32))
            terms.append(walk.joined(call, "product", [value, kept], part="kept"))
    if added.any():
        terms.append(operand("added", added))
    return terms[0] if len(terms) == 1 else walk.joined(call, "add", terms)


ARITHMETIC: Mapping[str, Rule] = {
    "add.Scalar": add,
    "add.Tensor": add,
    "div.Scalar": divide,
    "div.Tensor": divide,
    "div.Scalar_mode": divide,
    "div.Tensor_mode": divide,
    "masked_fill.Scalar": masked_fill,
    "masked_fill.Tensor": masked_fill,
    "max.other": extremum("maximum"),
    "maximum.default": extremum("maximum"),
    "min.other": extremum("minimum"),
    "minimum.default": extremum("minimum"),
    "mul.Scalar": multiply,
    "mul.Tensor": multiply,
    "neg.default": negate,
    "pow.Scalar": power,
    "pow.Tensor_Scalar": power,
    "pow.Tensor_Tensor": power,
    "rsub.Scalar": subtract_from,
    "rsub.Tensor": subtract_from,
    "sub.Scalar": subtract,
    "sub.Tensor": subtract,
    "where.ScalarOther": where,
    "where.ScalarSelf": where,
    "where.self": where,
}
