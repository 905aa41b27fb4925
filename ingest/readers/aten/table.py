"""ATen calls -> operations: the table of operators, and what a program's calls become.

Knows torch's operators by name only and imports no torch: a program can be traced from a live
module, or read from the JSON of a file. What the table does not hold becomes an opaque operation,
or is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ingest.operations import Operation, OperationGraph, Parameter
from ingest.readers.aten.arithmetic import ARITHMETIC
from ingest.readers.aten.attention import ATTENTION
from ingest.readers.aten.calls import GETITEM, Call, Ref
from ingest.readers.aten.composites import absorbed, composite
from ingest.readers.aten.constants import FOLDED_VIEWS, Array, folded
from ingest.readers.aten.convolution import CONVOLUTIONS, POOLS
from ingest.readers.aten.einsum import EINSUM
from ingest.readers.aten.elementwise import COPIES, FUNCTIONS, MAYBE_COPIES, SAME
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Axes, Factor, Role, batch_first, batches, has, own, shape_of
from ingest.readers.aten.norms import NORMS
from ingest.readers.aten.parts import JOINS, PIECES
from ingest.readers.aten.products import PRODUCTS
from ingest.readers.aten.recurrent import RECURRENT
from ingest.readers.aten.reductions import REDUCTIONS
from ingest.readers.aten.selections import SELECTIONS
from ingest.readers.aten.views import VIEWS, VIEWS_AS
from ingest.readers.aten.walk import Constant, Results, Rule, Stored, Walk, shape_held
from ingest.readers.aten.written_out import with_attention
from ingest.readers.wording import reason

TABLE: Mapping[str, Rule] = {
    **ARITHMETIC,
    **ATTENTION,
    **CONVOLUTIONS,
    **COPIES,
    **EINSUM,
    **FUNCTIONS,
    **JOINS,
    **MAYBE_COPIES,
    **NORMS,
    **PIECES,
    **POOLS,
    **PRODUCTS,
    **RECURRENT,
    **REDUCTIONS,
    **SAME,
    **SELECTIONS,
    **VIEWS,
    **VIEWS_AS,
}

# They may show the memory of their first argument.
_SHARING = {*SAME, *MAYBE_COPIES, *PIECES, *VIEWS, *VIEWS_AS}

# They compute nothing that a later call uses.
_CHECKS = ("assert_tensor_metadata",)

# Each call of them gives something else.
_RANDOM = (
    "bernoulli", "multinomial", "normal", "poisson", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "randperm", "rrelu_with_noise", "uniform",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """A program as a reader of it finds it.

    Parameters
    ----------
    calls
        In their order.
    inputs
        The program's inputs, in shape and type like the result of a call.
    tensors
        Those of the state dict and others that the program holds, by the names that references
        use.
    learned
        Which of these names are parameters, and not buffers or constants.
    outputs
        Results that the program returns; what leads to none of them is left out.
    """

    calls: Sequence[Call]
    inputs: Sequence[Call]
    tensors: Mapping[str, Parameter]
    learned: Collection[str]
    outputs: Sequence[str]


def graph_of(program: Program, stored: Iterable[Parameter], source: str) -> OperationGraph:
    """The operations that a program's calls stand for.

    Parameters
    ----------
    program
        Its first input tells how many samples it was traced with.
    stored
        All tensors of the state dict, in its order. Others that operations take stand after them.
    source
        As :class:`ingest.operations.OperationGraph` has it.

    Raises
    ------
    UnsupportedOperation
        Names the first call that is not understood, and its module.
    """
    keys = {parameter.name: parameter for parameter in stored}
    every = [*program.inputs, *program.calls]
    live = _live(program.calls, program.outputs)
    taken: dict[str, set[int]] = {call.name: set() for call in program.calls}
    for call in program.calls:
        if call.target == GETITEM and call.name in live and isinstance(call.source, Ref):
            taken.setdefault(call.source.name, set()).add(call.arguments["index"])
    tensors = {
        name: Stored(tensor, tensor.shape, name in program.learned)
        for name, tensor in program.tensors.items()
    }
    dtypes = {call.name: call.dtype for call in every}
    dtypes |= {name: tensor.dtype for name, tensor in program.tensors.items()}
    names = [key for tensor in keys.values() for key in (tensor.name, *tensor.aliases)]
    samples = program.inputs[0].shape[0]
    walk = Walk(tensors, names, TABLE, VIEWS, taken, dtypes, samples)
    for value in program.inputs:
        walk.enter(value)
    steps = _Steps(walk, program, tensors)
    inner = absorbed(program.calls, program.outputs)
    for call in program.calls:
        if call.name in live and call.name not in inner and call.operator not in _CHECKS:
            steps.take(call)
    outputs = [steps.output(name) for name in program.outputs]
    operations = _needed(walk.operations, outputs)
    operations = _needed(with_attention(operations, outputs), outputs)
    for operation in operations:
        keys.update({tensor.name: tensor for tensor in operation.parameters.values()})
    return OperationGraph(tuple(operations), tuple(keys.values()), source, tuple(outputs))


class _Steps:
    """Takes a program's calls in turn, and knows which of their results share memory."""

    def __init__(self, walk: Walk, program: Program, tensors: Collection[str]) -> None:
        self._walk = walk
        self._calls = {call.name: call for call in (*program.inputs, *program.calls)}
        self._tensors = tensors
        # Tensors that share memory have the same first one; those that show it alike, too.
        self._memory = {value.name: value.name for value in program.inputs}
        self._view = dict(self._memory)

    def take(self, call: Call) -> None:
        """Takes a call: makes its operations, and notes what holds its result."""
        source = call.source.name if isinstance(call.source, Ref) else call.name
        memory = self._memory.get(source, source)
        changes = call.in_place and call.key not in SAME
        if changes and memory in self._tensors:
            raise call.refused(" that changes a stored tensor")
        result = self._result(call)
        if not isinstance(result, tuple) and shape_held(result) != call.shape:
            raise call.refused(f" from which the shape {call.shape} does not follow")
        shares = call.in_place or call.key in _SHARING
        alike = call.in_place or call.key in SAME
        self._memory[call.name] = memory if shares else call.name
        self._view[call.name] = self._view.get(source, source) if alike else call.name
        if changes:
            self._change(call, result)
        self._walk.held[call.name] = result

    def _result(self, call: Call) -> Results:
        several = composite(call, self._calls)
        try:
            if several is not None:
                value = self._walk.value(call, several.source)
                if several.kind == "softmin":
                    value, _ = self._walk.along(call, value, -1)
                return self._walk.unary(call, several.kind, value)
            if self._walk.knows(call):
                return self._walk.run(call)
            return self._opaque(call)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Arguments that no rule expects: a file may hold anything.
            raise call.refused(f" in an unusual way ({reason(error)})") from error

    def _change(self, call: Call, result: Results) -> None:
        """What a call in place changes: all tensors that show the same memory."""
        memory, view = self._memory[call.name], self._view[call.name]
        entries = self._rewritten(call, memory, result)
        for name in [name for name, first in self._memory.items() if first == memory]:
            shown = None
            if entries is not None and self._view[name] != view:
                shown = self._shown(name, memory, entries)
            if self._view[name] == view:
                self._walk.held[name] = result
            elif shown is not None:
                self._walk.held[name] = Constant(f"{name}.{call.name}", shown)
            else:
                # Another view shows the change in its own way: who reads it is refused.
                self._walk.lost[name] = call

    def _rewritten(self, call: Call, memory: str, result: Results) -> Array | None:
        """Entries that are known, of which a part was changed; None if they are not."""
        base = self._walk.held.get(memory)
        if not isinstance(base, Constant) or not isinstance(result, Constant):
            return None
        numbers = np.arange(base.array.size).reshape(base.array.shape)
        places = self._shown(call.name, memory, numbers)
        if places is None:
            return None
        entries = base.array.copy()
        entries.reshape(-1)[places] = result.array
        return entries

    def _shown(self, name: str, memory: str, entries: Array) -> Array | None:
        """What a tensor shows of the entries of the one whose memory it shows."""
        views: list[tuple[Call, Ref]] = []
        while name != memory:
            made = self._calls[name]
            if not isinstance(made.source, Ref):
                return None
            if made.key in FOLDED_VIEWS:
                views.append((made, made.source))
            elif not made.in_place and made.key not in SAME:
                return None
            name = made.source.name
        for shown, source in reversed(views):
            kept = replace(shown, dtype=str(entries.dtype))
            entries = folded(kept, {source: entries}.__getitem__)
        return entries

    def _opaque(self, call: Call) -> Results:
        """An operation that is not understood, where it gives something for each sample."""
        if not call.pure or call.operator in _RANDOM or not call.dtype:
            raise call.refused()
        inputs: list[str] = []
        tensors: dict[str, Parameter] = {}
        axes: list[Axes] = []
        for name, argument in _named(call.arguments):
            found = self._walk.find(call, argument)
            if isinstance(found, Stored) and found.view is None:
                tensors[name] = found.parameter
                continue
            value = self._walk.value(call, found)
            inputs.append(value.operation)
            axes.append(value.axes)
        if call.shape[:1] != (self._walk.samples,) or not any(
            _is_batch_first(each) for each in axes
        ):
            raise call.refused()
        if not all(_is_batch_first(each) or not batches(each) for each in axes):
            raise call.refused()
        attributes = {"operator": call.operator, "module": call.module}
        made = self._walk.emit(call, "opaque", inputs, call.shape[1:], tensors, attributes)
        return Value(made, batch_first(call.shape))

    def output(self, name: str) -> str:
        """The operation that gives one of the program's outputs."""
        call = self._calls.get(name, Call(name, name))
        value = self._walk.value(call, Ref(name))
        if (
            self._walk.samples == 1
            and not batches(value.axes)
            and value.axes[:1] == ((Factor(1),),)
        ):
            value = self._walk.lay(call, value, value.axes[1:], part="output")
        for number, axis in enumerate(value.axes):
            if has(axis, Role.BATCH) and own((axis,)):
                raise self._walk.mixes(call)
            if batches(value.axes):
                value = self._walk.solid(call, value, number)
        return value.operation


def _named(arguments: Mapping[str, object]) -> Iterator[tuple[str, Ref]]:
    """The tensors among arguments; those of a list are numbered."""
    for name, argument in arguments.items():
        if isinstance(argument, Ref):
            yield name, argument
        elif isinstance(argument, list | tuple):
            for number, part in enumerate(argument):
                if isinstance(part, Ref):
                    yield f"{name}.{number}", part


def _is_batch_first(axes: Axes) -> bool:
    return axes == batch_first(shape_of(axes))


def _live(calls: Sequence[Call], outputs: Collection[str]) -> set[str]:
    """Calls that lead to an output, or that may change what leads to one."""
    live = set(outputs)
    for call in reversed(calls):
        if call.name in live or not call.pure:
            live.add(call.name)
            live.update(ref.name for ref in call.refs)
    return live


def _needed(operations: Sequence[Operation], outputs: Collection[str]) -> list[Operation]:
    """The operations that lead to an output, and the inputs."""
    needed = set(outputs)
    for operation in reversed(operations):
        if operation.name in needed:
            needed.update(operation.inputs)
    return [
        operation
        for operation in operations
        if operation.name in needed or operation.kind == "input"
    ]
