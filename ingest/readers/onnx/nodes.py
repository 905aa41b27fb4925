"""What the nodes of an ONNX graph pass on, and a node as the operator tables see it.

An ONNX value has its batch axis anywhere, and loses it where a file squeezes it away; a value of
the operation graph has none. A :class:`Held` value remembers where the axis is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, NoReturn, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from ingest.operations import Parameter
from ingest.readers.onnx.tensors import FLOATING
from ingest.readers.wording import reason
from store.errors import UnsupportedOperation

Shape: TypeAlias = tuple[int, ...]
Attribute = onnx.AttributeProto


@dataclass(frozen=True)
class Held:
    """A value that an operation gives.

    Parameters
    ----------
    operation
        Its name.
    shape
        As ONNX has it, for one sample: the batch axis is there, with length 1.
    batch
        Which axis that is; None if the value has none.
    type
        Number of its element type.
    """

    operation: str
    shape: Shape
    batch: int | None
    type: int

    @property
    def sample(self) -> Shape:
        """Its shape in the operation graph."""
        return without(self.shape, self.batch)

    @property
    def integers(self) -> bool:
        """Whether it holds integers or truth values."""
        return self.type not in FLOATING

    def axis(self, axis: int) -> int | None:
        """An axis of the ONNX value as one of the sample, from the last; None for the batch."""
        axis %= len(self.shape)
        if axis == self.batch:
            return None
        return axis - len(self.shape) + (self.batch is not None and axis < self.batch)


@dataclass(frozen=True)
class Constant:
    """A value that the file holds, or that only depends on such values.

    Parameters
    ----------
    name
        Of the ONNX value.
    shape, type
        Of the array.
    load
        Gives the array, in the type that ONNX computes in.
    parameter
        The tensor of the file with the same entries in the same order, in this or another shape.
    transposed
        The tensor of the file that is this matrix transposed.
    """

    name: str
    shape: Shape
    type: int
    load: Callable[[], NDArray[Any]] = field(repr=False, compare=False)
    parameter: Parameter | None = None
    transposed: Parameter | None = None

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def floats(self) -> bool:
        """Whether it holds floats."""
        return self.type in FLOATING

    @cached_property
    def integers(self) -> tuple[int, ...]:
        """Its entries as whole numbers."""
        return tuple(int(entry) for entry in self.load().reshape(-1))

    def scalar(self) -> float | int:
        """Its one entry."""
        number = self.load().reshape(-1)[0]
        return float(number) if self.floats else int(number)

    @classmethod
    def of(cls, name: str, array: NDArray[Any], kind: int) -> Constant:
        """A constant over an array in memory."""
        return cls(name, array.shape, kind, lambda: array)


@dataclass(frozen=True)
class Refused:
    """A value that cannot be ingested, which is an error only if something takes it."""

    error: UnsupportedOperation


@dataclass(frozen=True)
class OneHot(Refused):
    """Integers as rows of zeros and a one: only a product with a matrix can be ingested.

    Parameters
    ----------
    ids
        The integers.
    depth
        Length of a row.
    type
        Number of its element type.
    """

    ids: Held
    depth: int
    type: int

    @property
    def shape(self) -> Shape:
        """As ONNX has it."""
        return (*self.ids.shape, self.depth)


Value: TypeAlias = Held | Constant | Refused


def without(shape: Shape, axis: int | None) -> Shape:
    """A shape with an axis taken away.

    Example
    -------
    >>> without((2, 1, 128), 1)
    (2, 128)
    """
    return shape if axis is None else shape[:axis] + shape[axis + 1 :]


@dataclass
class Node:
    """A node with the values that it takes.

    Attributes are taken out as they are read, so that one that nobody knows is left over and the
    node is refused.

    Parameters
    ----------
    operator, name
        Of the node; its name is that of its first result if it has none.
    inputs
        None where an optional one is left out.
    outputs
        Names of its results; empty where one is left out.
    opset
        Version of the operators.
    attributes
        By name.
    types
        Shapes and element types of its results; None where they depend on the data.
    roles
        What the operator calls its inputs.
    """

    operator: str
    name: str
    inputs: Sequence[Value | None]
    outputs: Sequence[str]
    opset: int
    attributes: dict[str, onnx.AttributeProto]
    types: Sequence[tuple[Shape, int] | None] = ()
    roles: Sequence[str] = ()

    def refused(self, why: str = "") -> UnsupportedOperation:
        """The error that names this node."""
        printable = "".join(character for character in why if character.isprintable())
        return UnsupportedOperation(
            f"The model holds {reason(self.operator)} (layer {self.name[:200]!r}){printable}, "
            "which Weightome cannot ingest."
        )

    def mixes(self) -> NoReturn:
        """Refuses a node whose result for a sample depends on other samples."""
        raise self.refused(" that mixes samples (over the batch axis)")

    # -- results ---------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """Of the first result."""
        return self.result(0)[0]

    @property
    def type(self) -> int:
        """Of the first result."""
        return self.result(0)[1]

    def result(self, index: int) -> tuple[Shape, int]:
        """Shape and type of a result."""
        found = self.types[index] if index < len(self.types) else None
        if found is None:
            raise self.refused(" whose shape depends on its input")
        return found

    # -- inputs ----------------------------------------------------------------------------------

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Held | Constant:
        """An input."""
        found = self.inputs[index] if index < len(self.inputs) else None
        match found:
            case Held() | Constant():
                return found
            case Refused():
                raise found.error
        raise self.refused(f" without its input {index + 1}")

    def held(self, index: int) -> Held:
        """An input that an operation gives."""
        found = self.value(index)
        if isinstance(found, Constant):
            raise self.refused(" of a constant")
        return found

    def constant(self, index: int, what: str) -> Constant:
        """An input that must be known."""
        found = self.value(index)
        if isinstance(found, Held):
            raise self.refused(f" whose {what} is computed")
        return found

    # -- attributes ------------------------------------------------------------------------------

    def _take(self, key: str, kind: int) -> onnx.AttributeProto | None:
        found = self.attributes.pop(key, None)
        if found is not None and (found.type != kind or found.ref_attr_name):
            raise self.refused(f" whose attribute {key!r} is of another type")
        return found

    def whole(self, key: str, default: int) -> int:
        """An integer."""
        found = self._take(key, Attribute.INT)
        return default if found is None else found.i

    def number(self, key: str, default: float) -> float:
        """A float, which the file holds in single precision."""
        found = self._take(key, Attribute.FLOAT)
        return default if found is None else float(found.f)

    def text(self, key: str, default: str) -> str:
        """A text."""
        found = self._take(key, Attribute.STRING)
        return default if found is None else found.s.decode(errors="replace")

    def wholes(self, key: str) -> tuple[int, ...] | None:
        """Integers."""
        found = self._take(key, Attribute.INTS)
        return None if found is None else tuple(found.ints)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Texts."""
        found = self._take(key, Attribute.STRINGS)
        return None if found is None else tuple(s.decode(errors="replace") for s in found.strings)

    def tensor(self, key: str) -> onnx.TensorProto | None:
        """A tensor."""
        found = self._take(key, Attribute.TENSOR)
        return None if found is None else found.t

    def ignore(self, *keys: str) -> None:
        """Takes out attributes that change nothing here."""
        for key in keys:
            self.attributes.pop(key, None)

    def only(self, key: str, value: int | float) -> None:
        """Refuses any other value of an attribute."""
        found = self.attributes.pop(key, None)
        if found is None:
            return
        told = found.f if found.type == Attribute.FLOAT else found.i
        if told != value:
            raise self.refused(f" with {key}={told:g}")

    def axes(self, index: int) -> tuple[int, ...] | None:
        """The attribute ``axes``, or the input that newer operators take it from."""
        told = self.wholes("axes")
        if told is None and self.has(index):
            told = self.constant(index, "axes").integers
        return told


def resolved(node: Node, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the first, each of them within the rank and there once."""
    found = tuple(axis + rank if axis < 0 else axis for axis in axes)
    if any(not 0 <= axis < rank for axis in found) or len(set(found)) != len(found):
        raise node.refused(f" over the axes {tuple(axes)[:8]}")
    return found


def unknown_attributes(node: Node) -> UnsupportedOperation:
    """The error for attributes that no table knows."""
    return node.refused(f" with {', '.join(sorted(node.attributes))[:80]}")


def numpy_type(kind: int) -> np.dtype[Any]:
    """What NumPy computes in for an element type."""
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
