"""Entries of axes in any order, repeated or padded: copies, where views are not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Factor, Role, has, own, shape_of
from ingest.readers.aten.views import expanded
from ingest.readers.aten.walk import MOST_LISTED, Results, Rule, Walk


def repeat(call: Call, walk: Walk) -> Results:
    """A tensor laid side by side with itself."""
    value = walk.value(call, call.source)
    repeats = list(call.arguments.get("repeats", call.arguments.get("dims")))
    repeats = [1] * (len(value.axes) - len(repeats)) + repeats
    missing = len(repeats) - len(value.axes)
    shape = (1,) * missing + shape_of(value.axes)
    ones = [times if size == 1 else size for size, times in zip(shape, repeats, strict=True)]
    value = expanded(call, walk, value, ones)
    for dim, (size, times) in enumerate(zip(shape, repeats, strict=True)):
        if size > 1 and times != 1:
            if has(value.axes[dim], Role.BATCH):
                raise walk.mixes(call)
            value = _listed(
                call, walk, value, dim, np.tile(_places(call, value, dim, times), times)
            )
    return value


def repeat_each(call: Call, walk: Walk) -> Results:
    """Each entry of an axis several times in a row."""
    dim, times = call.arguments["dim"], call.arguments["repeats"]
    value = walk.value(call, call.source)
    if dim is None:
        raise walk.mixes(call)
    return _listed(call, walk, value, dim, np.repeat(_places(call, value, dim, times), times))


def flip(call: Call, walk: Walk) -> Results:
    """Axes backwards."""
    value = walk.value(call, call.source)
    for dim in call.arguments["dims"]:
        value = _listed(call, walk, value, dim, _places(call, value, dim)[::-1])
    return value


def roll(call: Call, walk: Walk) -> Results:
    """Axes shifted around."""
    value = walk.value(call, call.source)
    shifts, dims = call.arguments["shifts"], call.arguments["dims"]
    if not dims:
        raise walk.mixes(call)
    for shift, dim in zip(shifts, dims, strict=True):
        value = _listed(call, walk, value, dim, np.roll(_places(call, value, dim), shift))
    return value


def _places(call: Call, value: Value, dim: int, times: int = 1) -> NDArray[Any]:
    """The places of an axis, if so many times them are not too many to be listed."""
    size = shape_of(value.axes)[dim]
    if size * times > MOST_LISTED:
        raise call.refused(f" to {size * times} entries along an axis")
    return np.arange(size)


def index(call: Call, walk: Walk) -> Results:
    """Entries of an axis at places that are known."""
    value = walk.value(call, call.source)
    if "indices" in call.arguments:
        given = call.arguments["indices"]
        named = [dim for dim, places in enumerate(given) if isinstance(places, Ref)]
        if len(named) != 1:
            raise call.refused(" with more than one index")
        dim, places = named[0], given[named[0]]
    else:
        dim, places = call.arguments["dim"], call.arguments["index"]
    known = walk.constant(call, places)
    if known is None or known.ndim != 1:
        raise call.refused(" with a computed index")
    if known.dtype == np.bool_:
        known = np.flatnonzero(known)
    return _listed(call, walk, value, dim, known)


def _listed(call: Call, walk: Walk, value: Value, dim: int, places: NDArray[Any]) -> Value:
    """Entries of a plain axis at known places, negative ones counted from its end."""
    if len(places) > MOST_LISTED:
        raise call.refused(f" to {len(places)} entries along an axis")
    size = shape_of(value.axes)[dim]
    if len(places) and not -size <= places.min() <= places.max() < size:
        raise call.refused(" beyond the end of an axis")
    return walk.take(call, value, dim, (places % size).tolist())


_MODES = {
    "constant": "zeros", "reflect": "reflect", "replicate": "replicate", "circular": "circular",
}  # fmt: skip


def pad(call: Call, walk: Walk) -> Results:
    """Entries put before and after axes; negative amounts take some away."""
    mode = call.arguments.get("mode", "constant")
    if mode not in _MODES:
        raise call.refused(f" with mode={mode!r}")
    amount = call.arguments.get("value")
    if mode == "constant" and amount not in (None, 0):
        raise call.refused(f" with value={amount}")
    flat = list(call.arguments["pad"])
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    value = walk.value(call, call.source)
    rank = len(value.axes)
    for number, (before, after) in enumerate(pairs):
        dim = rank - 1 - number
        size = shape_of(value.axes)[dim]
        if before < 0 or after < 0:
            stop = size + min(after, 0)
            value = walk.cut(call, value, dim, -min(before, 0), stop, part="slice")
    padding = {
        rank - 1 - number: (max(before, 0), max(after, 0))
        for number, (before, after) in enumerate(pairs)
        if before > 0 or after > 0
    }
    if not padding:
        return value
    value, _ = walk.along_all(call, value, list(padding))
    axes = tuple(
        (Factor(axis[0].size + sum(padding[number])),) if number in padding else axis
        for number, axis in enumerate(value.axes)
    )
    given = {
        "padding": tuple(
            padding.get(number, (0, 0))
            for number, axis in enumerate(value.axes)
            for factor in axis
            if factor.role is Role.OWN
        ),
        "mode": _MODES[mode],
    }
    return Value(walk.emit(call, "pad", (value.operation,), own(axes), None, given), axes)


def upsample(exact: bool) -> Rule:
    """The nearest entry, by the arithmetic of torch, which is in float32."""

    def rule(call: Call, walk: Walk) -> Results:
        value = walk.value(call, call.source)
        factors = call.arguments.get("scale_factors")
        spatial = len(call.shape) - 2
        for number in range(spatial):
            dim = 2 + number
            size, wanted = shape_of(value.axes)[dim], call.shape[dim]
            scale = np.float32(size) / np.float32(wanted)
            if factors:
                scale = np.float32(1.0 / factors[number])
            places = np.arange(min(wanted, MOST_LISTED + 1)).astype(np.float32)
            places = np.floor((places + np.float32(0.5 if exact else 0)) * scale)
            value = _listed(call, walk, value, dim, np.minimum(places.astype(np.int64), size - 1))
        return value

    return rule


def shuffle(call: Call, walk: Walk) -> Results:
    """Pixels that come from channels, channels that come from pixels, or groups interleaved."""
    value = walk.value(call, call.source)
    batch, channels, *spatial = shape_of(value.axes)
    if call.operator == "channel_shuffle":
        groups = call.arguments["groups"]
        split: list[int] = [batch, groups, channels // groups, *spatial]
        order = [0, 2, 1, *range(3, len(split))]
    else:
        height, width = spatial
        if call.operator == "pixel_shuffle":
            by = call.arguments["upscale_factor"]
            split = [batch, channels // by**2, by, by, height, width]
            order = [0, 1, 4, 2, 5, 3]
        else:
            by = call.arguments["downscale_factor"]
            split = [batch, channels, height // by, by, width // by, by]
            order = [0, 1, 3, 5, 2, 4]
    value = walk.reshape(call, value, split, part="split")
    return walk.reshape(call, walk.permute(call, value, order, part="permute"), call.shape)


SELECTIONS: Mapping[str, Rule] = {
    "channel_shuffle.default": shuffle,
    "constant_pad_nd.default": pad,
    "flip.default": flip,
    "index.Tensor": index,
    "index_select.default": index,
    "pad.default": pad,
    "pixel_shuffle.default": shuffle,
    "pixel_unshuffle.default": shuffle,
    "repeat.default": repeat,
    "repeat_interleave.self_int": repeat_each,
    "roll.default": roll,
    "tile.default": repeat,
    **{f"upsample_nearest{n}d.vec": upsample(exact=False) for n in (1, 2, 3)},
    **{f"upsample_nearest_exact{n}d.vec": upsample(exact=True) for n in (1, 2, 3)},
}
