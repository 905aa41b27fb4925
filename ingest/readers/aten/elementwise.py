"""Functions of each entry, or along one axis; and what changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.layout import shape_of
from ingest.readers.aten.walk import Results, Rule, Walk


@dataclass(frozen=True)
class Function:
    """A function that torch and the operation graph call alike.

    Parameters
    ----------
    kind
        Of the operation.
    keeps
        The operator's arguments that become attributes of the same name.
    only
        Arguments that must have one value, as any other means another function.
    """

    kind: str
    keeps: tuple[str, ...] = ()
    only: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, call: Call, walk: Walk) -> Results:
        """The operation."""
        require(call, **self.only)
        kept = {key: _number(call, key) for key in self.keeps}
        value = walk.value(call, call.source)
        # torch writes its ReLU6 as this.
        if self.kind == "hardtanh" and kept == {"min_val": 0, "max_val": 6}:
            return walk.unary(call, "relu6", value)
        return walk.unary(call, self.kind, value, kept)


def require(call: Call, **only: object) -> None:
    """Refuses a call whose arguments have other values."""
    for argument, value in only.items():
        if call.arguments.get(argument, value) != value:
            raise call.refused(f" with {argument}={call.arguments[argument]}")


def _number(call: Call, argument: str) -> float:
    value = call.arguments[argument]
    if isinstance(value, Ref):
        raise call.refused(" with a computed argument")
    return float(value)


def gelu(call: Call, walk: Walk) -> Results:
    """``approximate`` is a text."""
    exact = call.arguments["approximate"] == "none"
    attributes = {} if exact else {"approximate": call.arguments["approximate"]}
    return walk.unary(call, "gelu", walk.value(call, call.source), attributes)


def along_axis(kind: str) -> Rule:
    """A softmax or the like, along one axis."""

    def rule(call: Call, walk: Walk) -> Results:
        require(call, dtype=None, half_to_float=False)
        value = walk.value(call, call.source)
        value, axis = walk.along(call, value, call.arguments["dim"])
        attributes = {} if axis == -1 else {"axis": axis}
        return walk.unary(call, kind, value, attributes)

    return rule


def same(call: Call, walk: Walk) -> Results:
    """What holds the argument."""
    return walk.find(call, call.source)


def cast(call: Call, walk: Walk) -> Results:
    """The argument, where its type stays."""
    given = walk.dtypes.get(call.source.name, call.dtype) if isinstance(call.source, Ref) else ""
    if given != call.dtype:
        raise call.refused(f" from {given} to {call.dtype}")
    return walk.find(call, call.source)


def dropout(call: Call, walk: Walk) -> Results:
    """Nothing, as long as it drops nothing."""
    require(call, train=False)
    return walk.unary(call, "dropout", walk.value(call, call.source))


def rrelu(call: Call, walk: Walk) -> Results:
    """A leaky ReLU with the mean of the slopes, outside of training."""
    require(call, training=False)
    slope = (_number(call, "lower") + _number(call, "upper")) / 2
    return walk.unary(call, "leaky_relu", walk.value(call, call.source), {"negative_slope": slope})


def glu(call: Call, walk: Walk) -> Results:
    """One half of an axis, times the sigmoid of the other."""
    value = walk.value(call, call.source)
    dim = call.arguments["dim"]
    half = shape_of(value.axes)[dim] // 2
    values = walk.cut(call, value, dim, 0, half, part="values")
    gates = walk.cut(call, value, dim, half, 2 * half, part="gates")
    return walk.joined(
        call, "product", [values, walk.unary(call, "sigmoid", gates, part="sigmoid")]
    )


def to_power(exponent: float) -> Rule:
    """A power that has an operator of its own."""
    return lambda call, walk: walk.unary(
        call, "to_power", walk.value(call, call.source), {"exponent": exponent}
    )


def then(*functions: tuple[str, Mapping[str, float]]) -> Rule:
    """Functions in a row."""

    def rule(call: Call, walk: Walk) -> Results:
        value = walk.value(call, call.source)
        *first, (kind, attributes) = functions
        for inner, given in first:
            value = walk.unary(call, inner, value, given, part=inner)
        return walk.unary(call, kind, value, attributes)

    return rule


def clamp(call: Call, walk: Walk) -> Results:
    """Limits, of which one may be missing."""
    limits = [call.arguments.get("min"), call.arguments.get("max")]
    if any(isinstance(limit, Ref) for limit in limits):
        raise call.refused(" with a computed argument")
    low = -math.inf if limits[0] is None else float(limits[0])
    high = math.inf if limits[1] is None else float(limits[1])
    return walk.unary(call, "clip", walk.value(call, call.source), {"low": low, "high": high})


_PLAIN = (
    "abs", "ceil", "cos", "erf", "exp", "floor", "hardsigmoid", "hardswish", "log", "mish",
    "reciprocal", "relu", "relu6", "selu", "sigmoid", "sign", "silu", "sin", "sqrt", "tanh",
)  # fmt: skip

FUNCTIONS: Mapping[str, Rule] = {
    **{f"{name}.default": Function(name) for name in _PLAIN},
    "celu.default": Function("celu", ("alpha",)),
    "clamp.default": clamp,
    "clamp_max.default": clamp,
    "clamp_min.default": clamp,
    "clip.default": clamp,
    "elu.default": Function("elu", ("alpha",), {"scale": 1, "input_scale": 1}),
    "exp2.default": then(("times", {"factor": math.log(2)}), ("exp", {})),
    "expm1.default": then(("exp", {}), ("plus", {"amount": -1.0})),
    "gelu.default": gelu,
    "glu.default": glu,
    "hardshrink.default": Function("hardshrink", ("lambd",)),
    "hardtanh.default": Function("hardtanh", ("min_val", "max_val")),
    "leaky_relu.default": Function("leaky_relu", ("negative_slope",)),
    "log1p.default": then(("plus", {"amount": 1.0}), ("log", {})),
    "log2.default": then(("log", {}), ("times", {"factor": 1 / math.log(2)})),
    "log10.default": then(("log", {}), ("times", {"factor": 1 / math.log(10)})),
    "log_sigmoid.default": Function("logsigmoid"),
    "log_softmax.int": along_axis("log_softmax"),
    "rrelu.default": rrelu,
    "rsqrt.default": to_power(-0.5),
    "sgn.default": Function("sign"),
    "softmax.int": along_axis("softmax"),
    "softplus.default": Function("softplus", ("beta", "threshold")),
    "softshrink.default": Function("softshrink", ("lambd",)),
    "square.default": to_power(2.0),
    "threshold.default": Function("threshold", ("threshold", "value")),
}

# Their result is their first argument itself.
SAME: Mapping[str, Rule] = {
    "alias.default": same,
    "alpha_dropout.default": dropout,
    "detach.default": same,
    "dropout.default": dropout,
    "feature_alpha_dropout.default": dropout,
    "feature_dropout.default": dropout,
    "lift_fresh.default": same,
}

# Their result is their first argument, or a copy of it.
MAYBE_COPIES: Mapping[str, Rule] = {
    "contiguous.default": same,
    "to.device": cast,
    "to.dtype": cast,
    "to.dtype_layout": cast,
    "type_as.default": cast,
}

COPIES: Mapping[str, Rule] = {"clone.default": same, "lift_fresh_copy.default": same}
