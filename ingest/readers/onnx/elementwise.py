"""ONNX's elementwise operators: functions of one value, and arithmetic of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from ingest.readers.onnx.nodes import Constant, Held, Node, OneHot, Shape, Value
from ingest.readers.onnx.tensors import FLOATING
from ingest.readers.onnx.walk import Handler, Walk

# Numbers that a file holds in single precision differ from the ones that are meant by this much.
_CLOSE = 1e-6

# Operators without attributes.
_PLAIN = {
    "Abs": "abs", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "HardSwish": "hardswish", "Log": "log", "Mish": "mish", "Reciprocal": "reciprocal",
    "Relu": "relu", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tanh": "tanh",
}  # fmt: skip
_ARITHMETIC = {
    "Add": "add", "Sum": "add", "Mean": "add", "Mul": "product", "Sub": "subtract",
    "Div": "divide", "Max": "maximum", "Min": "minimum", "Pow": "power",
}  # fmt: skip
_PAIRWISE = ("maximum", "minimum")


def plain(node: Node, walk: Walk) -> Sequence[Value]:
    """A function whose name says all about it."""
    return [walk.like(node.name, _PLAIN[node.operator], node.held(0))]


def negative(node: Node, walk: Walk) -> Sequence[Value]:
    return [walk.like(node.name, "times", node.held(0), factor=-1.0)]


def leaky_relu(node: Node, walk: Walk) -> Sequence[Value]:
    slope = node.number("alpha", 0.01)
    return [walk.like(node.name, "leaky_relu", node.held(0), negative_slope=slope)]


def elu(node: Node, walk: Walk) -> Sequence[Value]:
    """Elu and Celu."""
    alpha = node.number("alpha", 1.0)
    return [walk.like(node.name, node.operator.lower(), node.held(0), alpha=alpha)]


def selu(node: Node, walk: Walk) -> Sequence[Value]:
    alpha = node.number("alpha", 1.6732632423543772)
    gamma = node.number("gamma", 1.0507009873554805)
    if abs(alpha - 1.6732632423543772) > _CLOSE or abs(gamma - 1.0507009873554805) > _CLOSE:
        raise node.refused(f" with alpha={alpha:g} and gamma={gamma:g}")
    return [walk.like(node.name, "selu", node.held(0))]


def hard_sigmoid(node: Node, walk: Walk) -> Sequence[Value]:
    """``max(0, min(1, alpha x + beta))``, which torch has for one pair of numbers only."""
    held = node.held(0)
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - 1 / 6) < _CLOSE and beta == 0.5:
        return [walk.like(node.name, "hardsigmoid", held)]
    scaled = walk.like(f"{node.name}.times", "times", held, factor=alpha)
    moved = walk.like(f"{node.name}.plus", "plus", scaled, amount=beta)
    return [walk.like(node.name, "clip", moved, low=0.0, high=1.0)]


def gelu(node: Node, walk: Walk) -> Sequence[Value]:
    held, form = node.held(0), node.text("approximate", "none")
    if form not in ("none", "tanh"):
        raise node.refused(f" with the approximation {form!r}")
    attributes = {} if form == "none" else {"approximate": form}
    return [walk.like(node.name, "gelu", held, **attributes)]


def swish(node: Node, walk: Walk) -> Sequence[Value]:
    node.only("alpha", 1.0)
    return [walk.like(node.name, "silu", node.held(0))]


def softplus(node: Node, walk: Walk) -> Sequence[Value]:
    return [walk.like(node.name, "softplus", node.held(0), beta=1.0, threshold=20.0)]


def thresholded_relu(node: Node, walk: Walk) -> Sequence[Value]:
    limit = node.number("alpha", 1.0)
    return [walk.like(node.name, "threshold", node.held(0), threshold=limit, value=0.0)]


def shrink(node: Node, walk: Walk) -> Sequence[Value]:
    limit, bias = node.number("lambd", 0.5), node.number("bias", 0.0)
    if bias not in (0.0, limit):
        raise node.refused(f" with lambd={limit:g} and bias={bias:g}")
    kind = "hardshrink" if bias == 0.0 else "softshrink"
    return [walk.like(node.name, kind, node.held(0), lambd=limit)]


def clip(node: Node, walk: Walk) -> Sequence[Value]:
    limits = [
        float(node.constant(index, "limit").scalar()) if node.has(index) else none
        for index, none in ((1, -math.inf), (2, math.inf))
    ]
    return [limited(node, walk, node.held(0), *limits)]


def limited(node: Node, walk: Walk, held: Held, low: float, high: float) -> Held:
    """A value between two numbers."""
    if low == 0.0 and high in (6.0, math.inf):
        return walk.like(node.name, "relu" if math.isinf(high) else "relu6", held)
    if low == -math.inf and high == math.inf:
        return held
    return walk.like(node.name, "clip", held, low=low, high=high)


def prelu(node: Node, walk: Walk) -> Sequence[Value]:
    """Slopes along one axis, or in any shape that can be stretched to the value's."""
    held, slopes = node.held(0), node.constant(1, "slope")
    rank = len(held.shape)
    long = [axis - len(slopes.shape) for axis, length in enumerate(slopes.shape) if length > 1]
    if len(slopes.shape) > rank or any(slopes.shape[n] != held.shape[n] for n in long):
        raise node.refused(f" with slopes of the shape {slopes.shape}")
    if len(long) < 2:
        axis = held.axis(long[0] if long else min(1, rank - 1))
        if axis is None and long:
            node.mixes()
        attributes = {"axis": -1 if axis is None else axis}
        parameters = {"weight": walk.parameter(slopes)}
        return [
            walk.emit(
                node.name, "prelu", [held], held.shape, held.batch,
                parameters=parameters, attributes=attributes,
            )
        ]  # fmt: skip
    above = walk.like(f"{node.name}.relu", "relu", held)
    below = walk.like(f"{node.name}.clip", "clip", held, low=-math.inf, high=0.0)
    scaled = broadcast(node, walk, "product", [below, slopes], held.shape, f"{node.name}.product")
    return [broadcast(node, walk, "add", [above, scaled], held.shape, node.name)]


# -- values that pass through --------------------------------------------------------------------


def identity(node: Node, _: Walk) -> Sequence[Value]:
    """Nothing happens, so there is no operation."""
    found = node.inputs[0]
    return [node.value(0) if found is None else found]


def cast(node: Node, _: Walk) -> Sequence[Value]:
    """Another type of number with the same value; what would round to integers is refused."""
    node.ignore("to", "saturate", "round_mode")
    shape, kind = node.result(0)
    given = node.inputs[0]
    if isinstance(given, OneHot):
        return [OneHot(given.error, given.ids, given.depth, kind)]
    held = node.held(0)
    if held.type in FLOATING and kind not in FLOATING:
        raise node.refused(" from floats to integers")
    return [Held(held.operation, shape, held.batch, kind)]


def dropout(node: Node, walk: Walk) -> Sequence[Value]:
    node.ignore("seed", "ratio")
    if node.has(2) and node.constant(2, "training mode").scalar():
        raise node.refused(" in training")
    return [walk.like(node.name, "dropout", node.held(0))]


# -- several values ------------------------------------------------------------------------------


def arithmetic(node: Node, walk: Walk) -> Sequence[Value]:
    """Operators of two values, or of any number of them; a single number becomes an argument."""
    kind = _ARITHMETIC[node.operator]
    values = [node.value(index) for index in range(len(node.inputs))]
    if node.operator == "Div" and node.type not in FLOATING:
        raise node.refused(" of integers")
    found = _nothing(node, values) or _with_number(node, walk, kind, values)
    if found is None:
        found = _joined(node, walk, kind, values)
    if node.operator == "Mean" and isinstance(found, Held):
        found = walk.like(f"{node.name}.times", "times", found, factor=1 / len(values))
    return [found]


def _nothing(node: Node, values: Sequence[Held | Constant]) -> Constant | None:
    """Integers times zero, however they vary: an input that a file does not really use."""
    if node.operator != "Mul" or node.type in FLOATING:
        return None
    zeros = [v for v in values if isinstance(v, Constant) and v.size == 1 and v.scalar() == 0]
    shape, kind = node.result(0)
    # A longer result would take memory, and no file has had one.
    if not zeros or len(shape) > 1 or max(shape, default=1) > 1:
        return None
    zero = zeros[0]
    return Constant(node.outputs[0], shape, kind, lambda: zero.load().reshape(shape))


def _with_number(
    node: Node, walk: Walk, kind: str, values: Sequence[Held | Constant]
) -> Held | None:
    """Arithmetic with one number as an elementwise function."""
    match values:
        case [Held() as held, Constant(size=1) as other]:
            first = True
        case [Constant(size=1) as other, Held() as held]:
            first = False
        case _:
            return None
    number = other.scalar()
    if not math.isfinite(number):
        return None
    found = _function(node, walk, kind, held, number, first=first)
    if found is None:
        return None
    shape = node.shape
    batch = None if held.batch is None else held.batch + len(shape) - len(held.shape)
    return walk.reshaped(found, shape, batch, f"{node.name}.reshape")


def _function(
    node: Node, walk: Walk, kind: str, held: Held, number: float, *, first: bool
) -> Held | None:
    """The function of a value and a number; None where there is none of that kind."""
    name = node.name
    match kind:
        case "add":
            return walk.like(name, "plus", held, amount=number)
        case "subtract" if first:
            return walk.like(name, "plus", held, amount=-number)
        case "subtract":
            turned = walk.like(f"{name}.times", "times", held, factor=-1.0)
            return walk.like(name, "plus", turned, amount=number)
        case "product":
            return walk.like(name, "times", held, factor=number)
        case "divide" if first and number:
            return walk.like(name, "times", held, factor=1 / number)
        case "divide" if not first and number == 1:
            return walk.like(name, "reciprocal", held)
        case "divide" if not first:
            inverse = walk.like(f"{name}.reciprocal", "reciprocal", held)
            return walk.like(name, "times", inverse, factor=number)
        case "power" if first:
            return walk.like(name, "to_power", held, exponent=number)
        case "maximum":
            return limited(node, walk, held, number, math.inf)
        case "minimum":
            return limited(node, walk, held, -math.inf, number)
    return None


def _joined(node: Node, walk: Walk, kind: str, values: Sequence[Held | Constant]) -> Held:
    shape = node.shape
    if len(values) == 1:
        return node.held(0)
    if kind not in _PAIRWISE or len(values) == 2:
        return broadcast(node, walk, kind, values, shape, node.name)
    found: Held | Constant = values[0]
    for number, (_, value) in enumerate(pairwise(values), start=2):
        wide = np.broadcast_shapes(found.shape, value.shape)
        name = node.name if number == len(values) else f"{node.name}.{number}"
        found = broadcast(node, walk, kind, [found, value], wide, name)
    return node.held(0) if isinstance(found, Constant) else found


def broadcast(
    node: Node,
    walk: Walk,
    kind: str,
    values: Sequence[Held | Constant],
    shape: Shape,
    name: str,
) -> Held:
    """An operation whose operands are stretched to one shape."""
    operands, batch = aligned(node, walk, values, len(shape))
    return walk.emit(name, kind, operands, shape, batch)


def aligned(
    node: Node, walk: Walk, values: Sequence[Held | Constant], rank: int
) -> tuple[list[Held], int | None]:
    """Operands whose batch axis is one, counted from the last; and which it is in the result."""
    places = {
        value.batch - len(value.shape)
        for value in values
        if isinstance(value, Held) and value.batch is not None
    }
    if len(places) > 1 and not walk.single:
        node.mixes()
    # Of one sample the axes of length 1 may stay.
    place = places.pop() if len(places) == 1 else None
    operands = []
    for value in values:
        # Shorter operands have no such axis.
        batch = None if place is None or -place > len(value.shape) else place + len(value.shape)
        if batch is not None and value.shape[batch] != 1:
            node.mixes()
        if isinstance(value, Constant):
            operands.append(walk.operand(value, batch, node.name))
        elif batch == value.batch:
            operands.append(value)
        else:
            operands.append(walk.reshaped(value, value.shape, batch, f"{node.name}.sample"))
    return operands, None if place is None else place + rank


TABLE: Mapping[str, Handler] = {
    **dict.fromkeys(_PLAIN, plain),
    **dict.fromkeys(_ARITHMETIC, arithmetic),
    "Cast": cast,
    "CastLike": cast,
    "Celu": elu,
    "Clip": clip,
    "Dropout": dropout,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "Identity": identity,
    "LeakyRelu": leaky_relu,
    "Neg": negative,
    "PRelu": prelu,
    "Selu": selu,
    "Shrink": shrink,
    "Softplus": softplus,
    "Swish": swish,
    "ThresholdedRelu": thresholded_relu,
}
