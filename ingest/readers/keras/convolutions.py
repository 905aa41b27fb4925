"""Keras' convolutions and pooling, and what pads, cuts and repeats along spatial axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ingest.operations import Parameter
from ingest.readers.keras.layers import Family, activated
from ingest.readers.keras.values import Shape, Step, Value
from ingest.readers.wording import reason

Pairs: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Channels:
    """A value with its channels first, whatever order the layer has.

    Parameters
    ----------
    given
        The operation that gives it.
    count
        Of the channels.
    spatial
        Lengths of the other axes.
    last
        Whether Keras has the channels last.
    """

    given: str
    count: int
    spatial: Shape
    last: bool

    @classmethod
    def of(cls, step: Step, value: Value, spatial: int) -> Channels:
        """Of a layer with so many spatial axes."""
        if len(value.shape) != spatial + 1:
            raise step.misfit(f"takes {spatial + 1} axes, not the shape {value.shape}")
        if step.channels_last():
            given = step.operations.channels_first(value, step.name)
            return cls(given, value.shape[-1], value.shape[:-1], True)
        given = step.operations.in_order(value, step.name)
        return cls(given, value.shape[0], value.shape[1:], False)

    def value(self, made: str, count: int, spatial: Shape, before: Value) -> Value:
        """What an operation gives, as Keras has it."""
        if self.last:
            return Value((*spatial, count), first=made, masked=before.masked)
        return Value((count, *spatial), made, masked=before.masked)


@dataclass(frozen=True)
class Windows:
    """How a kernel moves over the spatial axes."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Pairs
    shape: Shape

    @classmethod
    def of(cls, step: Step, lengths: Shape, size: str, default: object = None) -> Windows:
        """From a layer's config, whose word for the kernel's size is given."""
        count = len(lengths)
        kernel = step.wholes(size, count, default)
        pooling = size == "pool_size"
        stride = step.wholes("strides", count, kernel if pooling else 1)
        dilation = (1,) * count if pooling else step.wholes("dilation_rate", count, 1)
        padding, shape = [], []
        for length, width, move, apart in zip(lengths, kernel, stride, dilation, strict=True):
            reach = (width - 1) * apart
            match step.config.get("padding", "valid"):
                case "valid":
                    pair = (0, 0)
                case "same":
                    # As few as make a place for each stride; an odd one goes to the end.
                    more = max(0, (-(-length // move) - 1) * move + reach + 1 - length)
                    pair = (more // 2, more - more // 2)
                case "causal" if count == 1 and not pooling:
                    pair = (reach, 0)
                case padded:
                    raise step.refused(f" with the padding {reason(padded)!r}")
            places = (length + sum(pair) - reach - 1) // move + 1
            if places < 1:
                raise step.misfit(f"has a kernel that is longer than the shape {lengths}")
            padding.append(pair)
            shape.append(places)
        return cls(kernel, stride, dilation, tuple(padding), tuple(shape))


def _convolved(
    step: Step,
    value: Value,
    channels: Channels,
    windows: Windows,
    kernel: tuple[str, Shape],
    targets: int,
    groups: int,
    layout: str,
) -> Value:
    """One convolution with the layer's bias and activation."""
    roles = step.roles({"weight": kernel, "bias": ("bias", (targets,))})
    made = _conv(step, step.name, channels.given, windows, roles, targets, groups, layout)
    return activated(step, channels.value(made, targets, windows.shape, value), made)


def _conv(
    step: Step,
    name: str,
    given: str,
    windows: Windows,
    roles: Mapping[str, Parameter],
    targets: int,
    groups: int,
    layout: str,
) -> str:
    return step.operations.add(
        name,
        "conv",
        [given],
        (targets, *windows.shape),
        roles,
        stride=windows.stride,
        dilation=windows.dilation,
        padding=windows.padding,
        groups=groups,
        layout=layout,
    )


def convolution(step: Step) -> Value:
    """Conv1D, Conv2D, Conv3D."""
    value, spatial = step.only(), int(step.layer.class_name[-2])
    channels = Channels.of(step, value, spatial)
    windows = Windows.of(step, channels.spatial, "kernel_size")
    groups, targets = step.whole("groups", 1), step.whole("filters")
    if channels.count % groups or targets % groups:
        raise step.misfit(
            f"cannot part {channels.count} channels, or {targets} filters, into {groups} groups"
        )
    kernel = ("kernel", (*windows.kernel, channels.count // groups, targets))
    return _convolved(step, value, channels, windows, kernel, targets, groups, "source_target")


def depthwise(step: Step) -> Value:
    """DepthwiseConv1D, DepthwiseConv2D."""
    value, spatial = step.only(), int(step.layer.class_name[-2])
    channels = Channels.of(step, value, spatial)
    windows = Windows.of(step, channels.spatial, "kernel_size")
    multiplier = step.whole("depth_multiplier", 1)
    kernel = ("kernel", (*windows.kernel, channels.count, multiplier))
    targets = channels.count * multiplier
    return _convolved(step, value, channels, windows, kernel, targets, channels.count, "depthwise")


def separable(step: Step) -> Value:
    """SeparableConv1D, SeparableConv2D: a depthwise convolution, and one of width 1."""
    value, spatial = step.only(), int(step.layer.class_name[-2])
    channels = Channels.of(step, value, spatial)
    windows = Windows.of(step, channels.spatial, "kernel_size")
    multiplier, targets = step.whole("depth_multiplier", 1), step.whole("filters")
    between = channels.count * multiplier
    weight = step.fitting("depthwise_kernel", (*windows.kernel, channels.count, multiplier))
    made = _conv(
        step,
        f"{step.name}.depthwise",
        channels.given,
        windows,
        {"weight": weight},
        between,
        channels.count,
        "depthwise",
    )
    ones = (1,) * spatial
    narrow = Windows(ones, ones, ones, ((0, 0),) * spatial, windows.shape)
    middle = Channels(made, between, windows.shape, channels.last)
    kernel = ("pointwise_kernel", (*ones, between, targets))
    return _convolved(step, value, middle, narrow, kernel, targets, 1, "source_target")


def pooling(step: Step) -> Value:
    """MaxPooling and AveragePooling; the average does not count the padding."""
    value, spatial = step.only(), int(step.layer.class_name[-2])
    channels = Channels.of(step, value, spatial)
    windows = Windows.of(step, channels.spatial, "pool_size", 2)
    more: dict[str, object] = {"count_padding": False}
    if step.layer.class_name.startswith("Max"):
        more = {"dilation": windows.dilation}
    made = step.operations.add(
        step.name,
        "max_pool" if "dilation" in more else "average_pool",
        [channels.given],
        (channels.count, *windows.shape),
        kernel=windows.kernel,
        stride=windows.stride,
        padding=windows.padding,
        **more,
    )
    return channels.value(made, channels.count, windows.shape, value)


def _spatial(step: Step, value: Value, count: int) -> list[int]:
    """Places of the spatial axes in the sample."""
    if len(value.shape) != count + 1:
        raise step.misfit(f"takes {count + 1} axes, not the shape {value.shape}")
    return list(range(count) if step.channels_last() else range(1, count + 1))


def global_pooling(step: Step) -> Value:
    """GlobalMaxPooling and GlobalAveragePooling."""
    value = step.only()
    average = "Average" in step.layer.class_name
    if average:
        step.unmasked(value)
    places = _spatial(step, value, int(step.layer.class_name[-2]))
    keep = step.flag("keepdims")
    sizes = [1 if place in places else size for place, size in enumerate(value.shape)]
    shape = tuple(size for place, size in enumerate(sizes) if keep or place not in places)
    first = value.made_first and keep
    made = step.operations.add(
        step.name,
        "reduce",
        [step.operations.as_made(value)],
        (*shape[-1:], *shape[:-1]) if first else shape,
        function="mean" if average else "max",
        axes=tuple(sorted(step.axis_as_made(place, value) for place in places)),
        keep=keep,
    )
    return Value(shape, first=made) if first else Value(shape, made)


def _pairs(step: Step, key: str, count: int) -> Pairs:
    """Amounts before and after along each spatial axis."""
    told = step.config.get(key)
    if count == 1 and isinstance(told, list) and all(isinstance(one, int) for one in told):
        told = [told]
    pairs = []
    for entry in told if isinstance(told, list) else [told] * count:
        match entry:
            case int() if entry >= 0:
                pairs.append((entry, entry))
            case [int(before), int(after)] if before >= 0 and after >= 0:
                pairs.append((before, after))
            case _:
                raise step.refused(f" with the {key} {reason(told)!r}")
    if len(pairs) != count:
        raise step.refused(f" with the {key} {reason(told)!r}")
    return tuple(pairs)


def zero_padding(step: Step) -> Value:
    """ZeroPadding1D, 2D, 3D."""
    value, count = step.only(), int(step.layer.class_name[-2])
    places = _spatial(step, value, count)
    pairs = [(0, 0)] * len(value.shape)
    for place, pair in zip(places, _pairs(step, "padding", count), strict=True):
        pairs[place] = pair
    shape = tuple(size + sum(pair) for size, pair in zip(value.shape, pairs, strict=True))
    return step.along(value, step.name, "pad", shape, padding=_ordered(value, pairs), mode="zeros")


def _ordered(value: Value, entries: Sequence[tuple[int, int]]) -> Pairs:
    """One entry per axis, in the order in which the value was made."""
    return (*entries[-1:], *entries[:-1]) if value.made_first else tuple(entries)


def cropping(step: Step) -> Value:
    """Cropping1D, 2D, 3D."""
    value, count = step.only(), int(step.layer.class_name[-2])
    places = _spatial(step, value, count)
    whole = value
    for place, (before, after) in zip(places, _pairs(step, "cropping", count), strict=True):
        size = value.shape[place]
        if before + after >= size:
            raise step.misfit(f"leaves nothing of the shape {whole.shape}")
        if before or after:
            shape = (*value.shape[:place], size - before - after, *value.shape[place + 1 :])
            value = step.along(
                value,
                step.name,
                "slice",
                shape,
                axis=step.axis_as_made(place, value),
                start=before,
                stop=size - after,
                step=1,
            )
    return value


def upsampling(step: Step) -> Value:
    """UpSampling1D, 2D, 3D by repeating entries."""
    value, count = step.only(), int(step.layer.class_name[-2])
    if step.config.get("interpolation", "nearest") != "nearest":
        raise step.refused(f" with the interpolation {reason(step.config['interpolation'])!r}")
    places = _spatial(step, value, count)
    for place, times in zip(places, step.wholes("size", count, 2), strict=True):
        size = value.shape[place]
        if times > 1:
            shape = (*value.shape[:place], size * times, *value.shape[place + 1 :])
            step.check_length(size * times)
            value = step.along(
                value,
                step.name,
                "take",
                shape,
                axis=step.axis_as_made(place, value),
                indices=tuple(index for index in range(size) for _ in range(times)),
            )
    return value


FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    **{f"{kind}Pooling{n}D": pooling for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{
        f"Global{kind}Pooling{n}D": global_pooling for kind in ("Max", "Average") for n in (1, 2, 3)
    },
    **{f"ZeroPadding{n}D": zero_padding for n in (1, 2, 3)},
    **{f"Cropping{n}D": cropping for n in (1, 2, 3)},
    **{f"UpSampling{n}D": upsampling for n in (1, 2, 3)},
}
