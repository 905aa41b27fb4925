"""Keras' recurrent layers, in one direction or both, and layers applied at each step.

Operations give the states of all steps, each at the place of its step. Keras gives them in the
order in which they were computed, so that what goes backwards is turned round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.operations import Parameter
from ingest.readers.keras.layers import FAMILIES as PLAIN
from ingest.readers.keras.layers import NOISE, Family
from ingest.readers.keras.values import Step, Value
from ingest.readers.keras.weights import directions, wrapped
from ingest.readers.wording import reason

_KINDS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}
_GATES = {"LSTM": ("i", "f", "g", "o"), "GRU": ("z", "r", "n")}
_INITIAL = "initial_state"

# Applied to the last axis, or to each entry, so that a step more changes nothing.
_AT_EACH_STEP = ("Dense", "Activation", "ELU", "Identity", "LeakyReLU", "ReLU", *NOISE)


@dataclass(frozen=True)
class Direction:
    """What one recurrent layer computed.

    Parameters
    ----------
    states
        The operation that gives all hidden states, each at its step.
    size, length
        Of one hidden state, and number of the steps.
    backwards
        Whether the last step was computed first.
    sequence
        Whether the layer gives all states.
    """

    states: str
    size: int
    length: int
    backwards: bool
    sequence: bool


def recurrent(step: Step) -> list[Value]:
    """LSTM, GRU, SimpleRNN: its states or the last of them, and perhaps where it ended."""
    value, initial = _arguments(step)
    found = _direction(step, step.name, value, initial)
    result = _turned(step, found, step.name) if found.sequence else None
    ends = _ends(step, found, step.name) if step.flag("return_state") or result is None else []
    given = Value((found.length, found.size), result) if result is not None else ends[0]
    return [given, *ends] if step.flag("return_state") else [given]


def _arguments(step: Step) -> tuple[Value, list[Value]]:
    """The sequence, and the states to begin with."""
    if not step.inputs or not step.named.keys() <= {_INITIAL}:
        raise step.refused(f" of {len(step.inputs)} inputs")
    value, *others = step.inputs
    others += step.named.get(_INITIAL, ())
    step.unmasked(value)
    if len(value.shape) != 2:
        raise step.misfit(f"takes a sequence of vectors, not the shape {value.shape}")
    return value, others


def _direction(step: Step, name: str, value: Value, initial: Sequence[Value]) -> Direction:
    class_name, size = step.layer.class_name, step.whole("units")
    for key in ("stateful", "time_major"):
        if step.flag(key):
            raise step.refused(f" with {key}")
    expected = {"LSTM": 2, "GRU": 1, "SimpleRNN": 1}[class_name]
    if len(initial) not in (0, expected):
        raise step.refused(f" from {len(initial)} states")
    for state in initial:
        if state.shape != (size,):
            raise step.misfit(f"begins with {size} values, not with the shape {state.shape}")
    gates = len(_GATES.get(class_name, "h"))
    length, features = value.shape
    parameters = {
        "weight_ih": step.fitting("kernel", (features, gates * size)),
        "weight_hh": step.fitting("recurrent_kernel", (size, gates * size)),
    }
    attributes: dict[str, object] = {
        "layout": "source_target",
        "reverse": step.flag("go_backwards"),
    }
    if class_name in _GATES:
        attributes["gates"] = _GATES[class_name]
    attributes |= _functions(step)
    bias = step.weights.get("bias")
    if class_name == "GRU":
        after = step.config.get("reset_after", None if bias is None else len(bias.shape) == 2)
        if not isinstance(after, bool):
            raise step.refused(f" with the reset_after {reason(after)!r}")
        attributes["reset_after"] = after
        if bias is not None and after:
            # Row 0 is added to the product with weight_ih, row 1 to that with weight_hh.
            parameters["bias_ih"] = step.fitting("bias", (2, gates * size))
            attributes["biases_joined"] = True
            bias = None
    if bias is not None:
        parameters["bias_ih"] = step.fitting("bias", (gates * size,))
    states = step.operations.add(
        name,
        _KINDS[class_name],
        [step.operations.in_order(one, name) for one in (value, *initial)],
        (length, size),
        parameters,
        **attributes,
    )
    sequence = step.flag("return_sequences")
    return Direction(states, size, length, bool(attributes["reverse"]), sequence)


def _functions(step: Step) -> Mapping[str, object]:
    """The activation of a SimpleRNN; gates have theirs, and no other ones."""
    told = step.config.get("activation", "tanh")
    if step.layer.class_name == "SimpleRNN":
        if told not in ("tanh", "relu"):
            raise step.refused(f" with the activation {reason(told)!r}")
        return {"activation": told}
    gate = step.config.get("recurrent_activation", "sigmoid")
    for function, needed in ((told, "tanh"), (gate, "sigmoid")):
        if function != needed:
            raise step.refused(f" with the activation {reason(function)!r}, not {needed!r}")
    return {}


def _turned(step: Step, found: Direction, name: str, *, again: bool = False) -> str:
    """All states in the order in which they were computed, or in the opposite one."""
    if found.backwards == again:
        return found.states
    step.check_length(found.length)
    return step.operations.add(
        f"{name}.turned",
        "take",
        [found.states],
        (found.length, found.size),
        axis=-2,
        indices=tuple(reversed(range(found.length))),
    )


def _ends(step: Step, found: Direction, name: str) -> list[Value]:
    """The hidden state after the last step that was computed, and the cell's of an LSTM."""
    ends = [_end(step, found, found.states, name)]
    if step.layer.class_name == "LSTM" and step.flag("return_state"):
        shape = (found.length, found.size)
        cells = step.operations.add(f"{name}.cell", "lstm_cell", [found.states], shape)
        ends.append(_end(step, found, cells, f"{name}.cell"))
    return ends


def _end(step: Step, found: Direction, states: str, name: str) -> Value:
    start = 0 if found.backwards else found.length - 1
    last = step.operations.add(
        f"{name}.last",
        "slice",
        [states],
        (1, found.size),
        axis=-2,
        start=start,
        stop=start + 1,
        step=1,
    )
    shape = (found.size,)
    return Value(shape, step.operations.add(f"{name}.state", "reshape", [last], shape))


def bidirectional(step: Step) -> list[Value]:
    """The same sequence from its begin and from its end."""
    value, initial = _arguments(step)
    found: list[Direction] = []
    given: list[str] = []
    ends: list[Value] = []
    layers = directions(step.layer, step.operations.path)
    shared = ("return_sequences", "return_state", "stateful")
    if any(layers[0].config.get(key) != layers[1].config.get(key) for key in shared):
        raise step.refused(" of two layers that differ")
    half = len(initial) // 2
    for number, (layer, word) in enumerate(zip(layers, ("forward", "backward"), strict=True)):
        one = replace(step, layer=layer, weights=_of(step, f"{word}/"))
        name = f"{step.name}.{word}"
        part = initial[:half] if number == 0 else initial[half:]
        direction = _direction(one, name, value, part)
        found.append(direction)
        if one.flag("return_state") or not direction.sequence:
            ended = _ends(one, direction, name)
            ends += ended
        # Keras turns what the second layer gives round, whichever way it goes.
        given.append(
            _turned(one, direction, name, again=number == 1)
            if direction.sequence
            else str(ended[0].last)
        )
    if found[0].backwards == found[1].backwards:
        raise step.refused(" of two layers in one direction")
    result = _merged(step, found, given)
    return [result, *ends] if layers[0].config.get("return_state") else [result]


def _of(step: Step, prefix: str) -> dict[str, Parameter]:
    return {
        role.removeprefix(prefix): tensor
        for role, tensor in step.weights.items()
        if role.startswith(prefix)
    }


def _merged(step: Step, found: Sequence[Direction], given: Sequence[str]) -> Value:
    mode = step.config.get("merge_mode", "concat")
    sizes = [one.size for one in found]
    kind = {"concat": "concat", "sum": "add", "ave": "add", "mul": "product"}.get(str(mode))
    if kind is None:
        raise step.refused(f" with the merge_mode {reason(mode)!r}")
    if kind != "concat" and len(set(sizes)) != 1:
        raise step.misfit(f"cannot join states of {sizes[0]} and {sizes[1]} values")
    size = sum(sizes) if kind == "concat" else sizes[0]
    shape = (found[0].length, size) if found[0].sequence else (size,)
    attributes: dict[str, object] = {"axis": -1} if kind == "concat" else {}
    name = f"{step.name}.sum" if mode == "ave" else step.name
    made = step.operations.add(name, kind, given, shape, **attributes)
    if mode == "ave":
        made = step.operations.add(step.name, "times", [made], shape, factor=0.5)
    return Value(shape, made)


def time_distributed(step: Step) -> Value | list[Value]:
    """A layer at each step, of those to which steps are an axis like another."""
    layer = wrapped(step.layer, step.operations.path)
    if layer.class_name not in _AT_EACH_STEP or len(step.only().shape) < 2:
        raise step.refused(f" around {reason(layer.class_name)}")
    match layer.config.get("activation"):
        case {"config": {"axis": axis}} if axis not in (-1, [-1]):
            raise step.refused(f" over the axis {reason(axis)!r}")
    return PLAIN[layer.class_name](replace(step, layer=layer))


FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(_KINDS, recurrent),
    "Bidirectional": bidirectional,
    "TimeDistributed": time_distributed,
}
