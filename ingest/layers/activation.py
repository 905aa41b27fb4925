"""Activations: a property of the layer that they follow.

The property is the function's name and every argument that changes it, defaults included, since
frameworks differ in them: ``leaky_relu(negative_slope=0.01)``. Several in a row are joined by a
comma, first applied first. ``unknown`` stands where a file does not tell the activation.
"""

from __future__ import annotations

from ingest.layers.building import Building, Families
from ingest.layers.neurons import varying
from ingest.operations import Operation

UNKNOWN = "unknown"

ALONG_AN_AXIS = ("softmax", "softmin", "log_softmax")

# Their name alone says all about them, unless a format gives one of them arguments.
PLAIN = (
    "abs",
    "ceil",
    "cos",
    "erf",
    "exp",
    "floor",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "log",
    "log_softmax",
    "logsigmoid",
    "mish",
    "reciprocal",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softmin",
    "softsign",
    "sqrt",
    "tanh",
    "tanhshrink",
)
# Arithmetic with one constant is an elementwise function too: times(factor), plus(amount),
# to_power(exponent), clip(low, high).
WITH_ARGUMENTS = (
    "celu",
    "clip",
    "elu",
    "hardshrink",
    "hardtanh",
    "leaky_relu",
    "plus",
    "softplus",
    "softshrink",
    "threshold",
    "times",
    "to_power",
)
ELEMENTWISE = tuple(
    name for name in (*PLAIN, *WITH_ARGUMENTS, UNKNOWN) if name not in ALONG_AN_AXIS
)


def text(operation: Operation) -> str:
    """How an activation is written in ``Layer.activation``.

    Example
    -------
    >>> text(Operation("act", "softplus", attributes={"beta": 1.0, "threshold": 20.0}))
    'softplus(beta=1, threshold=20)'
    """
    if not operation.attributes:
        return operation.kind
    arguments = ", ".join(f"{key}={_value(value)}" for key, value in operation.attributes.items())
    return f"{operation.kind}({arguments})"


def _value(value: object) -> str:
    # 1 and 1.0 are one argument; repr keeps every digit of any other float.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def activation(operation: Operation, building: Building) -> None:
    """Notes the function on the layer before it, or makes a layer where that would change others.

    A layer of its own has one wire into each neuron.
    """
    along_axis = operation.kind in ALONG_AN_AXIS
    if building.activate(operation, text(operation), elementwise=not along_axis):
        return
    source = building.source(operation)
    placed = building.place(
        operation.name,
        "activation",
        operation.shape,
        varying(source.neurons),
        takes=[source],
        activation=text(operation),
    )
    building.wire(placed, source.neurons, placed.neurons)
    building.give(operation, placed)


FAMILY: Families = dict.fromkeys((*PLAIN, *WITH_ARGUMENTS, UNKNOWN), activation)
