"""Recurrent layers: one operation per stack and direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.operations import Parameter
from ingest.readers.aten.calls import Call, Ref
from ingest.readers.aten.emission import Value
from ingest.readers.aten.layout import Axes, Axis, Factor, Role, has, is_plain, own, shape_of
from ingest.readers.aten.parts import concatenated
from ingest.readers.aten.views import selected
from ingest.readers.aten.walk import Constant, Held, Results, Rule, Stored, Walk


@dataclass(frozen=True)
class Cell:
    """What one step computes, and the states that it keeps."""

    kind: str
    attributes: Mapping[str, Any]
    states: int = 1


_LSTM = Cell("lstm", {"gates": ("i", "f", "g", "o")}, 2)
_GRU = Cell("gru", {"gates": ("r", "z", "n"), "reset_after": True})
_RNN_TANH = Cell("rnn", {"activation": "tanh"})
_RNN_RELU = Cell("rnn", {"activation": "relu"})

_ROLES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def recurrent(cell: Cell) -> Rule:
    """A module of stacked layers: the last one's states at all times, and all final states."""

    def rule(call: Call, walk: Walk) -> Results:
        given = call.arguments
        if given["train"] and given["dropout"]:
            raise call.refused(" with train=True")
        batch_first, directions = given["batch_first"], 1 + bool(given["bidirectional"])
        batch, time = (0, 1) if batch_first else (1, 0)
        value = walk.value(call, given["input"])
        if len(value.axes) != 3 or not has(value.axes[batch], Role.BATCH):
            raise call.refused(f" that mixes samples (with batch_first={bool(batch_first)})")
        value, _ = walk.along_all(call, value, (time, 2))
        weights = _weights(call, walk, given["num_layers"] * directions)
        starts = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
        finals: list[list[Value]] = [[] for _ in range(cell.states)]
        for layer in range(given["num_layers"]):
            outputs = []
            for direction in range(directions):
                number = layer * directions + direction
                name = f"l{layer}" + ("_reverse" if direction else "")
                made = _layer(
                    call,
                    walk,
                    cell,
                    value,
                    weights[number],
                    _initial(call, walk, starts, number),
                    reverse=bool(direction),
                    part=name,
                )
                outputs.append(made)
                _note_final(call, walk, finals, made, time, direction, name)
            value = outputs[0]
            if directions == 2:
                whole = layer == given["num_layers"] - 1
                value = _side_by_side(call, walk, outputs, "" if whole else f"l{layer}_both")
        results: list[Held | None] = [value]
        for number, found in enumerate(finals, 1):
            wanted = number in walk.taken[call.name]
            part = "h_n" if number == 1 else "c_n"
            results.append(concatenated(call, walk, found, 0, part=part) if wanted else None)
        return tuple(results)

    return rule


def _weights(call: Call, walk: Walk, count: int) -> list[dict[str, Parameter]]:
    roles = _ROLES if call.arguments["has_biases"] else _ROLES[:2]
    given = call.arguments["params"]
    if len(given) != count * len(roles):
        raise call.refused(" with projections")
    found = []
    for number in range(count):
        tensors = {}
        for role, argument in zip(roles, given[number * len(roles) :], strict=False):
            tensors[role] = _tensor(call, walk, argument)
        found.append(tensors)
    return found


def _tensor(call: Call, walk: Walk, argument: object) -> Parameter:
    found = walk.held.get(argument.name) if isinstance(argument, Ref) else None
    if not isinstance(found, Stored) or found.view is not None:
        raise call.refused(" whose weights are computed or not in the state dict")
    return found.parameter


def _initial(call: Call, walk: Walk, starts: Sequence[object], number: int) -> list[Value]:
    """The states before the first step; none where they are 0."""
    if all(_zero(walk.find(call, start)) for start in starts):
        return []
    found = []
    for start in starts:
        state = selected(call, walk, walk.value(call, start), 0, number)
        state, _ = walk.along(call, state, -1)
        if state.axes[0] == (Factor(1),):
            # Of the one sample of the example.
            state = walk.lay(call, state, ((Factor(1, Role.SPREAD),), state.axes[-1]))
        found.append(state)
    return found


def _zero(found: Held) -> bool:
    return isinstance(found, Constant) and not found.array.any()


def _layer(
    call: Call,
    walk: Walk,
    cell: Cell,
    value: Value,
    weights: Mapping[str, Parameter],
    initial: Sequence[Value],
    *,
    reverse: bool,
    part: str,
) -> Value:
    """All hidden states of one stack and direction, in the order of time."""
    hidden = weights["weight_hh"].shape[1]
    axes = (*value.axes[:2], (Factor(hidden),))
    for state in initial:
        _check_state(call, walk, state, hidden)
    attributes = {**cell.attributes, "layout": "target_source", "reverse": reverse}
    made = walk.emit(
        call,
        cell.kind,
        (value.operation, *(state.operation for state in initial)),
        own(axes),
        weights,
        attributes,
        part=part,
    )
    return Value(made, axes)


def _check_state(call: Call, walk: Walk, state: Value, hidden: int) -> None:
    """An initial state is a vector per sample, or one for all."""
    if own(state.axes) != (hidden,) or not is_plain(state.axes[-1]):
        raise walk.mixes(call)


def _note_final(
    call: Call,
    walk: Walk,
    finals: Sequence[list[Value]],
    made: Value,
    time: int,
    direction: int,
    name: str,
) -> None:
    """The states after the last step, which is the first one backwards, where they are taken."""
    last = 0 if direction else shape_of(made.axes)[time] - 1
    for number, found in enumerate(finals):
        if number + 1 not in walk.taken[call.name]:
            continue
        states, part = made, name
        if number:
            part = f"{name}_cell"
            cells = walk.emit(call, "lstm_cell", (made.operation,), own(made.axes), part=part)
            states = Value(cells, made.axes)
        cut = walk.cut(call, states, time, last, last + 1, part=f"{part}_last")
        found.append(walk.permute(call, cut, (time, 1 - time, 2)))


def _side_by_side(call: Call, walk: Walk, values: Sequence[Value], part: str) -> Value:
    """The features of both directions."""
    total = sum(value.axes[2][0].size for value in values)
    axes: Axes = (*values[0].axes[:2], (Factor(total),))
    names = [value.operation for value in values]
    return Value(walk.emit(call, "concat", names, own(axes), None, {"axis": -1}, part=part), axes)


def one_step(cell: Cell) -> Rule:
    """A cell that a program steps by itself: a sequence of one step."""

    def rule(call: Call, walk: Walk) -> Results:
        given = call.arguments
        value = walk.value(call, given["input"])
        value, _ = walk.along(call, value, -1)
        tensors = {
            role: tensor
            for role, key in zip(_ROLES, ("w_ih", "w_hh", "b_ih", "b_hh"), strict=True)
            if (tensor := walk.tensor(call, key)) is not None
        }
        starts = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
        initial = (
            []
            if all(_zero(walk.find(call, start)) for start in starts)
            else walk.values(call, starts)
        )
        step: Axis = (Factor(1),)
        sequence = walk.lay(call, value, (*value.axes[:-1], step, value.axes[-1]), part="sequence")
        hidden = tensors["weight_hh"].shape[1]
        axes = (*value.axes[:-1], step, (Factor(hidden),))
        for state in initial:
            _check_state(call, walk, state, hidden)
        made = walk.emit(
            call,
            cell.kind,
            (sequence.operation, *(state.operation for state in initial)),
            own(axes),
            tensors,
            {**cell.attributes, "layout": "target_source", "reverse": False},
        )
        after = (*value.axes[:-1], (Factor(hidden),))
        result = walk.lay(call, Value(made, axes), after, part="state")
        if cell.states == 1:
            return result
        cells = walk.emit(call, "lstm_cell", (made,), own(axes), part="cell")
        return result, walk.lay(call, Value(cells, axes), after, part="cell_state")

    return rule


RECURRENT: Mapping[str, Rule] = {
    "gru.input": recurrent(_GRU),
    "gru_cell.default": one_step(_GRU),
    "lstm.input": recurrent(_LSTM),
    "lstm_cell.default": one_step(_LSTM),
    "rnn_relu.input": recurrent(_RNN_RELU),
    "rnn_relu_cell.default": one_step(_RNN_RELU),
    "rnn_tanh.input": recurrent(_RNN_TANH),
    "rnn_tanh_cell.default": one_step(_RNN_TANH),
}
