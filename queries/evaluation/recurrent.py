"""Layers that run along a sequence, one stack and direction at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import expit

from queries import activations
from queries.evaluation.shapes import Array, Attributes, Family, Inputs, Tensors


def rnn(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Hidden states of a plain recurrent layer at all times."""
    function = activations.FUNCTIONS[attributes["activation"]]
    total = _from_inputs(inputs, tensors) + tensors.get("bias_hh", 0.0)
    (hidden,) = _initial(inputs, tensors, 1)
    hiddens = np.empty((*total.shape[:2], hidden.shape[1]))
    for time in _times(attributes, inputs):
        hidden = function(total[:, time] + hidden @ tensors["weight_hh"].T)
        hiddens[:, time] = hidden
    return hiddens


def lstm_states(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> tuple[Array, Array]:
    """Hidden and cell states of an LSTM at all times, each (batch, T, H).

    Parameters
    ----------
    attributes, tensors
        Of the ``lstm``.
    inputs
        The sequence (batch, T, features), and perhaps the initial hidden state (batch, H), and
        perhaps the initial cell state.
    """
    total = _from_inputs(inputs, tensors) + tensors.get("bias_hh", 0.0)
    hidden, cell = _initial(inputs, tensors, 2)
    hiddens = np.empty((*total.shape[:2], hidden.shape[1]))
    cells = np.empty_like(hiddens)
    for time in _times(attributes, inputs):
        gate = _gates(total[:, time] + hidden @ tensors["weight_hh"].T, attributes)
        cell = expit(gate["f"]) * cell + expit(gate["i"]) * np.tanh(gate["g"])
        hidden = expit(gate["o"]) * np.tanh(cell)
        hiddens[:, time], cells[:, time] = hidden, cell
    return hiddens, cells


def lstm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Hidden states of an LSTM at all times."""
    return lstm_states(attributes, inputs, tensors)[0]


def lstm_cell(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Cell states of an LSTM at all times, from what the ``lstm`` itself takes."""
    return lstm_states(attributes, inputs, tensors)[1]


def gru(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Hidden states of a GRU at all times; its reset gate acts before or after the product."""
    from_inputs = _from_inputs(inputs, tensors)
    (hidden,) = _initial(inputs, tensors, 1)
    recurrent = _gates(tensors["weight_hh"].T, attributes)
    bias = _gates(tensors.get("bias_hh", np.zeros(len(tensors["weight_hh"]))), attributes)
    hiddens = np.empty((*from_inputs.shape[:2], hidden.shape[1]))
    for time in _times(attributes, inputs):
        gate = _gates(from_inputs[:, time], attributes)
        reset = expit(gate["r"] + hidden @ recurrent["r"] + bias["r"])
        update = expit(gate["z"] + hidden @ recurrent["z"] + bias["z"])
        if attributes["reset_after"]:
            remembered = reset * (hidden @ recurrent["n"] + bias["n"])
        else:
            remembered = (reset * hidden) @ recurrent["n"] + bias["n"]
        hidden = (1 - update) * np.tanh(gate["n"] + remembered) + update * hidden
        hiddens[:, time] = hidden
    return hiddens


def gate_sums(attributes: Attributes, inputs: Inputs, tensors: Tensors, hiddens: Array) -> Array:
    """What each gate receives over its links, with its biases, at all times: (batch, T, gates x H).

    Parameters
    ----------
    hiddens
        The hidden states at all times, as the layer computed them.
    """
    before = np.empty_like(hiddens)
    (start,) = _initial(inputs[:2], tensors, 1)
    times = _times(attributes, inputs)
    before[:, times[0]] = start
    for earlier, time in pairwise(times):
        before[:, time] = hiddens[:, earlier]
    recurrent = before @ tensors["weight_hh"].T + tensors.get("bias_hh", 0.0)
    return np.asarray(_from_inputs(inputs, tensors) + recurrent)


def _from_inputs(inputs: Inputs, tensors: Tensors) -> Array:
    """What the gates receive from the sequence, at all times."""
    sequence = inputs[0]
    # A sequence or state that is a parameter is the same one for all samples.
    batch = max(len(value) for value in inputs)
    sequence = np.broadcast_to(sequence, (batch, *sequence.shape[1:]))
    return np.asarray(sequence @ tensors["weight_ih"].T + tensors.get("bias_ih", 0.0))


def _initial(inputs: Inputs, tensors: Tensors, count: int) -> list[Array]:
    """The states before the first step: those given, and zeros."""
    shape = (max(len(value) for value in inputs), tensors["weight_hh"].shape[1])
    given = [np.broadcast_to(state, shape) for state in inputs[1:]]
    return [*given, *(np.zeros(shape) for _ in range(count - len(given)))]


def _times(attributes: Attributes, inputs: Inputs) -> Sequence[int]:
    times = range(inputs[0].shape[1])
    return times[::-1] if attributes["reverse"] else times


def _gates(blocks: Array, attributes: Attributes) -> dict[str, Array]:
    """The blocks along the last axis by the letters of their gates."""
    gates = attributes["gates"]
    return dict(zip(gates, np.split(blocks, len(gates), axis=-1), strict=True))


FAMILY: Family = {"rnn": rnn, "lstm": lstm, "lstm_cell": lstm_cell, "gru": gru}
