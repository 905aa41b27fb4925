"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from ingest.operations import Parameter
from ingest.readers.aten.calls import Call
from ingest.readers.aten.elementwise import require
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Axes, Factor, own, plain, shape_of
from ingest.readers.aten.reductions import reduced
from ingest.readers.aten.walk import Results, Rule, Walk


def per_axis(given: int | Sequence[int], spatial: int) -> tuple[int, ...]:
    """A number for each spatial axis, where one may stand for all."""
    numbers = (given,) if isinstance(given, int) else tuple(given)
    return numbers * spatial if len(numbers) == 1 else numbers


def conv(call: Call, walk: Walk) -> Results:
    """A convolution."""
    given = call.arguments
    value, weight, tensors = _operands(call, walk)
    kernel = weight.shape[2:]
    dilation = per_axis(given["dilation"], len(kernel))
    padding = given["padding"]
    if isinstance(padding, str):
        # Of an odd number, torch puts the greater half behind.
        whole = [
            step * (size - 1) if padding == "same" else 0
            for step, size in zip(dilation, kernel, strict=True)
        ]
        pairs = tuple((amount // 2, amount - amount // 2) for amount in whole)
    else:
        pairs = tuple((amount, amount) for amount in per_axis(padding, len(kernel)))
    stride = per_axis(given["stride"], len(kernel))
    attributes = {
        "stride": stride,
        "dilation": dilation,
        "padding": pairs,
        "groups": given["groups"],
        "layout": "target_source",
    }
    sizes = [
        (length + sum(pair) - step * (size - 1) - 1) // apart + 1
        for length, pair, step, size, apart in zip(
            shape_of(value.axes)[2:], pairs, dilation, kernel, stride, strict=True
        )
    ]
    if weight.shape[1] * given["groups"] != shape_of(value.axes)[1]:
        raise call.refused(f" whose weight {weight.shape} does not fit")
    axes = (value.axes[0], *plain((weight.shape[0], *sizes)))
    name = walk.named_after(call, weight, "conv")
    made = walk.emit(call, "conv", (value.operation,), own(axes), tensors, attributes, name=name)
    return Value(made, axes)


def conv_transposed(call: Call, walk: Walk) -> Results:
    """A transposed convolution."""
    given = call.arguments
    value, weight, tensors = _operands(call, walk)
    kernel = weight.shape[2:]
    stride, dilation, padding, more = (
        per_axis(given[each], len(kernel))
        for each in ("stride", "dilation", "padding", "output_padding")
    )
    attributes = {
        "stride": stride,
        "dilation": dilation,
        "padding": tuple((amount, amount) for amount in padding),
        "output_padding": more,
        "groups": given["groups"],
        "layout": "source_target",
    }
    sizes = [
        (length - 1) * apart - 2 * cut + step * (size - 1) + further + 1
        for length, apart, cut, step, size, further in zip(
            shape_of(value.axes)[2:], stride, padding, dilation, kernel, more, strict=True
        )
    ]
    if weight.shape[0] != shape_of(value.axes)[1]:
        raise call.refused(f" whose weight {weight.shape} does not fit")
    axes = (value.axes[0], *plain((weight.shape[1] * given["groups"], *sizes)))
    name = walk.named_after(call, weight, "conv_transposed")
    made = walk.emit(
        call, "conv_transposed", (value.operation,), own(axes), tensors, attributes, name=name
    )
    return Value(made, axes)


def _operands(call: Call, walk: Walk) -> tuple[Value, Parameter, dict[str, Parameter]]:
    """What is convolved, channels first, with which weight; and all tensors by role."""
    weight, bias = walk.tensor(call, "weight"), walk.tensor(call, "bias")
    value = walk.value(call, call.source)
    if weight is None or len(value.axes) != len(weight.shape):
        raise call.refused(" without samples")
    tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
    return walk.channels_first(call, value), weight, tensors


# -- pooling -------------------------------------------------------------------------------------


def pool(kind: str, spatial: int) -> Rule:
    """Windows over the last axes."""

    def rule(call: Call, walk: Walk) -> Results:
        given = call.arguments
        value = walk.value(call, call.source)
        kernel = per_axis(given["kernel_size"], spatial)
        stride = per_axis(given["stride"], spatial) if given["stride"] else kernel
        dilation = per_axis(given.get("dilation", 1), spatial)
        padding = per_axis(given["padding"], spatial)
        sizes = shape_of(value.axes)[-spatial:]
        places = [
            _places(*axis, ceil=bool(given["ceil_mode"]))
            for axis in zip(sizes, kernel, stride, dilation, padding, strict=True)
        ]
        # Where windows reach beyond the padding, further padding.
        pairs = tuple(
            (before, max(before, (count - 1) * step + apart * (size - 1) + 1 - length - before))
            for before, count, step, apart, size, length in zip(
                padding, places, stride, dilation, kernel, sizes, strict=True
            )
        )
        attributes: dict[str, object] = {"kernel": kernel, "stride": stride, "padding": pairs}
        if kind == "max_pool":
            attributes["dilation"] = dilation
        else:
            require(call, divisor_override=None)
            attributes["count_padding"] = _counts(call, padding, pairs)
        return _pooled(call, walk, value, kind, attributes, places)

    return rule


def _places(
    length: int, kernel: int, stride: int, dilation: int, padding: int, *, ceil: bool
) -> int:
    """How many windows lie along an axis."""
    room = length + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    # The last window must begin before the padding at the end.
    return count - 1 if (count - 1) * stride >= length + padding else count


def _counts(call: Call, padding: Sequence[int], pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether a mean counts the padding: never what ceil_mode adds to it."""
    further = any(after > before for before, after in pairs)
    if not further:
        return bool(call.arguments["count_include_pad"])
    if call.arguments["count_include_pad"] and any(padding):
        raise call.refused(" with ceil_mode=True and count_include_pad=True")
    return False


def _pooled(
    call: Call,
    walk: Walk,
    value: Value,
    kind: str,
    attributes: Mapping[str, object],
    places: Sequence[int],
) -> Value:
    dims = range(-len(places), 0)
    value, _ = walk.along_all(call, value, dims)
    axes: Axes = (*value.axes[: dims[0]], *((Factor(count),) for count in places))
    return Value(walk.emit(call, kind, (value.operation,), own(axes), None, attributes), axes)


def adaptive(kind: str, spatial: int) -> Rule:
    """Windows of one size, where the axes can be cut into so many of them."""

    def rule(call: Call, walk: Walk) -> Results:
        value = walk.value(call, call.source)
        wanted = per_axis(call.arguments["output_size"], spatial)
        sizes = shape_of(value.axes)[-spatial:]
        if prod(wanted) == 1:
            function = "max" if kind == "max_pool" else "mean"
            return reduced(call, walk, value, function, range(-spatial, 0), True)
        if any(size % count for size, count in zip(sizes, wanted, strict=True)):
            raise call.refused(f" from {sizes} to {wanted}")
        kernel = tuple(size // count for size, count in zip(sizes, wanted, strict=True))
        attributes: dict[str, object] = {
            "kernel": kernel,
            "stride": kernel,
            "padding": ((0, 0),) * spatial,
        }
        if kind == "max_pool":
            attributes["dilation"] = (1,) * spatial
        else:
            attributes["count_padding"] = False
        return _pooled(call, walk, value, kind, attributes, wanted)

    return rule


def first_of(rule: Rule) -> Rule:
    """Of an operator that also gives the places of what it found, which nobody may take."""

    def first(call: Call, walk: Walk) -> Results:
        if walk.taken[call.name] - {0}:
            raise call.refused(" with its indices")
        return walk.find(call, rule(call, walk)), None

    return first


_SPATIAL = (1, 2, 3)

CONVOLUTIONS: Mapping[str, Rule] = {
    **{f"conv{n}d.default": conv for n in _SPATIAL},
    **{f"conv{n}d.padding": conv for n in _SPATIAL},
    "conv_transpose1d.default": conv_transposed,
    "conv_transpose2d.input": conv_transposed,
    "conv_transpose3d.input": conv_transposed,
}

POOLS: Mapping[str, Rule] = {
    **{f"adaptive_avg_pool{n}d.default": adaptive("average_pool", n) for n in _SPATIAL},
    **{f"adaptive_max_pool{n}d.default": first_of(adaptive("max_pool", n)) for n in _SPATIAL},
    **{f"avg_pool{n}d.default": pool("average_pool", n) for n in _SPATIAL},
    **{f"max_pool{n}d.default": pool("max_pool", n) for n in _SPATIAL},
    "max_pool1d_with_indices.default": first_of(pool("max_pool", 1)),
    "max_pool2d_with_indices.default": first_of(pool("max_pool", 2)),
    "max_pool3d_with_indices.default": first_of(pool("max_pool", 3)),
}
