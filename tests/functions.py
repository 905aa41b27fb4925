"""The elementwise functions of an operation graph, and those over an axis, by torch's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def clip(value: Tensor, low: float, high: float) -> Tensor:
    """Infinite limits are none."""
    return value.clamp(low, high)


FUNCTIONS: Mapping[str, Callable[..., Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "floor": torch.floor,
    "gelu": functional.gelu,
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "log": torch.log,
    "log_softmax": lambda x, axis=-1: functional.log_softmax(x, axis),
    "logsigmoid": functional.logsigmoid,
    "mish": functional.mish,
    "reciprocal": torch.reciprocal,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "selu": functional.selu,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "silu": functional.silu,
    "sin": torch.sin,
    "softmax": lambda x, axis=-1: functional.softmax(x, axis),
    "softmin": lambda x, axis=-1: functional.softmin(x, axis),
    "softsign": functional.softsign,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "tanhshrink": functional.tanhshrink,
    "celu": functional.celu,
    "clip": clip,
    "elu": functional.elu,
    "hardshrink": functional.hardshrink,
    "hardtanh": functional.hardtanh,
    "leaky_relu": functional.leaky_relu,
    "plus": lambda x, amount: x + amount,
    "softplus": functional.softplus,
    "softshrink": functional.softshrink,
    "threshold": functional.threshold,
    "times": lambda x, factor: x * factor,
    "to_power": lambda x, exponent: x**exponent,
}
