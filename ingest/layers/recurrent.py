"""Recurrent layers: gates as neurons with roles, and links back from what they gave before.

An LSTM makes three layers: its gates, its cells and its hidden states; a GRU gates and hidden
states; a plain RNN hidden states alone. In a shared view the recurrent links make cycles; in an
unrolled one they lead from each time step to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.layers.building import Building, Families
from ingest.layers.inputs import SEQUENCE
from ingest.layers.neurons import NONE, Neurons, ranks
from ingest.layers.values import Value
from ingest.network import LinkBlock
from ingest.operations import Operation, Parameter
from store.errors import ShapeMismatch

# Gates that enter the cell (or the hidden state of a GRU) through fixed links.
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def recurrent(operation: Operation, building: Building) -> None:
    """The layers of one stack and direction."""
    kind = operation.kind
    attributes = dict(operation.attributes)
    given = building.standing_along(operation, building.source(operation), (1,))
    steps, hidden = operation.shape
    many = _GATES[kind] * hidden
    initial = [
        _start(operation, building, given, number) for number in range(1, len(operation.inputs))
    ]
    matrices = {
        "weight_ih": _matrix(operation, "weight_ih", many, given.shape[1]),
        "weight_hh": _matrix(operation, "weight_hh", many, hidden),
    }
    kept: dict[str, Any] = {
        key: attributes[key]
        for key in ("reverse", "gates", "reset_after", "activation")
        if key in attributes
    }
    kept["recurrent"] = kind
    into = building.place(
        operation.name if kind == "rnn" else building.fresh(f"{operation.name}.gates"),
        "rnn" if kind == "rnn" else "gates",
        (steps, many),
        (1,),
        takes=[given, *initial[:1]],
        attributes=kept,
        coordinates=SEQUENCE[2],
    )
    for name, params in _biases(operation, building, many).items():
        building.add_scalars(into, name, params)
    out = into
    if kind != "rnn":
        gates = tuple(attributes["gates"])
        per_step = 1 if not building.unrolled else steps
        building.change(
            building.layer_of(into), roles=tuple(np.repeat(gates, hidden).tolist()) * per_step
        )
        out = _states(operation, building, into, initial, gates, kept)
    index = building.layer_of(into)
    _link_inputs(building, given, into, matrices["weight_ih"])
    _link_back(operation, building, into, out, initial[:1], matrices["weight_hh"])
    layer = building.layer(index)
    building.change(index, recurrent_sources=(*layer.recurrent_sources, building.layer_of(out)))
    building.give(operation, out)


def _start(operation: Operation, building: Building, given: Value, number: int) -> Value:
    """Neurons of the states before the first step, which are none of the sequence's own.

    A link from one of these would not tell which of the two matrices it belongs to.
    """
    value = building.standing_along(operation, building.source(operation, number), (0,))
    if building.unrolled and np.isin(value.neurons, given.neurons).any():
        return building.copy(operation.name, value)
    return value


def _states(
    operation: Operation,
    building: Building,
    into: Value,
    initial: list[Value],
    gates: tuple[str, ...],
    kept: dict[str, Any],
) -> Value:
    """The cells (of an LSTM) and the hidden states, with the gates' fixed links into them."""
    hidden = operation.shape[1]
    parts = {
        gate: into.neurons[:, number * hidden : (number + 1) * hidden]
        for number, gate in enumerate(gates)
    }
    backward = bool(operation.attributes.get("reverse"))

    def layer(
        name: str, kind: str, takes: list[Value], entering: str, start: Value | None
    ) -> Value:
        placed = building.place(
            name, kind, operation.shape, (1,), takes=takes, attributes=kept,
            coordinates=SEQUENCE[2],
        )  # fmt: skip
        for gate in entering:
            building.wire(placed, parts[gate], placed.neurons)
        building.wire(placed, _before(placed.neurons, backward, building, start), placed.neurons)
        if start is not None and not building.unrolled:
            building.wire(placed, start.neurons.reshape(1, -1), placed.neurons[:1])
        return placed

    first = [*initial, None, None]
    if operation.kind == "gru":
        # What the reset gate lets through of the states before enters the new gate.
        building.wire(into, parts["r"], parts["n"])
        return layer(operation.name, "gru", [into, *initial[:1]], "zn", first[0])
    cell = layer(
        building.fresh(f"{operation.name}.cell"), "lstm_cell", [into, *initial[1:]], "ifg", first[1]
    )
    building.remember_cells(operation, cell)
    # In an unrolled view the first states are linked to the first gates, and to nothing else.
    start = [] if building.unrolled else initial[:1]
    placed = building.place(
        operation.name, "lstm", operation.shape, (1,), takes=[cell, into, *start],
        attributes=kept, coordinates=SEQUENCE[2],
    )  # fmt: skip
    building.wire(placed, parts["o"], placed.neurons)
    building.wire(placed, cell.neurons, placed.neurons)
    return placed


def _before(states: Neurons, backward: bool, building: Building, start: Value | None) -> Neurons:
    """Of each time step the states before it; in a shared view the states themselves."""
    if not building.unrolled:
        return states
    edge = np.full_like(states[:1], NONE) if start is None else start.neurons.reshape(1, -1)
    parts = [states[1:], edge] if backward else [edge, states[:-1]]
    return np.concatenate(parts)


def _matrix(
    operation: Operation, role: str, targets: int, sources: int
) -> tuple[Parameter, NDArray[np.int64]]:
    """A tensor and where each of its values lies in it, as targets x sources."""
    tensor = operation.parameters[role]
    entries = np.arange(tensor.size).reshape(tensor.shape)
    direction = operation.attributes.get("direction_index")
    if direction is not None:
        entries = entries[direction]
    if operation.attributes["layout"] == "source_target":
        entries = entries.T
    if entries.shape != (targets, sources):
        raise ShapeMismatch(
            f"The weight {tensor.name!r} {tensor.shape} of layer {operation.name!r} does not fit "
            f"{sources} values and {targets} gates."
        )
    return tensor, entries


def _biases(operation: Operation, building: Building, many: int) -> dict[str, NDArray[np.int64]]:
    """Where the biases lie, by the property that keeps them."""
    found = {}
    for role, name in (("bias_ih", "bias"), ("bias_hh", "recurrent_bias")):
        if role not in operation.parameters:
            continue
        tensor = operation.parameters[role]
        flat = building.tensors.position(tensor) + np.arange(tensor.size).reshape(tensor.shape)
        direction = operation.attributes.get("direction_index")
        if direction is not None:
            flat = flat[direction]
        flat = flat.reshape(-1)
        if operation.attributes.get("biases_joined"):
            found["recurrent_bias"], flat = flat[many:], flat[:many]
        if any(each.size != many for each in (flat, *found.values())):
            raise ShapeMismatch(
                f"The bias {tensor.name!r} {tensor.shape} of layer {operation.name!r} does not fit "
                f"its {many} gates."
            )
        found[name] = flat
    return found


def _link_inputs(
    building: Building,
    given: Value,
    into: Value,
    matrix: tuple[Parameter, NDArray[np.int64]],
) -> None:
    steps = range(given.shape[0] if building.unrolled else 1)
    _link(building, into, matrix, [(given.neurons[step], into.neurons[step]) for step in steps])


def _link_back(
    operation: Operation,
    building: Building,
    into: Value,
    out: Value,
    initial: list[Value],
    matrix: tuple[Parameter, NDArray[np.int64]],
) -> None:
    """Links from the hidden states of one time step to the gates of the next."""
    before = _before(
        out.neurons,
        bool(operation.attributes.get("reverse")),
        building,
        initial[0] if initial else None,
    )
    if building.unrolled:
        steps = [step for step in range(out.shape[0]) if before[step, 0] >= 0]
    else:
        steps = [0]
        if operation.kind != "gru":
            for start in initial:
                building.wire(out, start.neurons.reshape(1, -1), out.neurons[:1])
    _link(building, into, matrix, [(before[step], into.neurons[step]) for step in steps])


def _link(
    building: Building,
    into: Value,
    matrix: tuple[Parameter, NDArray[np.int64]],
    steps: list[tuple[Neurons, Neurons]],
) -> None:
    tensor, entries = matrix
    if not steps:
        return
    building.tensors.hold(tensor, entries.reshape(-1))
    first = building.tensors.position(tensor)

    def links() -> Iterator[LinkBlock]:
        values = np.asarray(tensor.array(), dtype=np.float64).reshape(-1)[entries]
        for source, target in steps:
            rank = ranks(source)
            shape = entries.shape
            yield LinkBlock(
                np.broadcast_to(source, shape).reshape(-1),
                np.broadcast_to(target[:, None], shape).reshape(-1),
                values.reshape(-1),
                (first + entries).reshape(-1),
                None if rank is None else np.broadcast_to(rank, shape).reshape(-1),
            )

    building.link(into, len(steps) * entries.size, links)


def cell(operation: Operation, building: Building) -> None:
    """The cell states of an LSTM that was built before."""
    states = building.cells(operation.inputs[0])
    if states is None:
        raise ShapeMismatch(
            f"Layer {operation.name!r} gives the cell states of {operation.inputs[0]!r}, which is "
            "no LSTM."
        )
    building.give(operation, states)


FAMILY: Families = {**dict.fromkeys(("rnn", "lstm", "gru"), recurrent), "lstm_cell": cell}
