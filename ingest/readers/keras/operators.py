"""Arithmetic that is written between Keras' layers: ``x + y``, ``x * 0.5``, ``1 - x``."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.readers.keras.config import OPERATORS
from ingest.readers.keras.layers import Family
from ingest.readers.keras.shapes import joined
from ingest.readers.keras.values import Step, Value
from ingest.readers.wording import reason

_KINDS = {"Add": "add", "Subtract": "subtract", "Multiply": "product"}


def operator(step: Step) -> Value:
    """Two values, or a value and a number."""
    kind = _KINDS.get(step.layer.class_name.removeprefix("ops."), "divide")
    match (kind, *_operands(step)):
        case (_, Value() as first, Value() as second):
            # Here Keras broadcasts over the batch too, which values of one rank do not feel.
            if len(first.shape) != len(second.shape):
                raise step.refused(f" of the shapes {first.shape} and {second.shape}")
            return joined(step, kind, (first, second), step.name)
        case ("add", Value() as value, float() as number):
            return step.elementwise("plus", value, amount=number)
        case ("add", float() as number, Value() as value):
            return step.elementwise("plus", value, amount=number)
        case ("subtract", Value() as value, float() as number):
            return step.elementwise("plus", value, amount=-number)
        case ("subtract", float() as number, Value() as value):
            turned = step.elementwise("times", value, f"{step.name}.negative", factor=-1.0)
            return step.elementwise("plus", turned, amount=number)
        case ("product", Value() as value, float() as number):
            return step.elementwise("times", value, factor=number)
        case ("product", float() as number, Value() as value):
            return step.elementwise("times", value, factor=number)
        case ("divide", Value() as value, float() as number) if number:
            return step.elementwise("times", value, factor=1 / number)
        case ("divide", float() as number, Value() as value):
            below = step.elementwise("reciprocal", value, f"{step.name}.reciprocal")
            return step.elementwise("times", below, factor=number)
    raise step.refused(" by zero")


def _operands(step: Step) -> tuple[Value | float, Value | float]:
    """Both operands, at least one of them a value."""
    options = dict(step.call.options)
    values = [*step.inputs, *step.named.get("y", ())]
    found: list[Value | float] = []
    for name in ("argument 0", "argument 1"):
        number = options.pop(name, None)
        if number is None and name == "argument 1" and not values:
            number = options.pop("y", None)
        if isinstance(number, int | float) and not isinstance(number, bool):
            found.append(float(number))
        elif number is None and values:
            found.append(values.pop(0))
        else:
            raise step.refused(f" with the operand {reason(number)!r}")
    if values or options or not step.named.keys() <= {"y"} or not step.call.refs:
        raise step.refused(f" of {len(step.call.refs)} inputs")
    return found[0], found[1]


FAMILIES: Mapping[str, Family] = {f"ops.{name}": operator for name in OPERATORS}
