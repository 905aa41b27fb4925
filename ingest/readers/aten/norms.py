"""Normalization, tables of embeddings, and activations with learned slopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ingest.operations import Parameter
from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Factor, own
from ingest.readers.aten.walk import MOST_LISTED, Results, Rule, Stored, Walk, without_repetitions

# What rms_norm adds where it is told nothing: the precision in which torch computes it.
_SMALLEST = {"float64": 2.0**-52}
_SMALLEST_ELSE = 2.0**-23


def _normed(
    call: Call,
    walk: Walk,
    value: Value,
    kind: str,
    tensors: Mapping[str, Parameter | None],
    attributes: Mapping[str, Any],
) -> Value:
    known = {role: tensor for role, tensor in tensors.items() if tensor is not None}
    weight = known.get("weight")
    made = walk.emit(
        call,
        kind,
        (value.operation,),
        own(value.axes),
        known,
        attributes,
        name="" if weight is None else walk.named_after(call, weight, kind),
    )
    return Value(made, value.axes)


def _scale_and_shift(call: Call, walk: Walk) -> dict[str, Parameter | None]:
    return {role: walk.tensor(call, role) for role in ("weight", "bias")}


def batch_norm(call: Call, walk: Walk) -> Results:
    """By means and variances that were measured before."""
    require(call, training=False)
    return _measured(call, walk)


def _measured(call: Call, walk: Walk) -> Results:
    value, axis = walk.along(call, walk.value(call, call.source), 1)
    tensors = {
        "mean": walk.tensor(call, "running_mean"),
        "variance": walk.tensor(call, "running_var"),
        **_scale_and_shift(call, walk),
    }
    attributes = {"epsilon": float(call.arguments["eps"]), "axis": axis}
    return _normed(call, walk, value, "batch_norm", tensors, attributes)


def layer_norm(call: Call, walk: Walk) -> Results:
    """Over the last axes of each sample."""
    dims = range(-len(call.arguments["normalized_shape"]), 0)
    value, axes = walk.along_all(call, walk.value(call, call.source), dims)
    attributes = {"epsilon": float(call.arguments["eps"]), "axes": axes}
    return _normed(call, walk, value, "layer_norm", _scale_and_shift(call, walk), attributes)


def rms_norm(call: Call, walk: Walk) -> Results:
    """By the mean square over the last axes."""
    dims = range(-len(call.arguments["normalized_shape"]), 0)
    value, axes = walk.along_all(call, walk.value(call, call.source), dims)
    epsilon = call.arguments.get("eps")
    if epsilon is None:
        epsilon = _SMALLEST.get(call.dtype, _SMALLEST_ELSE)
    tensors = {"weight": walk.tensor(call, "weight")}
    return _normed(
        call, walk, value, "rms_norm", tensors, {"epsilon": float(epsilon), "axes": axes}
    )


def group_norm(call: Call, walk: Walk) -> Results:
    """Over groups of channels."""
    value = walk.channels_first(call, walk.value(call, call.source))
    attributes = {
        "epsilon": float(call.arguments["eps"]),
        "groups": call.arguments["num_groups"],
    }
    return _normed(call, walk, value, "group_norm", _scale_and_shift(call, walk), attributes)


def instance_norm(call: Call, walk: Walk) -> Results:
    """Each channel by itself, or by what was measured before."""
    if not call.arguments["use_input_stats"]:
        return _measured(call, walk)
    if call.arguments.get("running_mean") is not None:
        raise call.refused(" that measures while it computes")
    value = walk.channels_first(call, walk.value(call, call.source))
    attributes = {"epsilon": float(call.arguments["eps"])}
    return _normed(call, walk, value, "instance_norm", _scale_and_shift(call, walk), attributes)


def prelu(call: Call, walk: Walk) -> Results:
    """Slopes below 0, one per channel or one for all."""
    value = walk.value(call, call.source)
    weight = walk.tensor(call, "weight")
    if weight is None or len(weight.shape) > 1:
        raise call.refused(f" with slopes of the shape {weight and weight.shape}")
    axis = -1
    if weight.size > 1:
        value, axis = walk.along(call, value, 1 if len(value.axes) > 1 else 0)
    return _normed(call, walk, value, "prelu", {"weight": weight}, {"axis": axis})


def embedding(call: Call, walk: Walk) -> Results:
    """Rows of a table; at places that are known, entries of a stored tensor."""
    places = walk.find(call, call.arguments["indices"])
    table = walk.tensor(call, "weight")
    if table is None or not isinstance(call.arguments["weight"], Ref):
        raise call.refused(" without a table")
    features = (Factor(table.shape[1]),)
    if isinstance(places, Value):
        axes = (*places.axes, features)
        made = walk.emit(
            call,
            "embedding",
            (places.operation,),
            own(axes),
            {"weight": table},
            name=walk.named_after(call, table, "embedding"),
        )
        return Value(made, axes)
    known = walk.constant(call, call.arguments["indices"])
    if known is None or known.size > MOST_LISTED:
        raise call.refused(" with learned indices")
    rows, places_of = without_repetitions(known, walk.samples)
    found = _rows(call, walk, walk.value(call, Stored(table, table.shape, learned=True)), rows)
    return walk.lay(call, found, (*places_of, features), part="reshape")


def _rows(call: Call, walk: Walk, table: Value, places: NDArray[Any]) -> Value:
    """Some rows of a stored table, one after another."""
    rows = places.reshape(-1).tolist()
    first = rows[0] if rows else 0
    if rows == list(range(first, first + len(rows))):
        return walk.cut(call, table, 0, first, first + len(rows), part="rows")
    return walk.take(call, table, 0, rows, part="rows")


NORMS: Mapping[str, Rule] = {
    "batch_norm.default": batch_norm,
    "embedding.default": embedding,
    "group_norm.default": group_norm,
    "instance_norm.default": instance_norm,
    "layer_norm.default": layer_norm,
    "prelu.default": prelu,
    "rms_norm.default": rms_norm,
}
