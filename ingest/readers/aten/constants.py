"""Tensors that depend on no input, computed while a program is read: masks, positions, angles.

They are few and small; what the walk keeps of a model is its learned tensors, which are never
computed with here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.readers.aten.calls import Call, Ref

Array: TypeAlias = NDArray[Any]
Entries: TypeAlias = Callable[[Ref], Array]
# Arguments by the names of the operator's schema, and the result's shape under ``shape``.
Given: TypeAlias = Mapping[str, Any]
Fold: TypeAlias = Callable[[Given], Any]

# Entries of one such tensor.
LONGEST = 1 << 24


def as_number(array: Array) -> float | int | None:
    """The number that all entries are; None if they differ.

    Example
    -------
    >>> as_number(np.full((2, 3), 0.5)), as_number(np.arange(3))
    (0.5, None)
    """
    if array.size == 0 or not (array == array.flat[0]).all():
        return None
    number: float | int = array.flat[0].item()
    return number


def folded(call: Call, entries: Entries) -> Array:
    """The result of a call of :data:`FOLDED`.

    Parameters
    ----------
    call
        Of tensors that depend on no input.
    entries
        Gives those of a tensor that it takes.

    Raises
    ------
    UnsupportedOperation
        If the result is too long, or of a type that NumPy does not have.
    ValueError
        If it has another shape than the program says.
    """
    if prod(call.shape) > LONGEST:
        raise call.refused(f" to the shape {call.shape}, which is too long,")
    given = {
        name: _entries(argument, entries)
        for name, argument in call.arguments.items()
        if call.key not in OF_SHAPE or not isinstance(argument, Ref)
    }
    result = np.asarray(FOLDED[call.key]({**given, "shape": call.shape}))
    if result.shape != call.shape:
        raise ValueError(f"the shape {result.shape} is not {call.shape}")
    return _in_type(call, result)


def _entries(argument: object, entries: Entries) -> object:
    if isinstance(argument, Ref):
        return entries(argument)
    if isinstance(argument, list | tuple):
        return [_entries(part, entries) for part in argument]
    return argument


def _in_type(call: Call, result: Array) -> Array:
    """The result as the type that the program says has it."""
    if call.dtype == "bfloat16":
        rounded = result.astype(np.float32)
        halves = rounded.view(np.uint32) & np.uint32(0xFFFF)
        if halves.any() or (rounded != result).any():
            raise call.refused(" on constants of bfloat16")
        return rounded
    if call.dtype not in (
        "bool",
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
    ):
        raise call.refused(f" on constants of {call.dtype or 'an unknown type'}")
    typed = result.astype(call.dtype)
    return typed.astype(np.float32) if call.dtype == "float16" else typed


def _filled(value: float) -> Fold:
    return lambda given: np.full(given["shape"], value)


def _full(given: Given) -> Array:
    return np.full(given["shape"], given["fill_value"])


def _arange(given: Given) -> Array:
    start, step, count = given.get("start", 0), given.get("step", 1), given["shape"][0]
    if not count - 1 < (given["end"] - start) / step <= count:
        raise ValueError(f"a range of {count} does not end at {given['end']}")
    return np.asarray(start + step * np.arange(count))


def _linspace(given: Given) -> Array:
    return np.linspace(given["start"], given["end"], given["shape"][0])


def _wide(array: Any) -> Array:
    """Floats in the precision in which constants are computed, to be rounded once each."""
    found = np.asarray(array)
    return found.astype(np.float64) if found.dtype.kind == "f" else found


def _check(given: Given, *arrays: Any) -> None:
    """Refuses arrays that do not broadcast to the result, before that takes memory."""
    if np.broadcast_shapes(*(np.shape(array) for array in arrays)) != given["shape"]:
        raise ValueError("the shapes do not broadcast")


def _check_size(given: Given, size: int) -> None:
    if size != prod(given["shape"]):
        raise ValueError(f"{size} entries are not those of the shape {given['shape']}")


def _binary(function: Callable[[Any, Any], Any]) -> Fold:
    def fold(given: Given) -> Any:
        one, other = _wide(given["self"]), _wide(given["other"])
        _check(given, one, other)
        alpha = given.get("alpha", 1)
        return function(one, other if alpha == 1 else alpha * other)

    return fold


def _unary(function: Callable[[Any], Any]) -> Fold:
    return lambda given: function(_wide(given["self"]))


def _pow(given: Given) -> Any:
    _check(given, given["self"], given["exponent"])
    return np.power(_wide(given["self"]), np.asarray(given["exponent"], np.float64))


def _masked_fill(given: Given) -> Any:
    _check(given, given["mask"], given["self"])
    return np.where(given["mask"], given["value"], given["self"])


def _where(given: Given) -> Any:
    _check(given, given["condition"], given["self"], given["other"])
    return np.where(given["condition"], given["self"], given["other"])


def _reshape(given: Given) -> Array:
    return np.asarray(given["self"]).reshape(given["shape"])


def _repeat(given: Given) -> Array:
    _check_size(given, prod(given["repeats"]) * np.size(given["self"]))
    return np.tile(given["self"], given["repeats"])


def _outer(given: Given) -> Any:
    _check_size(given, np.size(given["self"]) * np.size(given["vec2"]))
    return np.outer(_wide(given["self"]), _wide(given["vec2"]))


def _join(function: Callable[..., Any]) -> Fold:
    def fold(given: Given) -> Any:
        _check_size(given, sum(np.size(part) for part in given["tensors"]))
        return function(given["tensors"], axis=given["dim"])

    return fold


def _transpose(first: str, second: str) -> Fold:
    return lambda given: np.swapaxes(given["self"], given[first], given[second])


def _slice(given: Given) -> Array:
    array = np.asarray(given["self"])
    index: list[Any] = [slice(None)] * array.ndim
    index[given["dim"]] = slice(given["start"], given["end"], given["step"])
    shown: Array = array[tuple(index)]
    return shown


def _index(given: Given) -> Any:
    array, indices = np.asarray(given["self"]), given["indices"]
    places = np.broadcast_shapes(*(np.shape(each) for each in indices if each is not None))
    rest = [n for n, each in zip_longest(array.shape, indices) if each is None]
    _check_size(given, prod(places) * prod(rest))
    return array[tuple(slice(None) if each is None else each for each in indices)]


def _gather(given: Given) -> Any:
    return np.take_along_axis(np.asarray(given["self"]), given["index"], given["dim"])


def _difference(given: Given) -> Any:
    ends = {key: np._NoValue if given[key] is None else given[key] for key in ("prepend", "append")}
    return np.diff(given["self"], given["n"], given["dim"], **ends)


_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "ne": np.not_equal,
}
_COMPUTED: Mapping[str, Callable[[Any, Any], Any]] = {
    **_COMPARED,
    "add": np.add,
    "div": np.true_divide,
    "mul": np.multiply,
    "sub": np.subtract,
}

# Views: they only show entries of their first argument.
FOLDED_VIEWS: Mapping[str, Fold] = {
    "expand.default": lambda given: np.broadcast_to(given["self"], given["shape"]),
    "flatten.using_ints": _reshape,
    "mT.default": lambda given: np.swapaxes(given["self"], -1, -2),
    "numpy_T.default": lambda given: np.transpose(given["self"]),
    "permute.default": lambda given: np.transpose(given["self"], given["dims"]),
    "reshape.default": _reshape,
    "select.int": lambda given: np.take(given["self"], given["index"], axis=given["dim"]),
    "slice.Tensor": _slice,
    "squeeze.default": _reshape,
    "squeeze.dim": _reshape,
    "squeeze.dims": _reshape,
    "swapaxes.default": _transpose("axis0", "axis1"),
    "swapdims.default": _transpose("dim0", "dim1"),
    "t.default": lambda given: np.transpose(given["self"]),
    "transpose.int": _transpose("dim0", "dim1"),
    "unflatten.int": _reshape,
    "unsqueeze.default": _reshape,
    "view.default": _reshape,
}

# They take of a tensor its shape or its type alone.
OF_SHAPE: Mapping[str, Fold] = {
    "fill.Scalar": lambda given: np.full(given["shape"], given["value"]),
    "full_like.default": _full,
    "new_full.default": _full,
    "new_ones.default": _filled(1),
    "new_zeros.default": _filled(0),
    "ones_like.default": _filled(1),
    "zero.default": _filled(0),
    "zeros_like.default": _filled(0),
}

FOLDED: Mapping[str, Fold] = {
    **FOLDED_VIEWS,
    **OF_SHAPE,
    **{f"{name}.Tensor": _binary(function) for name, function in _COMPUTED.items()},
    **{f"{name}.Scalar": _binary(function) for name, function in _COMPARED.items()},
    **{
        f"{name}.default": _unary(function)
        for name, function in {
            "abs": np.abs, "bitwise_not": np.logical_not, "ceil": np.ceil, "cos": np.cos,
            "exp": np.exp, "floor": np.floor, "log": np.log, "logical_not": np.logical_not,
            "neg": np.negative, "reciprocal": np.reciprocal, "sin": np.sin, "sqrt": np.sqrt,
        }.items()
    },
    "and.Tensor": _binary(np.logical_and),
    "arange.default": _arange,
    "arange.start": _arange,
    "arange.start_step": _arange,
    "bitwise_and.Tensor": _binary(np.logical_and),
    "bitwise_or.Tensor": _binary(np.logical_or),
    "cat.default": _join(np.concatenate),
    "cumsum.default": lambda given: np.cumsum(given["self"], given["dim"]),
    "diff.default": _difference,
    "eye.default": lambda given: np.eye(*given["shape"]),
    "eye.m": lambda given: np.eye(*given["shape"]),
    "full.default": _full,
    "gather.default": _gather,
    "index.Tensor": _index,
    "linspace.default": _linspace,
    "logical_and.default": _binary(np.logical_and),
    "logical_or.default": _binary(np.logical_or),
    "masked_fill.Scalar": _masked_fill,
    "ones.default": _filled(1),
    "or.Tensor": _binary(np.logical_or),
    "outer.default": _outer,
    "pow.Tensor_Scalar": _pow,
    "pow.Scalar": _pow,
    "repeat.default": _repeat,
    "rsub.Scalar": _binary(lambda one, other: other - one),
    "stack.default": _join(np.stack),
    "to.dtype": lambda given: given["self"],
    "to.dtype_layout": lambda given: given["self"],
    "to.device": lambda given: given["self"],
    "tril.default": lambda given: np.tril(given["self"], given["diagonal"]),
    "triu.default": lambda given: np.triu(given["self"], given["diagonal"]),
    "where.ScalarOther": _where,
    "where.ScalarSelf": _where,
    "where.self": _where,
    "zeros.default": _filled(0),
}  # fmt: skip
