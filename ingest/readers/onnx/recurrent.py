"""ONNX's recurrent operators: one operation per direction.

ONNX stores the weights of both directions in one tensor, and the two biases of each in one row.
The operations share these tensors: ``direction_index`` says which row is theirs, and
``biases_joined`` that ``bias_ih`` holds the bias of the input and then that of the hidden state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from ingest.operations import Parameter
from ingest.readers.onnx.nodes import Constant, Held, Node, Shape, Value
from ingest.readers.onnx.walk import Handler, Walk

# The order of the gates along the weights, in the letters of the contract.
_GATES = {"RNN": "", "LSTM": "iofg", "GRU": "zrn"}
_ACTIVATIONS = {
    "RNN": (("tanh",), ("relu",)),
    "LSTM": (("sigmoid", "tanh", "tanh"),),
    "GRU": (("sigmoid", "tanh"),),
}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class _Layout:
    """Where the axes stand: time and batch in sequences, directions in sequences and states."""

    first: bool

    @property
    def batch(self) -> int:
        return 0 if self.first else 1

    def sequence(self, steps: int, directions: int, hidden: int) -> tuple[Shape, int]:
        """Shape of all hidden states, and the batch axis."""
        if self.first:
            return (1, steps, directions, hidden), 0
        return (steps, directions, 1, hidden), 2

    def state(self, directions: int, hidden: int) -> tuple[Shape, int]:
        """Shape of the last states, and the batch axis."""
        return ((1, directions, hidden), 0) if self.first else ((directions, 1, hidden), 1)


def recurrent(node: Node, walk: Walk) -> Sequence[Value]:
    """RNN, LSTM and GRU."""
    layout = _Layout(bool(node.whole("layout", 0)))
    direction = node.text("direction", "forward")
    reverses = _DIRECTIONS.get(direction)
    if reverses is None:
        raise node.refused(f" with the direction {direction[:20]!r}")
    activation = _activation(node, len(reverses))
    if "clip" in node.attributes:
        raise node.refused(" with clip")
    node.only("input_forget", 0)
    given = walk.sample(node, node.held(0), layout.batch)
    steps, features = given.sample
    parameters, hidden = _tensors(node, walk, len(reverses), features)
    if node.has(4) and set(node.constant(4, "sequence lengths").integers) != {steps}:
        raise node.refused(" of sequences of several lengths")
    if node.has(7):
        raise node.refused(" with peepholes")
    attributes: dict[str, Any] = {"layout": "target_source"}
    if node.operator == "RNN":
        attributes["activation"] = activation
    else:
        attributes["gates"] = _GATES[node.operator]
    if node.operator == "GRU":
        attributes["reset_after"] = bool(node.whole("linear_before_reset", 0))
    states = _initial(node, walk, layout, len(reverses), hidden)
    outs, cells = [], []
    for index, reverse in enumerate(reverses):
        name = node.name if len(reverses) == 1 or not reverse else f"{node.name}.reverse"
        out = walk.emit(
            name,
            node.operator.lower(),
            [given, *(state[index] for state in states)],
            (steps, hidden),
            None,
            parameters=parameters,
            attributes={
                **attributes,
                "reverse": reverse,
                "direction_index": index,
                **({"biases_joined": True} if "bias_ih" in parameters else {}),
            },
        )
        outs.append(out)
        if node.operator == "LSTM":
            cells.append(walk.emit(f"{name}.cell", "lstm_cell", [out], (steps, hidden), None))
    return [
        _all(node, walk, layout, outs),
        _last(walk, layout, outs, reverses, f"{node.name}.last"),
        *([_last(walk, layout, cells, reverses, f"{node.name}.last_cell")] if cells else []),
    ]


def _activation(node: Node, directions: int) -> str:
    """The activation of an RNN; those of the others can only be the ones that they always have."""
    told = node.texts("activations")
    allowed = _ACTIVATIONS[node.operator]
    if told is None:
        return allowed[0][-1]
    found = tuple(text.lower() for text in told)
    for each in allowed:
        if found == each * directions:
            return each[-1]
    raise node.refused(f" with the activations {', '.join(told)[:60]}")


def _tensors(
    node: Node, walk: Walk, directions: int, features: int
) -> tuple[dict[str, Parameter], int]:
    """The weights and biases of all directions, and the number of hidden values."""
    tensors = {
        role: node.constant(index, role)
        for index, role in ((1, "weight_ih"), (2, "weight_hh"), (3, "bias_ih"))
        if node.has(index)
    }
    hidden = tensors["weight_hh"].shape[-1] if tensors["weight_hh"].shape else 0
    many = max(1, len(_GATES[node.operator])) * hidden
    expected = {
        "weight_ih": (directions, many, features),
        "weight_hh": (directions, many, hidden),
        "bias_ih": (directions, 2 * many),
    }
    for role, tensor in tensors.items():
        if tensor.shape != expected[role]:
            raise node.refused(f" with a {role} of the shape {tensor.shape}")
    if node.whole("hidden_size", hidden) != hidden:
        raise node.refused(" with another hidden_size than its weights have")
    return {role: walk.parameter(tensor) for role, tensor in tensors.items()}, hidden


def _initial(
    node: Node, walk: Walk, layout: _Layout, directions: int, hidden: int
) -> list[list[Held]]:
    """The initial states of each direction; none at all where they are zeros."""
    places = (5, 6) if node.operator == "LSTM" else (5,)
    given = [node.value(place) if node.has(place) else None for place in places]
    if all(state is None or _zeros(state) for state in given):
        return []
    shape, batch = layout.state(directions, hidden)
    axis = 1 - batch
    zeros = Constant.of(f"{node.name}.zeros", np.zeros(shape, np.float32), TensorProto.FLOAT)
    found = []
    for state in given:
        whole = _state(node, walk, zeros if state is None else state, shape, batch)
        found.append(
            [
                walk.reshaped(
                    walk.sliced(whole, axis, (index, index + 1, 1), f"{node.name}.initial"),
                    (1, hidden),
                    0,
                    f"{node.name}.initial",
                )
                for index in range(directions)
            ]
        )
    return found


def _zeros(state: Held | Constant) -> bool:
    return isinstance(state, Constant) and not state.load().any()


def _state(node: Node, walk: Walk, state: Held | Constant, shape: Shape, batch: int) -> Held:
    if state.shape != shape:
        raise node.refused(f" with an initial state of the shape {state.shape}")
    if isinstance(state, Constant):
        return walk.operand(state, batch, node.name)
    return walk.sample(node, state, batch)


def _all(node: Node, walk: Walk, layout: _Layout, outs: Sequence[Held]) -> Held:
    """The hidden states at all times, with the directions on an axis of their own."""
    steps, hidden = outs[0].shape
    joined = outs[0]
    if len(outs) > 1:
        joined = walk.emit(
            f"{node.name}.directions", "concat", outs, (steps, len(outs) * hidden), None,
            attributes={"axis": -1},
        )  # fmt: skip
    shape, batch = layout.sequence(steps, len(outs), hidden)
    return walk.reshaped(joined, shape, batch, f"{node.name}.axes")


def _last(
    walk: Walk,
    layout: _Layout,
    outs: Sequence[Held],
    reverses: Sequence[bool],
    name: str,
) -> Held:
    """The states after the last step, which is the first in time for those that go backward."""
    steps, hidden = outs[0].shape
    ends = [
        walk.sliced(out, 0, (0, 1, 1) if reverse else (steps - 1, steps, 1), name)
        for out, reverse in zip(outs, reverses, strict=True)
    ]
    joined = ends[0]
    if len(ends) > 1:
        joined = walk.emit(
            f"{name}.directions", "concat", ends, (len(ends), hidden), None,
            attributes={"axis": -2},
        )  # fmt: skip
    shape, batch = layout.state(len(outs), hidden)
    return walk.reshaped(joined, shape, batch, f"{name}.axes")


TABLE: Mapping[str, Handler] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
