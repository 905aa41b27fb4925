"""What exporters write as several operations, recognized by what it computes.

Only the exact function is recognized, and only where nothing else takes what is in between: a bias
that is added to a linear layer, and a layer normalization in its single steps.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.operations import Operation, Parameter
from ingest.readers.onnx.nodes import Shape

Operations = Mapping[str, Operation]


def fused(
    operations: Operations, outputs: Sequence[str]
) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """The operations with biases and normalizations in one piece, and none that leads nowhere.

    Parameters
    ----------
    operations
        By name, each after those that it takes.
    outputs
        Names of the model's outputs.

    Returns
    -------
    operations, outputs
    """
    left = needed(operations, outputs)
    users = _users(left)
    # What stands for an operation that has become part of another.
    instead: dict[str, str] = {}
    changed: dict[str, Operation] = {}
    inside: set[str] = set()
    # From the last: the steps of a whole normalization are taken before those of its parts.
    for name in reversed(left):
        if name in inside:
            continue
        biased = _biased(left[name], left)
        if biased is not None and _only(biased.name, {name}, users, outputs):
            changed[biased.name] = biased
            instead[name] = biased.name
            continue
        norm = _normalized(left[name], left)
        if norm is None:
            continue
        within = norm.steps | {name}
        if all(_only(step, within, users, outputs) for step in norm.steps):
            changed[name] = norm.operation
            inside |= norm.steps
    merged = {
        name: _redirected(changed.get(name, operation), instead)
        for name, operation in left.items()
        if name not in instead
    }
    ends = tuple(instead.get(name, name) for name in outputs)
    return tuple(needed(merged, ends).values()), ends


def needed(operations: Operations, outputs: Collection[str]) -> dict[str, Operation]:
    """The operations that lead to an output."""
    wanted = set(outputs)
    for name in reversed(list(operations)):
        if name in wanted:
            wanted.update(operations[name].inputs)
    return {name: operation for name, operation in operations.items() if name in wanted}


def _users(operations: Operations) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in operations}
    for operation in operations.values():
        for name in operation.inputs:
            found[name].add(operation.name)
    return found


def _only(
    name: str, within: set[str], users: Mapping[str, set[str]], outputs: Collection[str]
) -> bool:
    """Whether nothing but these operations takes a value."""
    return users[name] <= within and name not in outputs


def _redirected(operation: Operation, instead: Mapping[str, str]) -> Operation:
    if instead.keys().isdisjoint(operation.inputs):
        return operation
    return replace(operation, inputs=tuple(instead.get(name, name) for name in operation.inputs))


def _biased(operation: Operation, operations: Operations) -> Operation | None:
    """The linear layer to which an operation adds a bias, with that bias."""
    if operation.kind != "add" or len(operation.inputs) != 2:
        return None
    for layer, other in (operation.inputs, operation.inputs[::-1]):
        linear = operations[layer]
        tensor = _tensor(operations[other], operation.shape[-1:])
        if linear.kind != "linear" or "bias" in linear.parameters or tensor is None:
            continue
        if linear.shape == operation.shape:
            return replace(linear, parameters={**linear.parameters, "bias": tensor})
    return None


def _tensor(operation: Operation, shape: Shape) -> Parameter | None:
    """The parameter that is an operand by itself, in exactly this shape."""
    if operation.kind != "parameter":
        return None
    tensor = operation.parameters["value"]
    return tensor if tensor.shape == operation.shape == shape else None


@dataclass(frozen=True)
class _Norm:
    """A layer normalization, and the steps that it replaces."""

    operation: Operation
    steps: set[str]


def _normalized(last: Operation, operations: Operations) -> _Norm | None:
    """``(x - mean) / sqrt(variance + epsilon)``, perhaps times a weight and plus a bias."""
    found: dict[str, Parameter] = {}
    steps: set[str] = set()
    centre = last
    for kind, role in (("add", "bias"), ("product", "weight")):
        if centre.kind != kind or len(centre.inputs) != 2:
            continue
        for inner, other in (centre.inputs, centre.inputs[::-1]):
            before, operand = operations[inner], operations[other]
            if operand.kind == "parameter" and before.kind in ("product", "divide"):
                found[role] = operand.parameters["value"]
                steps.add(before.name)
                centre = before
                break
    core = _standardized(centre, operations)
    if core is None:
        return None
    source, axes, epsilon, inner_steps = core
    shape = tuple(operations[source].shape[axis] for axis in axes)
    if last.shape != operations[source].shape:
        return None
    if any(tensor.shape != shape for tensor in found.values()):
        return None
    operation = Operation(
        last.name, "layer_norm", (source,), last.shape, found, {"epsilon": epsilon, "axes": axes}
    )
    return _Norm(operation, steps | inner_steps)


def _standardized(
    quotient: Operation, operations: Operations
) -> tuple[str, tuple[int, ...], float, set[str]] | None:
    """What is standardized, over which axes and with which epsilon, and the steps before."""
    if quotient.kind != "divide":
        return None
    centred, root = (operations[name] for name in quotient.inputs)
    moved = _before(root, "sqrt", operations)
    variance = _before(moved, "plus", operations)
    square = _mean(variance, operations)
    if moved is None or variance is None or square is None:
        return None
    squares = square.kind == "to_power" and square.attributes["exponent"] == 2
    if not squares and not (square.kind == "product" and len(set(square.inputs)) == 1):
        return None
    again = operations[square.inputs[0]]
    axes = variance.attributes["axes"]
    steps = {root.name, moved.name, variance.name, square.name}
    sources = set()
    for each in (centred, again):
        if each.kind != "subtract":
            return None
        source, mean = each.inputs
        if (
            _mean(operations[mean], operations) is not operations[source]
            or operations[mean].attributes["axes"] != axes
        ):
            return None
        sources.add(source)
        steps |= {each.name, mean}
    if len(sources) > 1:
        return None
    return sources.pop(), axes, float(moved.attributes["amount"]), steps


def _before(operation: Operation | None, kind: str, operations: Operations) -> Operation | None:
    """What an operation of a kind takes."""
    if operation is None or operation.kind != kind:
        return None
    return operations[operation.inputs[0]]


def _mean(operation: Operation | None, operations: Operations) -> Operation | None:
    """What an operation takes the mean of, with axes of length 1 left."""
    if operation is None or operation.kind != "reduce":
        return None
    if operation.attributes["function"] != "mean" or not operation.attributes["keep"]:
        return None
    return operations[operation.inputs[0]]
