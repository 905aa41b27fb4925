"""Keras' activation functions and layers -> our kinds, with the arguments that Keras gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Activation: TypeAlias = tuple[str, Mapping[str, Any]]

LAYERS = ("Activation", "ELU", "LeakyReLU", "ReLU", "Softmax")

_SAME = (
    "gelu", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax",
    "softsign", "tanh",
)  # fmt: skip

_OTHER: Mapping[str, Activation] = {
    "linear": ("identity", {}),
    "celu": ("celu", {"alpha": 1.0}),
    "elu": ("elu", {"alpha": 1.0}),
    "exponential": ("exp", {}),
    "hard_shrink": ("hardshrink", {"lambd": 0.5}),
    "hard_silu": ("hardswish", {}),
    "hard_swish": ("hardswish", {}),
    "hard_tanh": ("hardtanh", {"min_val": -1.0, "max_val": 1.0}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "log_sigmoid": ("logsigmoid", {}),
    "soft_shrink": ("softshrink", {"lambd": 0.5}),
    "softplus": ("softplus", {"beta": 1.0}),
    "swish": ("silu", {}),
    "tanh_shrink": ("tanhshrink", {}),
}


def by_name(told: object, *, keras_2: bool) -> Activation | None:
    """The activation that a config names; None where it is not known.

    Parameters
    ----------
    told
        A name, None, or a serialized function.
    keras_2
        Whether Keras 2 wrote it: some functions changed between the two.

    Example
    -------
    >>> by_name("swish", keras_2=False)
    ('silu', {})
    >>> by_name("hard_sigmoid", keras_2=True)
    ('hardsigmoid', {'slope': 0.2})
    """
    match told:
        case None:
            return "identity", {}
        case {"class_name": "function", "config": str(name), "registered_name": str(registered)}:
            # A function of the user's own is registered under a name of its own.
            return by_name(name, keras_2=keras_2) if registered in ("function", name) else None
        case {"class_name": str(class_name), "config": dict(config)}:
            return by_layer(class_name, config, keras_2=keras_2)
        case "hard_sigmoid":
            # 0.2 x + 0.5 in Keras 2, x / 6 + 0.5 in Keras 3 and in torch.
            return "hardsigmoid", {"slope": 0.2} if keras_2 else {}
        case str() if told in _SAME:
            return told, {}
        case str():
            return _OTHER.get(told)
    return None


def by_layer(class_name: str, config: Mapping[str, Any], *, keras_2: bool) -> Activation | None:
    """The activation that a layer is; None where it is not known."""
    match class_name:
        case "Activation":
            return by_name(config.get("activation"), keras_2=keras_2)
        case "ReLU":
            return _relu(config)
        case "LeakyReLU":
            slope = config.get("negative_slope", config.get("alpha"))
            return _with("leaky_relu", "negative_slope", _number(slope))
        case "ELU":
            return _with("elu", "alpha", _number(config.get("alpha", 1.0)))
        case "Softmax":
            axis = config.get("axis", -1)
            # Keras 3 writes one axis as a list.
            one = isinstance(axis, list) and len(axis) == 1
            return "softmax", {"axis": axis[0] if one else axis}
    return None


def _relu(config: Mapping[str, Any]) -> Activation | None:
    top = config.get("max_value")
    slope = _number(config.get("negative_slope") or 0.0)
    threshold = _number(config.get("threshold") or 0.0)
    if top is None and not threshold:
        return _with("leaky_relu", "negative_slope", slope) if slope else ("relu", {})
    if not slope and not threshold and (limit := _number(top)) is not None:
        return ("relu6", {}) if limit == 6 else ("hardtanh", {"min_val": 0.0, "max_val": limit})
    return None


def _with(kind: str, key: str, value: float | None) -> Activation | None:
    return None if value is None else (kind, {key: value})


def _number(value: object) -> float | None:
    """A number; Keras 2 writes those of NumPy as ``{"type": "ndarray", "value": 0.3}``."""
    match value:
        case bool():
            return None
        case int() | float():
            return float(value)
        case {"type": "ndarray", "value": int() | float() as number}:
            return float(number)
    return None
