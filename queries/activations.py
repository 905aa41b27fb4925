"""Activations by the names that ``Layer.activation`` has, in NumPy float64."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from store.errors import InvalidArgument

Array = NDArray[np.float64]
Function = Callable[..., Array]

UNKNOWN = "unknown"
_AXIS = "axis"

_erf = np.vectorize(math.erf, otypes=[np.float64])
_CALL = re.compile(r"([a-z_0-9]+)(?:\(([^()]*)\))?")


def _sigmoid(x: Array) -> Array:
    # exp of a negative number only, so that nothing overflows.
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    scaled = beta * x
    return np.asarray(np.where(scaled > threshold, x, np.logaddexp(0, scaled) / beta))


def _log_softmax(x: Array, axis: int = -1) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def _softmax(x: Array, axis: int = -1) -> Array:
    return np.exp(_log_softmax(x, axis))


def _gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return np.asarray(0.5 * x * (1 + np.tanh(inner)))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def _threshold(x: Array, threshold: float, value: float) -> Array:
    return np.asarray(np.where(x > threshold, x, value))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

FUNCTIONS: dict[str, Function] = {
    "identity": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "elu": _elu,
    "celu": _celu,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "gelu": _gelu,
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "exp": np.exp,
    "sigmoid": _sigmoid,
    "logsigmoid": lambda x: -np.logaddexp(0, -x),
    "hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
    "tanh": np.tanh,
    "tanhshrink": lambda x: x - np.tanh(x),
    "softshrink": lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    "hardshrink": lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0),
    "threshold": _threshold,
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softmax": _softmax,
    "softmin": lambda x: _softmax(-x),
    "log_softmax": _log_softmax,
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
        If a function is not known, as in a network that was read from weights alone.

    Example
    -------
    >>> apply("leaky_relu(negative_slope=0.5), tanh", np.array([[-2.0, 0.0]])).round(4).tolist()
    [[-0.7616, 0.0]]
    """
    for name, arguments in _CALL.findall(text):
        if name not in FUNCTIONS:
            raise InvalidArgument(f"The activation {name!r} cannot be computed.")
        values = FUNCTIONS[name](values, **_arguments(arguments))
    return values


def _arguments(text: str) -> dict[str, float | str]:
    named: dict[str, float | str] = {}
    for assignment in filter(None, text.split(", ")):
        name, _, value = assignment.partition("=")
        try:
            named[name] = int(value) if name == _AXIS else float(value)
        except ValueError:
            named[name] = value
    return named
