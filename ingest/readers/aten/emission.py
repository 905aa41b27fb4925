"""Operations made of calls: their names and shapes, and how their axes lie in the program's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.operations import Operation, Parameter
from ingest.readers.aten.calls import Call
from ingest.readers.aten.layout import (
    Axes,
    Factor,
    Role,
    common,
    fitted,
    has,
    is_plain,
    negative,
    own,
    permuted,
    reshaped,
    shape_of,
)
from ingest.readers.wording import Names
from store.errors import UnsupportedOperation


@dataclass(frozen=True)
class Value:
    """A tensor that an operation gives, and how its axes lie in the program's."""

    operation: str
    axes: Axes


class Emission:
    """The operations so far."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._names = Names()

    def name(self, call: Call) -> str:
        """How the operation of a call is named if no other is."""
        if call.leaf and call.module:
            return call.module
        return f"{call.module}.{call.name}".lstrip(".")

    def named_after(self, call: Call, weight: Parameter, kind: str) -> str:
        """How an operation with a weight is named: as the module that the weight belongs to."""
        if call.leaf and call.module:
            return call.module
        keys = (weight.name, *weight.aliases)
        inside = [key for key in keys if key.rpartition(".")[0] == call.module]
        key = (*inside, *keys)[0]
        stem = key.removesuffix("weight").rstrip("._")
        return (stem if key.endswith("weight") else key) or kind

    def emit(
        self,
        call: Call,
        kind: str,
        inputs: Sequence[str],
        shape: Sequence[int],
        parameters: Mapping[str, Parameter] | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        part: str = "",
    ) -> str:
        """Adds an operation; gives its name.

        Parameters
        ----------
        name
            Instead of the call's own.
        part
            Of the call, where it becomes several operations.
        """
        wanted = name or self.name(call)
        taken = self._names.take(f"{wanted}.{part}".strip(".") if part else wanted)
        self.operations.append(
            Operation(taken, kind, tuple(inputs), tuple(shape), parameters or {}, attributes or {})
        )
        return taken

    def unary(
        self,
        call: Call,
        kind: str,
        value: Value,
        attributes: Mapping[str, Any] | None = None,
        *,
        part: str = "",
    ) -> Value:
        """A function of each entry, or along a plain axis."""
        shape = own(value.axes)
        made = self.emit(call, kind, (value.operation,), shape, None, attributes, part=part)
        return Value(made, value.axes)

    def joined(self, call: Call, kind: str, values: Sequence[Value], *, part: str = "") -> Value:
        """A function of the entries in the same place of several tensors, which broadcast."""
        names, axes = self.together(call, values)
        return Value(self.emit(call, kind, names, own(axes), part=part), axes)

    def together(self, call: Call, values: Sequence[Value]) -> tuple[list[str], Axes]:
        """Operations that broadcast as the tensors do, and the axes of the whole."""
        axes = common([value.axes for value in values])
        if axes is None:
            raise self.mixes(call)
        return [self._fitted(call, value, axes) for value in values], axes

    def _fitted(self, call: Call, value: Value, axes: Axes) -> str:
        shape = fitted(value.axes, axes)
        if shape is None:
            value = self._whole(call, value)
            shape = fitted(value.axes, axes)
        if shape is None:
            raise self.mixes(call)
        return self.in_shape(call, value, shape)

    def _whole(self, call: Call, value: Value) -> Value:
        """A tensor whose repetitions within merged axes are entries of the operation."""
        for number, axis in enumerate(value.axes):
            if len(axis) > 1:
                value = self.solid(call, value, number)
        return value

    def in_shape(self, call: Call, value: Value, shape: tuple[int, ...]) -> str:
        """An operation that gives the same entries in a shape."""
        if shape == own(value.axes):
            return value.operation
        return self.emit(call, "reshape", (value.operation,), shape, part="reshape")

    def lay(self, call: Call, value: Value, axes: Axes, *, kind: str = "", part: str = "") -> Value:
        """The same entries in the same order, in other axes.

        A change that one sample does not see makes no operation, unless a kind is given.
        """
        if own(axes) == own(value.axes) and not kind:
            return Value(value.operation, axes)
        made = self.emit(call, kind or "reshape", (value.operation,), own(axes), part=part)
        return Value(made, axes)

    def reshape(
        self, call: Call, value: Value, shape: Sequence[int], *, kind: str = "", part: str = ""
    ) -> Value:
        """A tensor in another shape."""
        axes = reshaped(value.axes, shape)
        if axes is None:
            raise self.mixes(call)
        return self.lay(call, value, axes, kind=kind, part=part)

    def permute(self, call: Call, value: Value, order: Sequence[int], *, part: str = "") -> Value:
        """A tensor with its axes in another order."""
        axes, places = permuted(value.axes, order)
        if places == tuple(range(-len(places), 0)):
            return Value(value.operation, axes)
        made = self.emit(
            call,
            "permute",
            (value.operation,),
            own(axes),
            None,
            {"axes": places},
            part=part,
        )
        return Value(made, axes)

    def cut(
        self,
        call: Call,
        value: Value,
        dim: int,
        start: int,
        stop: int,
        step: int = 1,
        *,
        part: str = "",
    ) -> Value:
        """Entries start..stop of a plain axis."""
        value, axis = self.along(call, value, dim)
        number = dim % len(value.axes)
        size = value.axes[number][0].size
        if (start, stop, step) == (0, size, 1):
            return value
        cut = (Factor(len(range(start, stop, step))),)
        axes = (*value.axes[:number], cut, *value.axes[number + 1 :])
        made = self.emit(
            call,
            "slice",
            (value.operation,),
            own(axes),
            None,
            {"axis": axis, "start": start, "stop": stop, "step": step},
            part=part,
        )
        return Value(made, axes)

    def take(
        self, call: Call, value: Value, dim: int, indices: Sequence[int], *, part: str = ""
    ) -> Value:
        """Entries of a plain axis, in any order."""
        value, axis = self.along(call, value, dim)
        number = dim % len(value.axes)
        axes = (*value.axes[:number], (Factor(len(indices)),), *value.axes[number + 1 :])
        given = {"axis": axis, "indices": tuple(int(index) for index in indices)}
        made = self.emit(call, "take", (value.operation,), own(axes), None, given, part=part)
        return Value(made, axes)

    def along(self, call: Call, value: Value, dim: int) -> tuple[Value, int]:
        """A tensor of which an axis is plain, and that axis counted from the last."""
        number = range(len(value.axes))[dim]
        axis = value.axes[number]
        kept = tuple(factor for factor in axis if factor.role is Role.OWN or factor.size > 1)
        if kept and kept != axis:
            # A batch of one sample is no part of the axis that it was merged with.
            axis = kept
            axes = (*value.axes[:number], kept, *value.axes[number + 1 :])
            value = Value(value.operation, axes)
        if has(axis, Role.BATCH):
            raise call.refused(" over the batch axis")
        value = self.solid(call, value, number)
        if not is_plain(value.axes[number]):
            raise self.mixes(call)
        return value, negative(value.axes, number)

    def along_all(
        self, call: Call, value: Value, dims: Sequence[int]
    ) -> tuple[Value, tuple[int, ...]]:
        """A tensor of which some axes are plain, and those axes counted from the last."""
        for dim in dims:
            value, _ = self.along(call, value, dim)
        return value, tuple(self.along(call, value, dim)[1] for dim in dims)

    def channels_first(self, call: Call, value: Value) -> Value:
        """A tensor whose samples stand first, with channels and spatial axes after them."""
        if not has(value.axes[0], Role.BATCH) or own(value.axes[:1]):
            raise self.mixes(call)
        return self.along_all(call, value, range(1, len(value.axes)))[0]

    def solid(self, call: Call, value: Value, number: int) -> Value:
        """A tensor whose repetitions along an axis are entries of the operation."""
        axis = value.axes[number]
        if not has(axis, Role.SPREAD):
            return value
        before, after = value.axes[:number], value.axes[number + 1 :]
        ones = tuple(Factor(1) if f.role is Role.SPREAD else f for f in axis)
        whole = tuple(Factor(f.size) if f.role is Role.SPREAD else f for f in axis)
        value = self.lay(call, value, (*before, ones, *after), part="reshape")
        value = self.lay(call, value, (*before, whole, *after), kind="expand", part="expand")
        return self.reshape(call, value, shape_of(value.axes), part="reshape")

    @staticmethod
    def mixes(call: Call) -> UnsupportedOperation:
        """The error for a call that brings samples together."""
        return call.refused(f" that mixes samples (to the shape {call.shape})")
