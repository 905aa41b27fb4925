"""ONNX's convolutions and pools: windows that slide along the last axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from ingest.operations import Parameter
from ingest.readers.onnx.nodes import Held, Node, Value
from ingest.readers.onnx.walk import Handler, Walk

LONGEST_KERNEL = 100_000

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """How a kernel slides: a number, or a pair before and after, per spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs

    @property
    def spans(self) -> tuple[int, ...]:
        """Length that the kernel covers."""
        return tuple(
            step * (length - 1) + 1 for length, step in zip(self.kernel, self.dilation, strict=True)
        )


def _numbers(node: Node, key: str, count: int, default: int, least: int) -> tuple[int, ...]:
    found = node.wholes(key)
    if found is None:
        return (default,) * count
    if len(found) != count or any(number < least for number in found):
        raise node.refused(f" with {key}={found[:8]}")
    return found


def _windows(node: Node, lengths: Sequence[int], kernel: tuple[int, ...]) -> Windows:
    """The windows over axes of these lengths; padding that the file leaves open is resolved."""
    count = len(lengths)
    if len(kernel) != count or any(not 0 < length <= LONGEST_KERNEL for length in kernel):
        raise node.refused(f" with the kernel {kernel[:8]}")
    stride = _numbers(node, "strides", count, 1, 1)
    dilation = _numbers(node, "dilations", count, 1, 1)
    pads = _numbers(node, "pads", 2 * count, 0, 0)
    padding: Pairs = tuple(zip(pads[:count], pads[count:], strict=True))
    found = Windows(kernel, stride, dilation, padding)
    match node.text("auto_pad", "NOTSET"):
        case "NOTSET":
            return found
        case "VALID":
            return Windows(kernel, stride, dilation, ((0, 0),) * count)
        case "SAME_UPPER" | "SAME_LOWER" as side:
            same = tuple(
                _same(node, length, span, step, upper=side == "SAME_UPPER")
                for length, span, step in zip(lengths, found.spans, stride, strict=True)
            )
            return Windows(kernel, stride, dilation, same)
        case other:
            raise node.refused(f" with auto_pad={other[:20]}")


def _same(node: Node, length: int, span: int, stride: int, *, upper: bool) -> tuple[int, int]:
    """Padding with which there are as many windows as strides in the length."""
    count = -(-length // stride)
    total = (count - 1) * stride + span - length
    if total < 0:
        # Some runtimes cut then, others do not.
        raise node.refused(f" of {length} values with auto_pad and the stride {stride}")
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def _checked(node: Node, shape: Sequence[int], lengths: Sequence[int]) -> None:
    """Refuses windows that do not give the shape that ONNX infers."""
    if tuple(shape[2:]) != tuple(lengths):
        raise node.refused(f" that gives the shape {tuple(shape)}")


def _counts(lengths: Sequence[int], windows: Windows) -> tuple[int, ...]:
    return tuple(
        (length + sum(pair) - span) // step + 1
        for length, pair, span, step in zip(
            lengths, windows.padding, windows.spans, windows.stride, strict=True
        )
    )


def _images(node: Node, walk: Walk) -> Held:
    """What is slid over: channels before spatial axes."""
    held = node.held(0)
    if len(held.shape) < 3:
        raise node.refused(f" of the shape {held.shape}")
    return walk.sample(node, held, 0)


def _weights(node: Node, walk: Walk) -> tuple[tuple[int, ...], dict[str, Parameter]]:
    """The weight's shape, which the node may tell too, and the tensors by role."""
    weight = node.constant(1, "weight")
    parameters = {"weight": walk.parameter(weight)}
    if node.has(2):
        parameters["bias"] = walk.parameter(node.constant(2, "bias"))
    kernel = node.wholes("kernel_shape") or weight.shape[2:]
    if kernel != weight.shape[2:]:
        raise node.refused(f" with the kernel {kernel[:8]} and a weight of {weight.shape}")
    return weight.shape, parameters


def conv(node: Node, walk: Walk) -> Sequence[Value]:
    held = _images(node, walk)
    weight, parameters = _weights(node, walk)
    windows = _windows(node, held.shape[2:], weight[2:])
    groups = node.whole("group", 1)
    _fits(node, groups, (weight[1] * groups, weight[0]), held.shape[1])
    _checked(node, node.shape, _counts(held.shape[2:], windows))
    return [
        walk.emit(
            node.name,
            "conv",
            [held],
            node.shape,
            0,
            parameters=parameters,
            attributes={
                "stride": windows.stride,
                "dilation": windows.dilation,
                "padding": windows.padding,
                "groups": groups,
                "layout": "target_source",
            },
        )
    ]


def _fits(node: Node, groups: int, channels: tuple[int, int], given: int) -> None:
    sources, targets = channels
    if groups < 1 or sources != given or sources % groups or targets % groups:
        raise node.refused(f" of {given} channels in {groups} groups, with another weight")


def conv_transposed(node: Node, walk: Walk) -> Sequence[Value]:
    held = _images(node, walk)
    weight, parameters = _weights(node, walk)
    lengths, count = held.shape[2:], len(held.shape) - 2
    more = _numbers(node, "output_padding", count, 0, 0)
    wanted = node.wholes("output_shape")
    side = node.text("auto_pad", "NOTSET")
    windows = _windows(node, lengths, weight[2:])
    whole = [
        step * (length - 1) + extra + span
        for length, step, extra, span in zip(
            lengths, windows.stride, more, windows.spans, strict=True
        )
    ]
    if wanted is None and side in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(length * step for length, step in zip(lengths, windows.stride, strict=True))
    padding = windows.padding if side == "NOTSET" else ((0, 0),) * count
    if wanted is not None:
        padding = _cut(node, whole, wanted[-count:], upper=side == "SAME_UPPER")
    given = tuple(full - sum(pair) for full, pair in zip(whole, padding, strict=True))
    groups = node.whole("group", 1)
    _fits(node, groups, (weight[0], weight[1] * groups), held.shape[1])
    _checked(node, node.shape, given)
    return [
        walk.emit(
            node.name,
            "conv_transposed",
            [held],
            node.shape,
            0,
            parameters=parameters,
            attributes={
                "stride": windows.stride,
                "dilation": windows.dilation,
                "padding": padding,
                "output_padding": more,
                "groups": groups,
                "layout": "source_target",
            },
        )
    ]


def _cut(node: Node, whole: Sequence[int], wanted: Sequence[int], *, upper: bool) -> Pairs:
    """Padding that leaves the wanted lengths of the whole ones."""
    pairs = []
    for full, length in zip(whole, wanted, strict=True):
        if not 0 < length <= full:
            raise node.refused(f" with the output shape {tuple(wanted)}")
        small, large = (full - length) // 2, (full - length) - (full - length) // 2
        pairs.append((small, large) if upper else (large, small))
    return tuple(pairs)


def pool(node: Node, walk: Walk) -> Sequence[Value]:
    """MaxPool and AveragePool; windows that hang over the end get padding there."""
    held, largest = _images(node, walk), node.operator == "MaxPool"
    node.ignore("storage_order")
    lengths = held.shape[2:]
    ceil = bool(node.whole("ceil_mode", 0))
    counted = bool(node.whole("count_include_pad", 0))
    windows = _windows(node, lengths, node.wholes("kernel_shape") or ())
    if not largest and set(windows.dilation) != {1}:
        raise node.refused(f" with dilations={windows.dilation}")
    padding = []
    hanging = False
    for length, count, (before, after), span, step in zip(
        lengths, node.shape[2:], windows.padding, windows.spans, windows.stride, strict=True
    ):
        over = (count - 1) * step + span - (length + before + after)
        hanging |= ceil and over > 0
        padding.append((before, after + max(0, over) if ceil else after))
        if max(padding[-1]) >= span:
            raise node.refused(" with windows of padding alone")
    if hanging and counted and not largest:
        raise node.refused(" with windows that hang over counted padding")
    windows = Windows(windows.kernel, windows.stride, windows.dilation, tuple(padding))
    _checked(node, node.shape, _counts(lengths, windows))
    attributes = {
        "kernel": windows.kernel,
        "stride": windows.stride,
        "padding": windows.padding,
        **({"dilation": windows.dilation} if largest else {"count_padding": counted}),
    }
    kind = "max_pool" if largest else "average_pool"
    return [walk.emit(node.name, kind, [held], node.shape, 0, attributes=attributes)]


def global_pool(node: Node, walk: Walk) -> Sequence[Value]:
    held = _images(node, walk)
    function = "max" if node.operator == "GlobalMaxPool" else "mean"
    axes = tuple(range(2 - len(held.shape), 0))
    attributes = {"function": function, "axes": axes, "keep": True}
    shape = (*held.shape[:2], *repeat(1, len(axes)))
    return [walk.emit(node.name, "reduce", [held], shape, 0, attributes=attributes)]


TABLE: Mapping[str, Handler] = {
    "AveragePool": pool,
    "Conv": conv,
    "ConvTranspose": conv_transposed,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "MaxPool": pool,
}
