"""What an operation graph computes, in torch's float64: the oracle of the readers' tests.

Written from the contract of :mod:`ingest.operations` alone, one function per kind, for clarity and
not for speed. Every value carries the batch axis first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ingest.operations import Operation, OperationGraph, Parameter
from tests.functions import FUNCTIONS
from tests.recurrence import states


def interpret(
    graph: OperationGraph, inputs: Mapping[str, NDArray[Any]] | NDArray[Any]
) -> list[NDArray[Any]]:
    """The outputs of a graph.

    Parameters
    ----------
    graph
        As a reader gives it.
    inputs
        For each operation of the kind ``input`` an array with a batch axis of any length, by the
        operation's name; or one array, where there is one such operation.

    Returns
    -------
    list of arrays
        Of ``graph.outputs``, or of the operations that no other one takes.

    Raises
    ------
    AssertionError
        If an operation gives another shape than it says.
    """
    if not isinstance(inputs, Mapping):
        (name,) = (operation.name for operation in graph.operations if operation.kind == "input")
        inputs = {name: inputs}
    given = {name: torch.as_tensor(np.asarray(array)) for name, array in inputs.items()}
    (batch,) = {len(tensor) for tensor in given.values()}
    values: dict[str, Tensor] = {}
    taken: set[str] = set()
    by_name = {operation.name: operation for operation in graph.operations}
    for operation in graph.operations:
        if operation.kind == "input":
            integers = operation.attributes.get("integers", False)
            value = given[operation.name].to(torch.int64 if integers else torch.float64)
        elif operation.kind == "lstm_cell":
            # The hidden states do not tell the cell's: the lstm is computed once more.
            lstm = by_name[operation.inputs[0]]
            taken.update(operation.inputs)
            _, value = states(lstm, [values[name] for name in lstm.inputs], tensors_of(lstm))
        else:
            taken.update(operation.inputs)
            value = evaluate(operation, [values[name] for name in operation.inputs])
        assert value.shape[1:] == operation.shape, (operation, tuple(value.shape))
        values[operation.name] = value.expand(batch, *operation.shape)
    outputs = graph.outputs or [o.name for o in graph.operations if o.name not in taken]
    return [values[name].numpy() for name in outputs]


def evaluate(operation: Operation, inputs: Sequence[Tensor]) -> Tensor:
    """The value of an operation, with a batch axis, from those that it takes."""
    if operation.kind in FUNCTIONS:
        return FUNCTIONS[operation.kind](*inputs, **operation.attributes)
    return KINDS[operation.kind](operation, inputs, tensors_of(operation))


def tensors_of(operation: Operation) -> dict[str, Tensor]:
    """The parameters of an operation by their roles."""
    return {role: tensor_of(parameter) for role, parameter in operation.parameters.items()}


def tensor_of(parameter: Parameter) -> Tensor:
    """A parameter in float64; integers stay what they are."""
    array = torch.as_tensor(np.array(parameter.array()))
    whole = not array.is_floating_point() and array.dtype != torch.bool
    return array.to(torch.int64 if whole else torch.float64)


def aligned(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of one rank: axes of length 1 are put after the batch axis, as in NumPy's rule."""
    rank = max(tensor.ndim for tensor in tensors)
    return [
        tensor.reshape(tensor.shape[0], *(1,) * (rank - tensor.ndim), *tensor.shape[1:])
        for tensor in tensors
    ]


Tensors = Mapping[str, Tensor]
Kind = Callable[[Operation, Sequence[Tensor], Tensors], Tensor]


def parameter(operation: Operation, _: Sequence[Tensor], tensors: Tensors) -> Tensor:
    return tensors["value"].reshape(1, *operation.shape)


def linear(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    weight = tensors["weight"]
    if operation.attributes["layout"] == "source_target":
        weight = weight.T
    return functional.linear(inputs[0], weight, tensors.get("bias"))


def flat_padding(padding: Sequence[Sequence[int]]) -> list[int]:
    """Pairs per axis as torch's ``pad`` wants them: flat, from the last axis to the first."""
    return [amount for pair in reversed(padding) for amount in pair]


def conv(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    given, weight, groups = operation.attributes, tensors["weight"], operation.attributes["groups"]
    spatial = weight.ndim - 2
    if given["layout"] == "source_target":
        weight = weight.movedim((-1, -2), (0, 1))
    elif given["layout"] == "depthwise":
        sources = weight.shape[-2]
        weight = weight.movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1)
        groups = sources
    function: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[spatial - 1]
    padded = functional.pad(inputs[0], flat_padding(given["padding"]))
    return function(  # type: ignore[no-any-return]
        padded, weight, tensors.get("bias"), given["stride"], 0, given["dilation"], groups
    )


def conv_transposed(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    given, weight = operation.attributes, tensors["weight"]
    assert given["layout"] == "source_target"
    function: Any = (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    )[weight.ndim - 3]
    whole = function(
        inputs[0],
        weight,
        stride=given["stride"],
        groups=given["groups"],
        dilation=given["dilation"],
    )
    cut = [
        (-before, more - after)
        for (before, after), more in zip(given["padding"], given["output_padding"], strict=True)
    ]
    result = functional.pad(whole, flat_padding(cut))
    if "bias" in tensors:
        result = result + tensors["bias"].reshape(-1, *(1,) * (weight.ndim - 2))
    return result


def embedding(_: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    assert not inputs[0].is_floating_point()
    return functional.embedding(inputs[0], tensors["weight"])


def along(tensor: Tensor, axes: Sequence[int], rank: int) -> Tensor:
    """A tensor whose axes are those axes of a value of that rank, to be broadcast over it."""
    order = sorted(range(len(axes)), key=lambda number: axes[number])
    shape = [1] * rank
    for number in order:
        shape[axes[number]] = tensor.shape[number]
    return tensor.permute(order).reshape(shape)


def scaled(value: Tensor, axes: Sequence[int], tensors: Tensors) -> Tensor:
    """A normalized value times the weight and plus the bias, where there are any."""
    if "weight" in tensors:
        value = value * along(tensors["weight"], axes, value.ndim)
    if "bias" in tensors:
        value = value + along(tensors["bias"], axes, value.ndim)
    return value


def batch_norm(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    axes, rank = (operation.attributes["axis"],), inputs[0].ndim
    centred = inputs[0] - along(tensors["mean"], axes, rank)
    variance = along(tensors["variance"], axes, rank) + operation.attributes["epsilon"]
    return scaled(centred / variance.sqrt(), axes, tensors)


def standardized(value: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    centred = value - value.mean(tuple(axes), keepdim=True)
    variance = (centred**2).mean(tuple(axes), keepdim=True)
    return centred / (variance + epsilon).sqrt()


def layer_norm(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    axes = operation.attributes["axes"]
    value = standardized(inputs[0], axes, operation.attributes["epsilon"])
    return scaled(value, axes, tensors)


def rms_norm(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    axes = operation.attributes["axes"]
    square = (inputs[0] ** 2).mean(tuple(axes), keepdim=True)
    return scaled(inputs[0] / (square + operation.attributes["epsilon"]).sqrt(), axes, tensors)


def group_norm(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    value = inputs[0]
    parts = value.reshape(len(value), operation.attributes["groups"], -1)
    whole = standardized(parts, (-1,), operation.attributes["epsilon"]).reshape(value.shape)
    return scaled(whole, (1 - value.ndim,), tensors)


def instance_norm(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    spatial = range(2 - inputs[0].ndim, 0)
    value = standardized(inputs[0], spatial, operation.attributes["epsilon"])
    return scaled(value, (1 - value.ndim,), tensors)


def prelu(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    slopes = along(tensors["weight"].reshape(-1), (operation.attributes["axis"],), inputs[0].ndim)
    return torch.where(inputs[0] > 0, inputs[0], slopes * inputs[0])


def windows(
    value: Tensor, given: Mapping[str, Any], fill: float, dilation: Sequence[int] | None = None
) -> Tensor:
    """The values under each place of a kernel, in one axis at the end."""
    value = functional.pad(value, flat_padding(given["padding"]), value=fill)
    spatial = len(given["kernel"])
    first = value.ndim - spatial
    steps = dilation or (1,) * spatial
    # Each axis of places gives an axis of the kernel at the end.
    for number, (kernel, stride, step) in enumerate(
        zip(given["kernel"], given["stride"], steps, strict=True)
    ):
        span = step * (kernel - 1) + 1
        value = value.unfold(first + number, span, stride)[..., ::step]
    return value.flatten(-spatial)


def max_pool(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    given = operation.attributes
    return windows(inputs[0], given, -math.inf, given["dilation"]).amax(-1)


def average_pool(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    given = operation.attributes
    counts = windows(torch.ones_like(inputs[0]), given, float(given["count_padding"])).sum(-1)
    return windows(inputs[0], given, 0.0).sum(-1) / counts


def reduce(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    value, keep = inputs[0], operation.attributes["keep"]
    axes = tuple(operation.attributes["axes"])
    match operation.attributes["function"]:
        case "mean":
            return value.mean(axes, keepdim=keep)
        case "sum":
            return value.sum(axes, keepdim=keep)
        case "max":
            return value.amax(axes, keepdim=keep)
        case "min":
            return value.amin(axes, keepdim=keep)
        case "l1":
            return value.abs().sum(axes, keepdim=keep)
        case "l2":
            return (value**2).sum(axes, keepdim=keep).sqrt()
        case "product":
            product = value
            for axis in axes:
                product = product.prod(axis, keepdim=True)
            return product if keep else product.squeeze(axes)
    raise AssertionError(f"{operation} has no such function")


def joined(function: Callable[[Tensor, Tensor], Tensor]) -> Kind:
    """A kind that takes two or more inputs, elementwise."""

    def apply(_: Operation, inputs: Sequence[Tensor], __: Tensors) -> Tensor:
        first, *others = aligned(inputs)
        for other in others:
            first = function(first, other)
        return first

    return apply


def attention(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    query, key, value = inputs[:3]
    shared = query.shape[-3] // key.shape[-3] if query.ndim > 3 else 1
    if shared > 1:
        key, value = (tensor.repeat_interleave(shared, -3) for tensor in (key, value))
    scores = query @ key.transpose(-1, -2) * operation.attributes["scale"]
    if len(inputs) > 3:
        scores = torch.add(*aligned([scores, inputs[3].to(torch.float64)]))
    if operation.attributes["causal"]:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    return torch.matmul(scores.softmax(-1), value)


def recurrent(operation: Operation, inputs: Sequence[Tensor], tensors: Tensors) -> Tensor:
    hiddens, _ = states(operation, inputs, tensors)
    return hiddens


def reshape(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    return inputs[0].reshape(len(inputs[0]), *operation.shape)


def expand(operation: Operation, inputs: Sequence[Tensor], __: Tensors) -> Tensor:
    value, _ = aligned([inputs[0], torch.empty(1, *operation.shape)])
    return value.expand(len(value), *operation.shape)


def permute(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    axes = operation.attributes["axes"]
    assert all(axis < 0 for axis in axes)
    return inputs[0].permute(0, *axes)


def concat(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    batch = max(len(tensor) for tensor in inputs)
    whole = [tensor.expand(batch, *tensor.shape[1:]) for tensor in inputs]
    assert operation.attributes["axis"] < 0
    return torch.cat(whole, operation.attributes["axis"])


def cut(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    given, value = operation.attributes, inputs[0]
    axis, start, stop, step = given["axis"], given["start"], given["stop"], given["step"]
    assert axis < 0 <= start < stop <= value.shape[axis]
    assert step > 0
    return value.index_select(axis, torch.arange(start, stop, step))


def take(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    indices = torch.as_tensor(np.array(operation.attributes["indices"], np.int64))
    assert operation.attributes["axis"] < 0
    return inputs[0].index_select(operation.attributes["axis"], indices)


NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(operation: Operation, inputs: Sequence[Tensor], _: Tensors) -> Tensor:
    mode: Any = NUMPY_MODES[operation.attributes["mode"]]
    return torch.as_tensor(
        np.pad(inputs[0].numpy(), [(0, 0), *operation.attributes["padding"]], mode)
    )


def same(_: Operation, inputs: Sequence[Tensor], __: Tensors) -> Tensor:
    return inputs[0]


KINDS: Mapping[str, Kind] = {
    "parameter": parameter,
    "linear": linear,
    "conv": conv,
    "conv_transposed": conv_transposed,
    "embedding": embedding,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "prelu": prelu,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "reduce": reduce,
    "add": joined(torch.add),
    "product": joined(torch.mul),
    "subtract": joined(torch.sub),
    "divide": joined(torch.div),
    "maximum": joined(torch.maximum),
    "minimum": joined(torch.minimum),
    "power": joined(torch.pow),
    "matmul": joined(torch.matmul),
    "attention": attention,
    "rnn": recurrent,
    "lstm": recurrent,
    "gru": recurrent,
    "identity": same,
    "dropout": same,
    "reshape": reshape,
    "flatten": reshape,
    "expand": expand,
    "permute": permute,
    "concat": concat,
    "slice": cut,
    "take": take,
    "pad": pad,
}
