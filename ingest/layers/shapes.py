"""Whether an operation can take what it is given, and gives the shape that the model says.

A reader has its shapes from a file, and a file may say anything: what does not fit is refused here
by name, so that the families need not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TypeAlias

import numpy as np

from ingest.layers.activation import ALONG_AN_AXIS, ELEMENTWISE
from ingest.operations import Operation, OperationGraph
from store.errors import ShapeMismatch

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence[Shape]
# Gives the shape of the output. ValueError and IndexError stand for all that does not fit.
Rule: TypeAlias = Callable[[Operation, Shapes], Shape]


def check_all(graph: OperationGraph) -> None:
    """Refuses a graph in which an operation's shapes do not fit.

    Raises
    ------
    ShapeMismatch
        Names the layer.
    """
    shapes: dict[str, Shape] = {}
    for operation in graph.operations:
        for name in operation.inputs:
            if name not in shapes:
                raise ShapeMismatch(
                    f"Layer {operation.name!r} takes what {name!r} gives, but no layer before it "
                    "has that name."
                )
        check(operation, [shapes[name] for name in operation.inputs])
        shapes[operation.name] = operation.shape


def check(operation: Operation, takes: Shapes) -> None:
    """Refuses an operation whose shapes do not fit.

    Parameters
    ----------
    takes
        The shapes of its inputs.

    Raises
    ------
    ShapeMismatch
        Names the layer.

    Example
    -------
    >>> check(Operation("sum", "add", ("a", "b"), (2, 3)), [(2, 3), (4,)])
    Traceback (most recent call last):
    ...
    store.errors.ShapeMismatch: Layer 'sum' (add) cannot take the shapes (2, 3), (4,) with the
    attributes that the model gives it.
    """
    name = f"Layer {operation.name!r} ({operation.kind})"
    if min(operation.shape, default=1) < 1:
        raise ShapeMismatch(
            f"Layer {operation.name!r} has the shape {operation.shape}, which holds no neuron."
        )
    rule = RULES.get(operation.kind)
    if rule is None:
        return
    try:
        found = rule(operation, takes)
    except (IndexError, ValueError) as error:
        given = ", ".join(map(str, takes)) or "nothing"
        raise ShapeMismatch(
            f"{name} cannot take the shapes {given} with the attributes that the model gives it."
        ) from error
    if found != operation.shape:
        raise ShapeMismatch(f"{name} gives the shape {found}, but the model says "
                            f"{operation.shape}.")  # fmt: skip


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _axis(axis: int, shape: Shape) -> int:
    """Counted from 0."""
    _require(-len(shape) <= axis < 0)
    return axis + len(shape)


def _axes(axes: Sequence[int], shape: Shape) -> list[int]:
    found = [_axis(axis, shape) for axis in axes]
    _require(len({*found}) == len(found))
    return found


def _sized(operation: Operation, sizes: Mapping[str, int]) -> None:
    """That tensors have so many values each."""
    for role, size in sizes.items():
        if role in operation.parameters:
            tensor = operation.parameters[role]
            if tensor.size != size:
                raise ShapeMismatch(
                    f"The {role} {tensor.name!r} {tensor.shape} of layer {operation.name!r} does "
                    f"not hold {size} values."
                )


def _parameter(operation: Operation, takes: Shapes) -> Shape:
    _require(not takes)
    _sized(operation, {"value": prod(operation.shape)})
    return operation.shape


def _input(operation: Operation, takes: Shapes) -> Shape:
    _require(not takes)
    return operation.shape


def _same(_: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    return shape


def _along_axis(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    _axis(operation.attributes.get("axis", -1), shape)
    return shape


def _linear(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    weight, bias = operation.parameters["weight"], operation.parameters.get("bias")
    if len(weight.shape) != 2:
        raise ShapeMismatch(
            f"The weight {weight.name!r} of layer {operation.name!r} has the shape "
            f"{weight.shape}, which is not a matrix."
        )
    first = operation.attributes["layout"] == "target_source"
    targets, sources = weight.shape if first else weight.shape[::-1]
    if shape[-1:] != (sources,):
        raise ShapeMismatch(
            f"The weight {weight.name!r} {weight.shape} takes {sources} values, but layer "
            f"{operation.inputs[0]!r} before it has {(1, *shape)[-1]} neurons."
        )
    if bias is not None and bias.size != targets:
        raise ShapeMismatch(
            f"The bias {bias.name!r} has the shape {bias.shape}, but {weight.name!r} "
            f"{weight.shape} has {targets} outputs."
        )
    return (*shape[:-1], targets)


def _embedding(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    _, features = operation.parameters["weight"].shape
    return (*shape, features)


def _conv(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    given, weight = operation.attributes, operation.parameters["weight"]
    groups, layout = int(given.get("groups", 1)), given["layout"]
    places = len(weight.shape) - 2
    _require(len(operation.shape) == places + 1 and places > 0)
    targets = operation.shape[0]
    kernel = weight.shape[2:]
    if operation.kind == "conv" and layout != "target_source":
        kernel = weight.shape[:places]
    fits = len(shape) == places + 1 and groups > 0 and shape[0] % groups == targets % groups == 0
    if fits:
        own, each = shape[0] // groups, targets // groups
        whole = {
            ("conv", "target_source"): (targets, own, *kernel),
            ("conv", "source_target"): (*kernel, own, targets),
            ("conv", "depthwise"): (*kernel, groups, each) if own == 1 else None,
            ("conv_transposed", "source_target"): (shape[0], each, *kernel),
        }.get((operation.kind, layout))
        fits = whole == weight.shape
    if not fits:
        raise ShapeMismatch(
            f"The kernel {weight.name!r} {weight.shape} of layer {operation.name!r} does not fit "
            f"its {shape[0] if shape else 0} channels in {groups} groups, or the shape {shape}."
        )
    _sized(operation, {"bias": targets})
    if operation.kind == "conv":
        return (targets, *_windows(operation, shape[1:], kernel))
    stride, dilation, padding = _geometry(operation, kernel)
    more = given.get("output_padding", (0,) * places)
    return (
        targets,
        *(
            (size - 1) * jump + step * (length - 1) + 1 - sum(pair) + extra
            for size, jump, step, length, pair, extra in zip(
                shape[1:], stride, dilation, kernel, padding, more, strict=True
            )
        ),
    )


def _geometry(operation: Operation, kernel: Shape) -> tuple[Shape, Shape, list[Shape]]:
    given, ones = operation.attributes, (1,) * len(kernel)
    stride, dilation = tuple(given.get("stride", ones)), tuple(given.get("dilation", ones))
    padding = [tuple(pair) for pair in given.get("padding", ((0, 0),) * len(kernel))]
    _require(min((*kernel, *stride, *dilation)) > 0)
    _require(all(len(pair) == 2 for pair in padding))
    return stride, dilation, padding


def _windows(operation: Operation, sizes: Shape, kernel: Shape) -> Shape:
    stride, dilation, padding = _geometry(operation, kernel)
    return tuple(
        (size + sum(pair) - step * (length - 1) - 1) // jump + 1
        for size, pair, step, length, jump in zip(
            sizes, padding, dilation, kernel, stride, strict=True
        )
    )


def _pool(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    kernel = tuple(operation.attributes["kernel"])
    _require(0 < len(kernel) < len(shape))
    lead = len(shape) - len(kernel)
    return (*shape[:lead], *_windows(operation, shape[lead:], kernel))


def _norm(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    given = operation.attributes
    if "axes" in given:
        sizes = tuple(shape[axis] for axis in _axes(given["axes"], shape))
        size = prod(sizes)
        # As many values in another shape would stand at other places.
        for tensor in operation.parameters.values():
            _require(len(tensor.shape) < 2 or tensor.size != size or tensor.shape == sizes)
    else:
        size = shape[_axis(given.get("axis", -len(shape)), shape)]
    if operation.kind == "prelu" and operation.parameters["weight"].size == 1:
        size = 1
    if operation.kind in ("group_norm", "instance_norm"):
        groups = int(given.get("groups", 1))
        _require(len(shape) > 1 and groups > 0 and size % groups == 0)
    _sized(operation, dict.fromkeys(("weight", "bias", "mean", "variance"), size))
    return shape


def _reduce(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    axes = _axes(operation.attributes["axes"], shape)
    keep = bool(operation.attributes["keep"])
    return tuple(
        1 if axis in axes else size
        for axis, size in enumerate(shape)
        if keep or axis not in axes
    )  # fmt: skip


def _broadcast(operation: Operation, takes: Shapes) -> Shape:
    _require(len(takes) == 2 or (len(takes) > 2 and operation.kind in ("add", "product")))
    return np.broadcast_shapes(*takes)


def _matmul(_: Operation, takes: Shapes) -> Shape:
    one, other = takes
    _require(len(one) > 1 and len(other) > 1 and one[-1] == other[-2])
    return (*np.broadcast_shapes(one[:-2], other[:-2]), one[-2], other[-1])


def _attention(operation: Operation, takes: Shapes) -> Shape:
    (heads, steps, width), key, value, *mask = takes
    _require(key[1:] == (value[1], width) and key[0] == value[0] and len(value) == 3)
    if heads % key[0]:
        raise ShapeMismatch(
            f"Layer {operation.name!r} has {heads} heads of queries and {key[0]} of keys and "
            "values."
        )
    if mask:
        scores = (heads, steps, key[1])
        _require(len(mask) == 1 and np.broadcast_shapes(mask[0], scores) == scores)
    return (heads, steps, value[2])


def _recurrent(operation: Operation, takes: Shapes) -> Shape:
    (steps, _), *initial = takes
    _, hidden = operation.shape
    _require(len(initial) <= (2 if operation.kind == "lstm" else 1))
    _require(all(shape == (hidden,) for shape in initial))
    letters = {"rnn": "", "lstm": "fgio", "gru": "nrz"}[operation.kind]
    _require("".join(sorted(operation.attributes.get("gates", ()))) == letters)
    direction = operation.attributes.get("direction_index")
    for tensor in operation.parameters.values():
        _require(direction is None or 0 <= direction < (*tensor.shape, 0)[0])
    return (steps, hidden)


def _reshape(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    _require(prod(shape) == prod(operation.shape))
    return operation.shape


def _expand(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    return np.broadcast_shapes(shape, operation.shape)


def _permute(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    axes = _axes(operation.attributes["axes"], shape)
    _require(len(axes) == len(shape))
    return tuple(shape[axis] for axis in axes)


def _concat(operation: Operation, takes: Shapes) -> Shape:
    axis = _axis(operation.attributes["axis"], takes[0])
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in takes}
    _require(len(rests) == 1 and len({len(shape) for shape in takes}) == 1)
    return (*takes[0][:axis], sum(shape[axis] for shape in takes), *takes[0][axis + 1 :])


def _slice(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    given = operation.attributes
    axis, step = _axis(given["axis"], shape), given.get("step", 1)
    _require(0 <= given["start"] < given["stop"] <= shape[axis] and step > 0)
    count = len(range(given["start"], given["stop"], step))
    return (*shape[:axis], count, *shape[axis + 1 :])


def _take(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    indices = operation.attributes["indices"]
    axis = _axis(operation.attributes["axis"], shape)
    _require(all(0 <= index < shape[axis] for index in indices))
    return (*shape[:axis], len(indices), *shape[axis + 1 :])


def _pad(operation: Operation, takes: Shapes) -> Shape:
    (shape,) = takes
    pairs = operation.attributes["padding"]
    _require(all(len(pair) == 2 and min(pair) >= 0 for pair in pairs))
    return tuple(size + sum(pair) for size, pair in zip(shape, pairs, strict=True))


RULES: Mapping[str, Rule] = {
    "input": _input,
    "parameter": _parameter,
    **dict.fromkeys((*ELEMENTWISE, "identity", "dropout"), _same),
    **dict.fromkeys(ALONG_AN_AXIS, _along_axis),
    "linear": _linear,
    "embedding": _embedding,
    **dict.fromkeys(("conv", "conv_transposed"), _conv),
    **dict.fromkeys(("max_pool", "average_pool"), _pool),
    **dict.fromkeys(
        ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm", "prelu"), _norm
    ),
    "reduce": _reduce,
    **dict.fromkeys(
        ("add", "product", "subtract", "divide", "maximum", "minimum", "power"), _broadcast
    ),
    "matmul": _matmul,
    "attention": _attention,
    **dict.fromkeys(("rnn", "lstm", "gru"), _recurrent),
    "lstm_cell": _same,
    **dict.fromkeys(("reshape", "flatten"), _reshape),
    "expand": _expand,
    "permute": _permute,
    "concat": _concat,
    "slice": _slice,
    "take": _take,
    "pad": _pad,
}
