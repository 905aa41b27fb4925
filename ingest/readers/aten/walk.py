"""The walk over a program's calls: what holds each of its tensors, and the operations so far."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Operation, Parameter
from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.constants import FOLDED, OF_SHAPE, as_number, folded
from ingest.readers.aten.emission import Emission, Value
from ingest.readers.aten.layout import Axes, Axis, Factor, Role, batch_first, own, plain, shape_of
from ingest.readers.wording import Names
from store.errors import UnsupportedOperation

# Entries of a stored tensor that is computed with while a program is read: masks, positions.
MOST_CONSTANT = 1 << 24
# Entries of one axis that are listed.
MOST_LISTED = 1 << 20


@dataclass(frozen=True)
class Stored:
    """A tensor of the state dict, or a view of one.

    Parameters
    ----------
    parameter
        The whole tensor.
    shape
        Of the view.
    learned
        Whether it is a parameter; buffers are not, so that masks may be computed from them.
    view
        The call that made the view, of what its argument holds; None: the tensor itself.
    """

    parameter: Parameter
    shape: tuple[int, ...]
    learned: bool
    view: Call | None = None


@dataclass(frozen=True)
class Constant:
    """A tensor that depends on no input and no parameter."""

    name: str
    array: NDArray[Any]


Held: TypeAlias = Value | Stored | Constant
# An operator may give several tensors; those that nobody takes may be missing.
Results: TypeAlias = Held | tuple[Held | None, ...]
Rule: TypeAlias = "Callable[[Call, Walk], Results]"


class Walk(Emission):
    """What holds each tensor of a program, and the operations that were made of its calls.

    Parameters
    ----------
    stored
        The tensors that the program takes, by the names that references use.
    keys
        Those of the state dict, which other tensors may not have.
    rules
        What each operator becomes.
    views
        Those of them that show entries of their first argument, and take no other tensor.
    taken
        Which results are taken of calls that give several.
    dtypes
        Of all tensors of the program.
    samples
        With how many the program was traced.
    """

    def __init__(
        self,
        stored: Mapping[str, Stored],
        keys: Sequence[str],
        rules: Mapping[str, Rule],
        views: Collection[str],
        taken: Mapping[str, set[int]],
        dtypes: Mapping[str, str],
        samples: int,
    ) -> None:
        super().__init__()
        self.held: dict[str, Results] = dict(stored)
        # Tensors that a call in place changed in a way that is not followed.
        self.lost: dict[str, Call] = {}
        self.taken = taken
        self.dtypes = dtypes
        self.samples = samples
        self._rules = rules
        self._views = views
        self._state = frozenset(keys)
        self._keys = Names()
        for key in keys:
            self._keys.take(key)
        # Tensors that became operands, by what they are views of.
        self._operands: dict[str, Value] = {}
        self._folded = 0

    # -- what holds a tensor ---------------------------------------------------------------------

    def enter(self, value: Call) -> None:
        """Takes an input of the program."""
        if value.shape[:1] != (self.samples,):
            raise UnsupportedOperation(
                f"The model's input {value.name!r} has the shape {value.shape}, whose first axis "
                f"does not hold the {self.samples} samples of the example, which Weightome cannot "
                "ingest."
            )
        floats = value.dtype in ("", "bfloat16") or value.dtype.startswith("float")
        name = Names.INPUT if not self.operations else self._names.take(value.name)
        attributes = {} if floats else {"integers": True}
        self.operations.append(
            Operation(name, "input", shape=value.shape[1:], attributes=attributes)
        )
        self.held[value.name] = Value(name, batch_first(value.shape))

    def find(self, call: Call, argument: object) -> Held:
        """What holds an argument of a call that is one tensor."""
        if isinstance(argument, Value | Stored | Constant):
            return argument
        name = argument.name if isinstance(argument, Ref) else ""
        if name in self.lost:
            raise self.lost[name].refused(" that changes another view of a tensor")
        found = self.held.get(name)
        if found is None or isinstance(found, tuple):
            raise call.refused(" on something else than the output of a layer")
        return found

    def value(self, call: Call, argument: object) -> Value:
        """The operation that gives an argument; a stored tensor becomes an operand."""
        found = self.find(call, argument)
        return found if isinstance(found, Value) else self._operand(found)

    def values(self, call: Call, arguments: Sequence[object]) -> list[Value]:
        """The operations that give several arguments."""
        return [self.value(call, argument) for argument in arguments]

    def number(self, call: Call, argument: object) -> float | int | None:
        """An argument that is one number, or a tensor of one only; None if it is not."""
        if isinstance(argument, int | float):
            return argument
        found = self.find(call, argument)
        if isinstance(found, Stored) and not found.learned and not self._in_state(found):
            # A number that the program holds as a tensor.
            return as_number(self.array(call, found))
        return as_number(found.array) if isinstance(found, Constant) else None

    def _in_state(self, found: Stored) -> bool:
        return found.parameter.name in self._state

    def constant(self, call: Call, argument: object) -> NDArray[Any] | None:
        """The entries of an argument that depends on no input and no parameter, else None."""
        found = self.find(call, argument)
        if isinstance(found, Value) or (isinstance(found, Stored) and found.learned):
            return None
        return self.array(call, found)

    def array(self, call: Call, found: Stored | Constant) -> NDArray[Any]:
        """The entries of a tensor that depends on no input."""
        if isinstance(found, Constant):
            return found.array
        if found.view is not None:
            return self.fold(found.view)
        if found.parameter.size > MOST_CONSTANT:
            raise call.refused(f" on the tensor {found.parameter.name!r}, which is too long")
        return found.parameter.array()

    def fold(self, call: Call) -> NDArray[Any]:
        """The result of a call whose tensors depend on no input."""

        def entries(reference: Ref) -> NDArray[Any]:
            found = self.find(call, reference)
            if isinstance(found, Value):
                raise call.refused(" on something else than the output of a layer")
            return self.array(call, found)

        result = folded(call, entries)
        self._folded += result.size
        if self._folded > 4 * MOST_CONSTANT:
            raise call.refused(" on constants that are too long")
        return result

    def knows(self, call: Call) -> bool:
        """Whether there is a rule for a call, or its entries are known."""
        return call.key in self._rules or self._foldable(call)

    def _foldable(self, call: Call) -> bool:
        if call.key in OF_SHAPE:
            return True
        if call.operator == "to" and all(self.dtypes[r.name] == call.dtype for r in call.refs):
            return False
        return call.key in FOLDED and all(
            isinstance(found, Constant) or (isinstance(found, Stored) and not found.learned)
            for found in (self.held.get(reference.name) for reference in call.refs)
        )

    def run(self, call: Call) -> Results:
        """What a call gives: a view of a stored tensor, entries that are known, or operations.

        Raises
        ------
        UnsupportedOperation
            If the operator's rule does not know it in such a way.
        """
        found = [self.held.get(reference.name) for reference in call.refs]
        if len(found) == 1 and isinstance(found[0], Stored) and call.key in self._views:
            stored = found[0]
            return Stored(stored.parameter, call.shape, stored.learned, call)
        if self._foldable(call):
            return Constant(f"{call.module}.{call.name}".lstrip("."), self.fold(call))
        return self._rules[call.key](call, self)

    def _operand(self, found: Stored | Constant) -> Value:
        """A stored tensor as an operation."""
        if isinstance(found, Constant):
            key = f"constant {found.name}"
        else:
            key = f"view {found.view.name}" if found.view else f"tensor {found.parameter.name}"
        if key not in self._operands:
            if isinstance(found, Constant):
                value = self._constant(found)
            elif found.view is None:
                value = self._tensor(found)
            else:
                made = self._rules[found.view.key](found.view, self)
                value = self.value(found.view, made)
            self._operands[key] = value
        return self._operands[key]

    def _tensor(self, found: Stored) -> Value:
        """A stored tensor; a leading axis of 1 may be that of the samples."""
        axes = plain(found.shape)
        if len(axes) > 1 and found.shape[0] == 1:
            axes = ((Factor(1, Role.SPREAD),), *axes[1:])
        return self._parameter(found.parameter, axes)

    def _constant(self, found: Constant) -> Value:
        array, axes = without_repetitions(found.array, self.samples)
        if array.dtype == np.bool_:
            array = array.astype(np.float32)
        return self._parameter(Parameter.of(self._keys.take(found.name), array), axes)

    def _parameter(self, parameter: Parameter, axes: Axes) -> Value:
        name = self._names.take(parameter.name)
        tensors = {"value": parameter}
        self.operations.append(Operation(name, "parameter", (), own(axes), tensors, {}))
        return Value(name, axes)

    def tensor(self, call: Call, role: str) -> Parameter | None:
        """A whole tensor that an operator takes as its weight or the like; None where it may miss.

        Raises
        ------
        UnsupportedOperation
            If it is computed.
        """
        argument = call.arguments.get(role)
        if argument is None:
            return None
        found = self.held.get(argument.name) if isinstance(argument, Ref) else None
        if not isinstance(found, Stored) or found.view is not None:
            raise call.refused(f" whose {role} is computed or not in the state dict")
        return found.parameter


def without_repetitions(array: NDArray[Any], samples: int) -> tuple[NDArray[Any], Axes]:
    """Entries without the axes along which they are the same, and how the axes were.

    Example
    -------
    >>> array, axes = without_repetitions(np.array([[1, 2], [1, 2]]), samples=2)
    >>> array.tolist(), shape_of(axes)
    ([1, 2], (2, 2))
    """
    axes: list[Axis] = []
    rest = array
    for number, size in enumerate(array.shape):
        first = rest.take([0], axis=number) if size else rest
        if (size > 1 and (rest == first).all()) or (size == 1 and not number and array.ndim > 1):
            rest = first
            axes.append((Factor(size, Role.SPREAD),))
        elif not number and samples > 1 and size > samples and size % samples == 0:
            # The samples may be merged with another axis.
            parts = rest.reshape(samples, size // samples, *rest.shape[1:])
            if (parts == parts[:1]).all():
                rest = parts[0]
                axes.append((Factor(samples, Role.SPREAD), Factor(size // samples)))
            else:
                axes.append((Factor(size),))
        else:
            axes.append((Factor(size),))
    found = tuple(axes)
    return np.ascontiguousarray(rest.reshape(own(found))), found


def shape_held(found: Held) -> tuple[int, ...]:
    """The shape of a tensor in the program."""
    if isinstance(found, Value):
        return shape_of(found.axes)
    return found.shape if isinstance(found, Stored) else found.array.shape
