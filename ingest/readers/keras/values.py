"""Values of a Keras model while it is turned into operations.

Keras puts the channels last, operations put them first. So a value may stand in two orders: in
Keras' own, and with the channels first. Each is made where it is asked for, once, and a layer that
works in either takes the one that is there: a chain of convolutions is permuted before the first
and after the last of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from ingest.operations import Operation, Parameter
from ingest.readers.keras.calls import Call
from ingest.readers.keras.config import Layer
from ingest.readers.keras.weights import Roles
from ingest.readers.wording import Names, reason
from store.errors import ShapeMismatch, UnsupportedOperation

Shape: TypeAlias = tuple[int, ...]

LONGEST_AXIS = 1 << 22


@dataclass
class Value:
    """What a layer gives.

    Parameters
    ----------
    shape
        In Keras' order, without the batch axis.
    last
        The operation that gives it in Keras' order, None where there is none yet.
    first
        The operation that gives it with the last axis first.
    integers
        Names of the inputs that it holds the unchanged entries of.
    masked
        Whether Keras passes a mask of padded steps on with it.
    """

    shape: Shape
    last: str | None = None
    first: str | None = None
    integers: frozenset[str] = frozenset()
    masked: bool = False
    made_first: bool = field(init=False)

    def __post_init__(self) -> None:
        self.made_first = self.last is None

    @property
    def shape_first(self) -> Shape:
        """With the last axis first."""
        return (*self.shape[-1:], *self.shape[:-1])


class Operations:
    """The operations so far."""

    def __init__(self, path: Path, *, keras_2: bool) -> None:
        self.path = path
        self.keras_2 = keras_2
        self.done: list[Operation] = []
        self.of_integers: set[str] = set()
        self._names = Names()

    def add(
        self,
        name: str,
        kind: str,
        inputs: Sequence[str] = (),
        shape: Shape = (),
        parameters: Mapping[str, Parameter] | None = None,
        /,
        **attributes: Any,
    ) -> str:
        """Adds an operation; gives the name that it got."""
        taken = name if kind == "input" and name == Names.INPUT else self._names.take(name)
        self.done.append(Operation(taken, kind, tuple(inputs), shape, parameters or {}, attributes))
        return taken

    def in_order(self, value: Value, wanted_by: str) -> str:
        """The operation that gives a value in Keras' order."""
        if value.last is None:
            axes = (*range(1 - len(value.shape), 0), -len(value.shape))
            value.last = self.add(
                f"{wanted_by}.channels_last", "permute", [str(value.first)], value.shape, axes=axes
            )
        return value.last

    def channels_first(self, value: Value, wanted_by: str) -> str:
        """The operation that gives a value with the last axis first."""
        if value.first is None:
            if len(value.shape) < 2:
                return self.in_order(value, wanted_by)
            axes = (-1, *range(-len(value.shape), -1))
            value.first = self.add(
                f"{wanted_by}.channels_first",
                "permute",
                [str(value.last)],
                value.shape_first,
                axes=axes,
            )
        return value.first

    def as_made(self, value: Value) -> str:
        """The operation that gives a value in the order in which it was computed."""
        return str(value.first if value.made_first else value.last)


@dataclass(frozen=True)
class Step:
    """One call of a layer, with all that it needs.

    Parameters
    ----------
    name
        The layer's, after those of the models around it.
    layer, call
        What is called, and its arguments.
    inputs, named
        The values that it takes, by position and by name.
    weights
        The layer's tensors by role.
    told
        Shape of the first value that it gives where the file tells it, without the batch axis.
    operations
        Where its operations go.
    """

    name: str
    layer: Layer
    call: Call
    inputs: tuple[Value, ...]
    named: Mapping[str, tuple[Value, ...]]
    weights: Roles
    told: tuple[int | None, ...] | None
    operations: Operations

    @property
    def config(self) -> Mapping[str, Any]:
        """The layer's arguments."""
        return self.layer.config

    def refused(self, why: str = "") -> UnsupportedOperation:
        """The error that names this layer."""
        return UnsupportedOperation(
            f"The model holds {reason(self.layer.class_name)} (layer {self.name[:200]!r}){why}, "
            "which Weightome cannot ingest."
        )

    def misfit(self, why: str) -> ShapeMismatch:
        """The error for a shape that does not fit this layer."""
        return ShapeMismatch(f"Layer {self.name[:200]!r} {why}.")

    def check_length(self, length: int) -> None:
        """Refuses an axis whose entries would take this machine's memory when they are listed."""
        if length > LONGEST_AXIS:
            raise self.misfit(f"gives an axis of {length} entries; at most {LONGEST_AXIS} are read")

    def only(self) -> Value:
        """The one value that it takes."""
        if len(self.inputs) != 1 or self.named:
            count = len(self.inputs) + sum(map(len, self.named.values()))
            raise self.refused(f" of {count} inputs")
        return self.inputs[0]

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number of the config."""
        value = self.config.get(key, default)
        if type(value) is not int or value < least:
            raise self.refused(f" with the {key} {reason(value)!r}")
        return value

    def number(self, key: str, default: float) -> float:
        """A number of the config."""
        value = self.config.get(key, default)
        if type(value) not in (int, float):
            raise self.refused(f" with the {key} {reason(value)!r}")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A truth value of the config."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.refused(f" with the {key} {reason(value)!r}")
        return value

    def wholes(self, key: str, count: int, default: object = None, least: int = 1) -> Shape:
        """So many whole numbers of the config, or one for all."""
        value = self.config.get(key)
        value = default if value is None else value
        sizes = [value] * count if type(value) is int else value
        if (
            not isinstance(sizes, list | tuple)
            or len(sizes) != count
            or any(type(size) is not int or size < least for size in sizes)
        ):
            raise self.refused(f" with the {key} {reason(value)!r}")
        return tuple(sizes)

    def axis(self, axis: object, value: Value) -> int:
        """An axis as Keras counts it, the batch's included -> its place in the sample."""
        rank = len(value.shape)
        if type(axis) is not int or not (1 <= axis <= rank or -rank <= axis <= -1):
            raise self.refused(f" over the axis {reason(axis)!r}")
        return axis - 1 if axis > 0 else axis + rank

    def channels_last(self) -> bool:
        """Whether the layer itself has the channels last."""
        told = self.config.get("data_format", "channels_last")
        if told not in (None, "channels_last", "channels_first"):
            raise self.refused(f" with the data_format {reason(told)!r}")
        return bool(told != "channels_first")

    def unmasked(self, value: Value) -> Value:
        """The value, of which no step may be masked."""
        if value.masked:
            raise self.refused(" of a masked sequence")
        return value

    def elementwise(self, kind: str, value: Value, name: str = "", /, **attributes: Any) -> Value:
        """A function of each entry, in whichever order the value is."""
        operations = self.operations
        shape = value.shape_first if value.made_first else value.shape
        made = operations.add(
            name or self.name, kind, [operations.as_made(value)], shape, **attributes
        )
        integers = value.integers if kind in ("identity", "dropout") else frozenset()
        return self.like(value, made, integers=integers)

    def like(self, value: Value, made: str, *, integers: frozenset[str] = frozenset()) -> Value:
        """What an operation makes of a value, in the value's shape and order."""
        last, first = (None, made) if value.made_first else (made, None)
        return Value(value.shape, last, first, integers, value.masked)

    def along(
        self, value: Value, name: str, kind: str, shape: Shape, /, **attributes: Any
    ) -> Value:
        """An operation that changes lengths of axes, in the order in which the value was made."""
        made = self.operations.add(
            name,
            kind,
            [self.operations.as_made(value)],
            (*shape[-1:], *shape[:-1]) if value.made_first else shape,
            **attributes,
        )
        last, first = (None, made) if value.made_first else (made, None)
        return Value(shape, last, first, masked=value.masked)

    def axis_as_made(self, place: int, value: Value) -> int:
        """A place of the sample as a negative axis, in the order in which the value was made."""
        rank = len(value.shape)
        if not value.made_first:
            return place - rank
        return -rank if place == rank - 1 else place + 1 - rank

    def fitting(self, role: str, shape: Shape) -> Parameter:
        """A tensor of the layer, which must have a shape."""
        tensor = self.weights[role]
        if tensor.shape != shape:
            raise ShapeMismatch(
                f"The tensor {tensor.name!r} of layer {self.name[:200]!r} has the shape "
                f"{tensor.shape}, not {shape}."
            )
        return tensor

    def roles(self, shapes: Mapping[str, tuple[str, Shape]]) -> dict[str, Parameter]:
        """The layer's tensors by the roles that operations have, of those that it has."""
        return {
            ours: self.fitting(theirs, shape)
            for ours, (theirs, shape) in shapes.items()
            if theirs in self.weights
        }


def reshaped(parameter: Parameter, shape: Shape) -> Parameter:
    """The same entries in the same order under another shape of as many; nothing is copied.

    Example
    -------
    >>> import numpy as np
    >>> matrix = reshaped(Parameter.of("kernel", np.arange(12.0).reshape(2, 3, 2)), (4, 3))
    >>> matrix.read(1, 2)
    array([[3., 4., 5.]])
    """
    whole, row, row_below = parameter.read, prod(shape[1:]), prod(parameter.shape[1:])

    def read(start: int, stop: int) -> NDArray[Any]:
        first, last = start * row // row_below, -(-stop * row // row_below)
        begin = start * row - first * row_below
        flat = whole(first, last).reshape(-1)[begin : begin + (stop - start) * row]
        return flat.reshape(stop - start, *shape[1:])

    return Parameter(parameter.name, shape, parameter.dtype, read, parameter.aliases)
