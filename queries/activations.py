"""Activations by the names that ``Layer.activation`` has, in NumPy float64."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from store.errors import InvalidArgument

Array = NDArray[np.float64]
Function = Callable[..., Array]

UNKNOWN = "unknown"
_AXIS = "axis"

_CALL = re.compile(r"([a-z_0-9]+)(?:\(([^()]*)\))?")
_BETWEEN_CALLS = re.compile(r",\s*(?![^()]*\))")


def _softplus(x: Array, beta: float = 1.0, threshold: float = math.inf) -> Array:
    scaled = beta * x
    return np.asarray(np.where(scaled > threshold, x, np.logaddexp(0, scaled) / beta))


def _gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    if approximate == "none":
        return np.asarray(x * special.ndtr(x))
    raise InvalidArgument(f"The approximation {approximate!r} of gelu is neither none nor tanh.")


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _threshold(x: Array, threshold: float, value: float) -> Array:
    return np.asarray(np.where(x > threshold, x, value))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _alone(function: Function) -> Function:
    """Without the arguments that NumPy gives to all its functions, such as ``where``."""

    def alone(x: Array) -> Array:
        return function(x)

    return alone


_UFUNCS: dict[str, Function] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "cos": np.cos,
    "erf": special.erf,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "logsigmoid": special.log_expit,
    "reciprocal": np.reciprocal,
    "sigmoid": special.expit,
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
}

FUNCTIONS: dict[str, Function] = {
    **{name: _alone(function) for name, function in _UFUNCS.items()},
    "identity": lambda x: x,
    "celu": _celu,
    "clip": lambda x, low=-math.inf, high=math.inf: np.clip(x, low, high),
    "elu": _elu,
    "gelu": _gelu,
    "hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0),
    "hardsigmoid": lambda x, slope=1 / 6: np.clip(slope * x + 0.5, 0, 1),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "log_softmax": lambda x, axis=-1: special.log_softmax(x, axis),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "plus": lambda x, amount: x + amount,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "silu": lambda x: x * special.expit(x),
    "softmax": lambda x, axis=-1: special.softmax(x, axis),
    "softmin": lambda x, axis=-1: special.softmax(-x, axis),
    "softplus": _softplus,
    "softshrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanhshrink": lambda x: x - np.tanh(x),
    "threshold": _threshold,
    "times": lambda x, factor: x * factor,
    "to_power": lambda x, exponent: x**exponent,
}


def apply(text: str, values: Array) -> Array:
    """What the activations of a layer make of its values.

    Parameters
    ----------
    text
        As ``Layer.activation`` has it: names with their arguments, joined by commas, first
        applied first.
    values
        One row per sample.

    Raises
    ------
    InvalidArgument
        If a function is not known, as in a network that was read from weights alone, or does not
        take the arguments.

    Example
    -------
    >>> apply("leaky_relu(negative_slope=0.5), tanh", np.array([[-2.0, 0.0]])).round(4).tolist()
    [[-0.7616, 0.0]]
    """
    for written in _BETWEEN_CALLS.split(text):
        matched = _CALL.fullmatch(written)
        if matched is None:
            raise _not_computed(written)
        values = call(matched[1], values, _arguments(matched[2] or ""))
    return values


def call(name: str, values: Array, arguments: Mapping[str, Any]) -> Array:
    """What one function makes of values.

    Raises
    ------
    InvalidArgument
        If it is not known, or does not take the arguments.

    Example
    -------
    >>> call("clip", np.array([-2.0, 0.0]), {"low": -1.0}).tolist()
    [-1.0, 0.0]
    """
    if name not in FUNCTIONS:
        raise _not_computed(name)
    try:
        # As in any framework, an overflow is infinite, and what is not defined is NaN.
        with np.errstate(all="ignore"):
            return FUNCTIONS[name](values, **arguments)
    except (TypeError, np.exceptions.AxisError) as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise InvalidArgument(
            f"The activation {name!r} cannot be computed with the arguments ({given})."
        ) from error


def _not_computed(text: str) -> InvalidArgument:
    return InvalidArgument(f"The activation {text!r} cannot be computed.")


def _arguments(text: str) -> dict[str, float | str]:
    named: dict[str, float | str] = {}
    for assignment in filter(None, text.split(", ")):
        name, _, value = assignment.partition("=")
        try:
            named[name] = int(value) if name == _AXIS else float(value)
        except ValueError:
            named[name] = value
    return named
