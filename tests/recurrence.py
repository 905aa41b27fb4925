"""Recurrent layers of an operation graph, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ingest.operations import Operation
from tests.functions import FUNCTIONS

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def states(
    operation: Operation, inputs: Sequence[Tensor], tensors: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """The hidden states at all times, and those of the cell, which only an lstm has."""
    given, kind, sequence = operation.attributes, operation.kind, inputs[0]
    if "direction_index" in given:
        tensors = {role: tensor[given["direction_index"]] for role, tensor in tensors.items()}
    weight_ih, weight_hh = tensors["weight_ih"], tensors["weight_hh"]
    if given.get("biases_joined") and "bias_ih" in tensors:
        ours, theirs = tensors["bias_ih"].reshape(2, -1)
        tensors = {**tensors, "bias_ih": ours, "bias_hh": theirs}
    if given["layout"] == "source_target":
        weight_ih, weight_hh = weight_ih.T, weight_hh.T
    size = weight_hh.shape[1]
    nothing = torch.zeros(GATES[kind] * size, dtype=torch.float64)
    bias_ih = tensors.get("bias_ih", nothing).reshape(-1)
    bias_hh = tensors.get("bias_hh", nothing).reshape(-1)
    start = torch.zeros(len(sequence), size, dtype=torch.float64)
    hidden, cell = [*inputs[1:], *(start,) * (3 - len(inputs))]
    steps = range(sequence.shape[1])
    hiddens, cells = {}, {}
    for step in reversed(steps) if given.get("reverse", False) else steps:
        from_input = sequence[:, step] @ weight_ih.T + bias_ih
        from_hidden = hidden @ weight_hh.T + bias_hh
        if kind == "rnn":
            function = FUNCTIONS[given["activation"]]
            hidden = function(from_input + from_hidden)
        elif kind == "lstm":
            gate = dict(
                zip(given["gates"], (from_input + from_hidden).split(size, -1), strict=True)
            )
            cell = gate["f"].sigmoid() * cell + gate["i"].sigmoid() * gate["g"].tanh()
            hidden = gate["o"].sigmoid() * cell.tanh()
        else:
            ours = dict(zip(given["gates"], from_input.split(size, -1), strict=True))
            theirs = dict(zip(given["gates"], from_hidden.split(size, -1), strict=True))
            reset = (ours["r"] + theirs["r"]).sigmoid()
            update = (ours["z"] + theirs["z"]).sigmoid()
            if given["reset_after"]:
                new = (ours["n"] + reset * theirs["n"]).tanh()
            else:
                first = given["gates"].index("n") * size
                of_new = slice(first, first + size)
                again = (reset * hidden) @ weight_hh[of_new].T + bias_hh[of_new]
                new = (ours["n"] + again).tanh()
            hidden = (1 - update) * new + update * hidden
        hiddens[step], cells[step] = hidden, cell
    return (
        torch.stack([hiddens[step] for step in steps], 1),
        torch.stack([cells[step] for step in steps], 1),
    )
