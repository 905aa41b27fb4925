"""Attention: queries that meet keys, and take of the values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.readers.aten.calls import Call
from ingest.readers.aten.constants import LONGEST
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Axes, common, fitted, own, plain, shape_of
from ingest.readers.aten.walk import Constant, Held, Results, Rule, Stored, Walk

# Softmax makes 0 of what is so much less than the rest, as of what is infinitely less.
_AS_INFINITE = -1e38


def attention(call: Call, walk: Walk) -> Results:
    """``scaled_dot_product_attention``."""
    given = call.arguments
    require(call, dropout_p=0)
    query, key, value = (
        walk.along_all(call, walk.value(call, given[role]), (-2, -1))[0]
        for role in ("query", "key", "value")
    )
    causal = bool(given.get("is_causal", False))
    lengths = shape_of(query.axes)[-2], shape_of(key.axes)[-2]
    mask: Held | None = None
    if given.get("attn_mask") is not None:
        mask = _additive(call, walk, walk.find(call, given["attn_mask"]))
        if isinstance(mask, Constant) and (is_causal(mask.array) or not mask.array.any()):
            causal, mask = bool(mask.array.any()), None
    if causal and lengths[0] != lengths[1]:
        raise call.refused(f" that is causal, of {lengths[0]} queries and {lengths[1]} keys")
    lead = _lead(call, walk, [query, key, value], shared=bool(given.get("enable_gqa", False)))
    heads = own(lead)
    # Heads share keys and values, but never queries.
    names = [_in_heads(call, walk, query, heads, all_of_them=True)]
    names += [_in_heads(call, walk, each, heads, all_of_them=False) for each in (key, value)]
    if mask is not None:
        names.append(_mask(call, walk, walk.value(call, mask), lead, lengths))
    scale = given.get("scale")
    attributes = {
        "scale": shape_of(query.axes)[-1] ** -0.5 if scale is None else float(scale),
        "causal": causal,
    }
    axes = (*lead, query.axes[-2], value.axes[-1])
    shape = (prod(heads), *own(axes[-2:]))
    if shape == own(axes):
        return Value(walk.emit(call, "attention", names, shape, None, attributes), axes)
    made = walk.emit(call, "attention", names, shape, None, attributes, part="attention")
    return Value(walk.emit(call, "reshape", (made,), own(axes)), axes)


def _lead(call: Call, walk: Walk, values: Sequence[Value], *, shared: bool) -> Axes:
    """The axes before those of the matrices; where heads share keys, those of the queries."""
    leads = [value.axes[:-2] for value in values]
    if shared:
        heads = [shape_of(lead)[-1] for lead in leads]
        if heads[1] != heads[2] or heads[0] % heads[1]:
            raise call.refused(f" of {heads[0]} heads that share {heads[1]} and {heads[2]}")
        leads = [(*lead[:-1], leads[0][-1]) for lead in leads]
    lead = common(leads)
    if lead is None or (shared and len(own(lead)) > 1):
        raise walk.mixes(call)
    if not shared and any(fitted(each, lead) is None for each in leads):
        raise walk.mixes(call)
    return lead


def _in_heads(
    call: Call, walk: Walk, value: Value, heads: tuple[int, ...], *, all_of_them: bool
) -> str:
    """A value as (heads, time, features); all axes before the last two are of heads."""
    given, matrix = own(value.axes[:-2]), own(value.axes[-2:])
    if given != heads and (all_of_them or len(heads) > 1):
        padded = (*(1 for _ in heads[len(given) :]), *given)
        name = walk.in_shape(call, value, (*padded, *matrix))
        if padded != heads:
            name = walk.emit(call, "expand", (name,), (*heads, *matrix), part="expand")
        value = Value(name, plain((*heads, *matrix)))
        given = heads
    return walk.in_shape(call, value, (prod(given), *matrix))


def _additive(call: Call, walk: Walk, found: Held) -> Held:
    """A mask as what is added to the scores."""
    if isinstance(found, Value):
        if walk.dtypes[call.arguments["attn_mask"].name] == "bool":
            raise call.refused(" with a computed mask")
        return found
    if isinstance(found, Stored) and (found.learned or "float" in found.parameter.dtype):
        if found.learned or found.parameter.size > LONGEST:
            return found
        if not is_causal(walk.array(call, found)):
            return found
    entries = walk.array(call, found)
    if entries.dtype == np.bool_:
        entries = np.where(entries, np.float32(0), np.float32(-np.inf))
    return Constant(f"{call.module}.{call.name}.mask".lstrip("."), entries)


def is_causal(mask: NDArray[Any]) -> bool:
    """Whether a mask lets each position see itself and those before it, and nothing else.

    Example
    -------
    >>> is_causal(np.array([[0, -np.inf], [0, 0]])), is_causal(np.zeros((2, 2)))
    (True, False)
    """
    if mask.ndim < 2 or mask.shape[-1] != mask.shape[-2] or not mask.size:
        return False
    entries = mask.reshape(-1, *mask.shape[-2:])
    seen = np.tri(mask.shape[-1], dtype=np.bool_)
    return bool((entries[:, seen] == 0).all() and (entries[:, ~seen] <= _AS_INFINITE).all())


def _mask(call: Call, walk: Walk, value: Value, lead: Axes, lengths: tuple[int, int]) -> str:
    """A mask as (heads, queries, keys), or without the heads."""
    pattern = (*lead, *plain(lengths))
    shape = fitted(value.axes, pattern) if common([value.axes, pattern]) == pattern else None
    if shape is None:
        raise walk.mixes(call)
    name = walk.in_shape(call, value, shape)
    heads, rest = own(lead), shape[-2:]
    if len(shape) < 3 or len(heads) < 2:
        return name
    whole = (*heads, *rest)
    if shape != whole:
        name = walk.emit(call, "expand", (name,), whole, part="mask")
    return walk.emit(call, "reshape", (name,), (prod(heads), *rest), part="mask")


ATTENTION: Mapping[str, Rule] = {"scaled_dot_product_attention.default": attention}
