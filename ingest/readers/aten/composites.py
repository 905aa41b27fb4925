"""Activations that torch writes as several calls: recognized by what they compute."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ingest.readers.aten.calls import Call, Ref


@dataclass(frozen=True)
class Composite:
    """An activation that torch writes as several calls, the last of which stands for all."""

    kind: str
    source: object
    inner: tuple[str, ...]


def composite(call: Call, calls: Mapping[str, Call]) -> Composite | None:
    """Recognizes softsign x / (1 + abs(x)), tanhshrink x - tanh(x) and softmin softmax(-x)."""

    def of(argument: object) -> Call | None:
        return calls.get(argument.name) if isinstance(argument, Ref) else None

    one, other = call.arguments.get("self"), of(call.arguments.get("other"))
    match call.operator:
        case "div" if other and other.operator == "add" and other.arguments.get("other") == 1:
            inner = of(other.source)
            if (
                inner
                and inner.operator == "abs"
                and inner.source == one
                and other.arguments.get("alpha", 1) == 1
                and call.arguments.get("rounding_mode") is None
            ):
                return Composite("softsign", one, (other.name, inner.name))
        case "sub" if other and other.operator == "tanh" and other.source == one:
            if call.arguments.get("alpha", 1) == 1:
                return Composite("tanhshrink", one, (other.name,))
        case "softmax":
            inner = of(one)
            axis = call.arguments.get("dim")
            if inner and inner.operator == "neg" and axis in (-1, len(call.shape) - 1):
                return Composite("softmin", inner.source, (inner.name,))
    return None


def absorbed(calls: Sequence[Call], outputs: Collection[str]) -> set[str]:
    """Calls that only serve a composite activation."""
    by_name = {call.name: call for call in calls}
    users: dict[str, set[str]] = {}
    for call in calls:
        for ref in call.refs:
            users.setdefault(ref.name, set()).add(call.name)
    inner: set[str] = set()
    for call in calls:
        found = composite(call, by_name)
        if found is not None:
            inside = {call.name, *found.inner}
            inner.update(
                name for name in found.inner if users[name] <= inside and name not in outputs
            )
    return inner
