"""ATen calls -> operations: the table, and the walk over a program's calls.

Knows torch's operators by name only and imports no torch: a program can be traced from a live
module, or read from the JSON of a file. What the table does not hold is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ingest.operations import Operation, Parameter
from ingest.readers.calls import Call, Ref
from ingest.readers.composites import absorbed, composite
from ingest.readers.wording import Names

Attributes: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """What an operator means.

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


_ELEMENTWISE: dict[str, Rule] = {
    **{
        name: Rule(name)
        for name in (
            "exp", "hardsigmoid", "hardswish", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
            "tanh",
        )
    },
    "celu": Rule("celu", ("alpha",)),
    "elu": Rule("elu", ("alpha",), {"scale": 1, "input_scale": 1}),
    "gelu": Rule("gelu", ("approximate",)),
    "hardshrink": Rule("hardshrink", ("lambd",)),
    "hardtanh": Rule("hardtanh", ("min_val", "max_val")),
    "leaky_relu": Rule("leaky_relu", ("negative_slope",)),
    "log_sigmoid": Rule("logsigmoid"),
    "log_softmax": Rule("log_softmax", ("dim",), {"dtype": None, "half_to_float": False}),
    "softmax": Rule("softmax", ("dim",), {"dtype": None, "half_to_float": False}),
    "softplus": Rule("softplus", ("beta", "threshold")),
    "softshrink": Rule("softshrink", ("lambd",)),
    "threshold": Rule("threshold", ("threshold", "value")),
}  # fmt: skip

_OFF = {"train": False}

_PASSTHROUGH: dict[str, Rule] = {
    **{
        name: Rule("dropout", only=_OFF)
        for name in ("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout")
    },
    **{name: Rule("identity") for name in ("alias", "clone", "contiguous", "detach")},
    "to": Rule("identity"),
    "flatten": Rule("flatten"),
    **{
        name: Rule("reshape")
        for name in ("reshape", "squeeze", "unflatten", "unsafe_view", "unsqueeze", "view")
    },
}

TABLE: Mapping[str, Rule] = {"linear": Rule("linear"), **_ELEMENTWISE, **_PASSTHROUGH}

# They compute nothing that a later call uses.
_CHECKS = ("assert_tensor_metadata",)


def operations(
    calls: Sequence[Call],
    *,
    inputs: Sequence[Call],
    parameters: Mapping[str, Parameter],
    outputs: Collection[str],
    batch: int,
) -> tuple[Operation, ...]:
    """The operations that a program's calls stand for.

    Parameters
    ----------
    calls
        In the order of the program.
    inputs
        The program's inputs, in shape and type like the result of a call.
    parameters
        The tensors of the state dict, by the names that references use.
    outputs
        Results that the program returns; what leads to none of them is left out.
    batch
        Length of the batch axis with which the program was traced.

    Returns
    -------
    tuple of Operation

    Raises
    ------
    UnsupportedOperation
        Names the first call that is not understood, and its module.
    """
    walk = _Walk([*inputs, *calls], parameters, batch)
    for value in inputs:
        walk.enter(value)
    live = _live(calls, outputs) - absorbed(calls, outputs)
    for call in calls:
        if call.name in live and call.operator not in _CHECKS:
            walk.step(call)
    return tuple(walk.operations)


class _Walk:
    """A program's calls in turn, and the operation that holds each value so far."""

    def __init__(
        self, calls: Sequence[Call], parameters: Mapping[str, Parameter], batch: int
    ) -> None:
        self.operations: list[Operation] = []
        self._calls = {call.name: call for call in calls}
        self._parameters = parameters
        self._batch = batch
        self._names = Names()
        # Which operation holds a value: calls in place move it.
        self._holder: dict[str, str] = {}
        # Values that share memory have the same first one.
        self._memory: dict[str, str] = {}

    def enter(self, value: Call) -> None:
        """Takes an input of the program."""
        name = Names.INPUT if not self.operations else self._names.take(value.name)
        self.operations.append(Operation(name, "input", shape=value.shape[1:]))
        self._holder[value.name] = name
        self._memory[value.name] = value.name

    def step(self, call: Call) -> None:
        """Takes a call."""
        kind, source, attributes = self._meaning(call)
        if not isinstance(source, Ref) or source.name not in self._holder:
            raise call.refused(" on something else than the output of a layer")
        if not call.shape or call.shape[0] != self._batch:
            raise call.refused(f" that mixes samples (to the shape {call.shape})")
        operation = Operation(
            self._names.take(self._wanted(call, kind)),
            kind,
            (self._holder[source.name],),
            call.shape[1:],
            self._tensors(call) if kind == "linear" else {},
            {"layout": "target_source"} if kind == "linear" else attributes,
        )
        self.operations.append(operation)
        self._remember(call, source.name, operation)

    def _meaning(self, call: Call) -> tuple[str, object, Attributes]:
        """Kind, the argument that it transforms, and attributes."""
        several = composite(call, self._calls)
        if several is not None:
            return several.kind, several.source, {}
        rule = TABLE.get(call.operator)
        if rule is None or not (call.pure or call.in_place):
            raise call.refused()
        for argument, value in rule.only.items():
            if call.arguments.get(argument, value) != value:
                raise call.refused(f" with {argument}={call.arguments[argument]}")
        source = call.source
        if call.operator == "to" and isinstance(source, Ref):
            given = self._calls.get(source.name, call).dtype
            if given != call.dtype:
                raise call.refused(f" from {given} to {call.dtype}")
        kept = {key: call.arguments[key] for key in rule.keeps if key in call.arguments}
        if any(isinstance(value, Ref) for value in kept.values()):
            raise call.refused(" with a computed argument")
        attributes = _normal(kept, call)
        # torch writes its ReLU6 as this.
        if rule.kind == "hardtanh" and attributes == {"min_val": 0, "max_val": 6}:
            return "relu6", source, {}
        return rule.kind, source, attributes

    def _tensors(self, call: Call) -> dict[str, Parameter]:
        tensors = {}
        for role in ("weight", "bias"):
            argument = call.arguments.get(role)
            if argument is None:
                continue
            if not isinstance(argument, Ref) or argument.name not in self._parameters:
                raise call.refused(f" whose {role} is computed or not in the state dict")
            tensors[role] = self._parameters[argument.name]
        return tensors

    def _wanted(self, call: Call, kind: str) -> str:
        """How an operation would be called if no other were."""
        if kind == "linear":
            weight = self._tensors(call)["weight"]
            keys = (weight.name, *weight.aliases)
            if call.module and f"{call.module}.weight" in keys:
                return call.module
            own = weight.name.removesuffix("weight").removesuffix(".")
            return (own if weight.name.endswith("weight") else weight.name) or kind
        if call.leaf and call.module:
            return call.module
        return f"{call.module}.{call.name}".lstrip(".")

    def _remember(self, call: Call, source: str, operation: Operation) -> None:
        """Notes which operation holds the result, and what else a call in place changes."""
        shares = call.in_place or (operation.kind in _SHARING and call.operator != "clone")
        memory = self._memory[source] if shares else call.name
        self._memory[call.name] = memory
        if call.in_place:
            for name in [name for name, first in self._memory.items() if first == memory]:
                # A view in another shape would show the change in that shape: its later readers
                # are refused, since they find no holder.
                if self._calls[name].shape == call.shape:
                    self._holder[name] = operation.name
                else:
                    self._holder.pop(name, None)
        self._holder[call.name] = operation.name


# Kinds whose result may lie in the memory of what they take.
_SHARING = ("dropout", "flatten", "identity", "reshape")


def _live(calls: Sequence[Call], outputs: Collection[str]) -> set[str]:
    """Calls that lead to an output, or that may change what leads to one."""
    live = set(outputs)
    for call in reversed(calls):
        if call.name in live or not call.pure:
            live.add(call.name)
            live.update(ref.name for ref in call.refs)
    return live


def _normal(attributes: Attributes, call: Call) -> Attributes:
    """Attributes free of what only torch has: axes that count the batch, names of defaults."""
    match attributes:
        case {"dim": int(dim)}:
            axis = dim - len(call.shape) if dim >= 0 else dim
            if axis == -len(call.shape):
                raise call.refused(" over the batch axis")
            return {} if axis == -1 else {"axis": axis}
        case {"approximate": "none"}:
            return {}
    return {
        key: float(value) if isinstance(value, int) else value for key, value in attributes.items()
    }
