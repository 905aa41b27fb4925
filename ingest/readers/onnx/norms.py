"""ONNX's normalizations, and functions over an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from ingest.operations import Parameter
from ingest.readers.onnx.nodes import Held, Node, Value, resolved
from ingest.readers.onnx.walk import Handler, Walk

# The version from which softmax is over one axis, and no longer over all that follow it too.
_SOFTMAX_OF_ONE_AXIS = 13

_REDUCTIONS = {
    "ReduceL1": "l1", "ReduceL2": "l2", "ReduceLogSum": "sum", "ReduceLogSumExp": "sum",
    "ReduceMax": "max", "ReduceMean": "mean", "ReduceMin": "min", "ReduceProd": "product",
    "ReduceSum": "sum", "ReduceSumSquare": "sum",
}  # fmt: skip


def _tensors(
    node: Node, walk: Walk, roles: Mapping[int, str], shape: tuple[int, ...]
) -> dict[str, Parameter]:
    """The tensors of a normalization, all of them of one shape."""
    found = {}
    for index, role in roles.items():
        if not node.has(index):
            continue
        tensor = node.constant(index, role)
        if tensor.shape != shape:
            raise node.refused(f" with a {role} of the shape {tensor.shape} for {shape}")
        found[role] = walk.parameter(tensor)
    return found


def batch_norm(node: Node, walk: Walk) -> Sequence[Value]:
    node.ignore("momentum")
    node.only("training_mode", 0)
    held = walk.sample(node, node.held(0), 0)
    channels = held.shape[1:2]
    roles = {1: "weight", 2: "bias", 3: "mean", 4: "variance"}
    attributes = {"epsilon": node.number("epsilon", 1e-5), "axis": 1 - len(held.shape)}
    return [_normed(node, walk, "batch_norm", held, roles, channels, attributes)]


def instance_norm(node: Node, walk: Walk) -> Sequence[Value]:
    held = walk.sample(node, node.held(0), 0)
    attributes = {"epsilon": node.number("epsilon", 1e-5)}
    roles = {1: "weight", 2: "bias"}
    return [_normed(node, walk, "instance_norm", held, roles, held.shape[1:2], attributes)]


def group_norm(node: Node, walk: Walk) -> Sequence[Value]:
    node.ignore("stash_type")
    held = walk.sample(node, node.held(0), 0)
    groups = node.whole("num_groups", 0)
    if groups < 1 or len(held.shape) < 2 or held.shape[1] % groups:
        raise node.refused(f" of {held.shape[1:2]} channels in {groups} groups")
    attributes = {"epsilon": node.number("epsilon", 1e-5), "groups": groups}
    roles = {1: "weight", 2: "bias"}
    return [_normed(node, walk, "group_norm", held, roles, held.shape[1:2], attributes)]


def layer_norm(node: Node, walk: Walk) -> Sequence[Value]:
    """LayerNormalization and RMSNormalization: over an axis and all that follow it."""
    node.ignore("stash_type")
    held = node.held(0)
    rank = len(held.shape)
    (first,) = resolved(node, [node.whole("axis", -1)], rank)
    if held.batch is not None and held.batch >= first:
        node.mixes()
    axes = tuple(range(first - rank, 0))
    attributes = {"epsilon": node.number("epsilon", 1e-5), "axes": axes}
    kind, roles = "layer_norm", {1: "weight", 2: "bias"}
    if node.operator == "RMSNormalization":
        kind, roles = "rms_norm", {1: "weight"}
    return [_normed(node, walk, kind, held, roles, held.shape[first:], attributes)]


def _normed(
    node: Node,
    walk: Walk,
    kind: str,
    held: Held,
    roles: Mapping[int, str],
    shape: tuple[int, ...],
    attributes: Mapping[str, object],
) -> Held:
    parameters = _tensors(node, walk, roles, shape)
    return walk.emit(
        node.name, kind, [held], held.shape, held.batch,
        parameters=parameters, attributes=attributes,
    )  # fmt: skip


def softmax(node: Node, walk: Walk) -> Sequence[Value]:
    """Softmax and LogSoftmax."""
    held = node.held(0)
    kind = "softmax" if node.operator == "Softmax" else "log_softmax"
    rank, newer = len(held.shape), node.opset >= _SOFTMAX_OF_ONE_AXIS
    if not rank:
        raise node.refused(" of a single number")
    (axis,) = resolved(node, [node.whole("axis", -1 if newer else 1)], rank)
    following = held.shape[axis + 1 :]
    if newer or prod(following) == 1:
        return [_over(node, walk, kind, held, axis)]
    if held.batch is not None and held.batch >= axis:
        node.mixes()
    flat = (*held.shape[:axis], prod(held.shape[axis:]))
    joined = walk.reshaped(held, flat, held.batch, f"{node.name}.flat")
    found = _over(node, walk, kind, joined, axis)
    return [walk.reshaped(found, held.shape, held.batch, f"{node.name}.reshape")]


def _over(node: Node, walk: Walk, kind: str, held: Held, axis: int) -> Held:
    along = held.axis(axis)
    if along is None:
        node.mixes()
    return walk.like(node.name, kind, held, **({} if along == -1 else {"axis": along}))


def reduction(node: Node, walk: Walk) -> Sequence[Value]:
    """A sum, mean, ... over some axes, or over all."""
    held, rank = node.held(0), len(node.held(0).shape)
    keep, nothing = bool(node.whole("keepdims", 1)), bool(node.whole("noop_with_empty_axes", 0))
    told = node.axes(1)
    if not told and nothing:
        if node.operator in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"):
            return [held]
        raise node.refused(" over no axis")
    axes = resolved(node, told or range(rank), rank)
    if held.batch in axes and not walk.single:
        node.mixes()
    before = _before(node, walk, held)
    shape = tuple(
        1 if axis in axes else length
        for axis, length in enumerate(held.shape)
        if keep or axis not in axes
    )
    batch = held.batch
    if batch is not None and not keep:
        batch = None if batch in axes else batch - sum(axis < batch for axis in axes)
    along = tuple(held.axis(axis) for axis in axes if axis != held.batch)
    logarithm = node.operator in ("ReduceLogSum", "ReduceLogSumExp")
    name = f"{node.name}.sum" if logarithm else node.name
    attributes = {"function": _REDUCTIONS[node.operator], "axes": along, "keep": keep}
    if along:
        found = walk.emit(name, "reduce", [before], shape, batch, attributes=attributes)
    else:
        # Only the batch axis, of length 1.
        found = walk.reshaped(before, shape, batch, f"{node.name}.reshape")
        if node.operator in ("ReduceL1", "ReduceL2"):
            found = walk.like(name, "abs", found)
    return [walk.like(node.name, "log", found) if logarithm else found]


def _before(node: Node, walk: Walk, held: Held) -> Held:
    """What a reduction applies to each entry before it sums."""
    match node.operator:
        case "ReduceSumSquare":
            return walk.like(f"{node.name}.square", "to_power", held, exponent=2.0)
        case "ReduceLogSumExp":
            return walk.like(f"{node.name}.exp", "exp", held)
    return held


TABLE: Mapping[str, Handler] = {
    **dict.fromkeys(_REDUCTIONS, reduction),
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LogSoftmax": softmax,
    "RMSNormalization": layer_norm,
    "Softmax": softmax,
}
