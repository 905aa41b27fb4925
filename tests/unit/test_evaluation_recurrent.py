"""Recurrent layers against torch's modules, and against loops by hand where torch has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor, nn

from queries.evaluation import evaluate, lstm_states

BATCH, TIMES, FEATURES, SIZE = 3, 6, 5, 4
AS_TORCH: dict[str, dict[str, Any]] = {
    "rnn": {"activation": "tanh"},
    "lstm": {"gates": ("i", "f", "g", "o")},
    "gru": {"gates": ("r", "z", "n"), "reset_after": True},
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def tensors_of(module: nn.RNNBase, suffix: str = "_l0") -> dict[str, NDArray[Any]]:
    return {
        key.removesuffix(suffix): tensor.detach().numpy()
        for key, tensor in module.named_parameters()
        if key.endswith(suffix)
    }


def attributes_of(kind: str, **more: Any) -> dict[str, Any]:
    return {"reverse": False, **AS_TORCH[kind], **more}


def module_of(kind: str, **options: Any) -> nn.RNNBase:
    makers: Any = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    module: nn.RNNBase = makers[kind](
        FEATURES, SIZE, batch_first=True, dtype=torch.float64, **options
    )
    return module


def close(got: Any, expected: Any) -> None:
    assert got.shape == tuple(expected.shape)
    assert_allclose(got, torch.as_tensor(expected).detach().numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("states", [0, 1])
def test_against_torch(kind: str, bias: bool, states: int) -> None:
    module, x = module_of(kind, bias=bias), random(BATCH, TIMES, FEATURES)
    h, c = random(BATCH, SIZE), random(BATCH, SIZE)
    initial = (h, c) if kind == "lstm" else (h,)
    given = initial if states else ()
    whole = tuple(state[None] for state in given)
    expected, _ = module(x, (whole if kind == "lstm" else whole[0]) if whole else None)
    inputs = [value.numpy() for value in (x, *given)]
    close(evaluate(kind, attributes_of(kind), inputs, tensors_of(module)), expected)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_both_directions_of_two_stacks(kind: str) -> None:
    module, x = module_of(kind, num_layers=2, bidirectional=True), random(BATCH, TIMES, FEATURES)
    values = x.numpy()
    for stack in ("_l0", "_l1"):
        values = np.concatenate(
            [
                evaluate(
                    kind,
                    attributes_of(kind, reverse=reverse),
                    [values],
                    tensors_of(module, f"{stack}_reverse" if reverse else stack),
                )
                for reverse in (False, True)
            ],
            axis=-1,
        )
    close(values, module(x)[0])


def test_rnn_with_relu() -> None:
    module, x = module_of("rnn", nonlinearity="relu"), random(BATCH, TIMES, FEATURES)
    got = evaluate("rnn", attributes_of("rnn", activation="relu"), [x.numpy()], tensors_of(module))
    close(got, module(x)[0])
    assert (got == 0).any()


@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_states(reverse: bool) -> None:
    """torch's cell gives both states of each step."""
    module, x = module_of("lstm"), random(BATCH, TIMES, FEATURES)
    h, c = random(BATCH, SIZE), random(BATCH, SIZE)
    cell = nn.LSTMCell(FEATURES, SIZE, dtype=torch.float64)
    cell.load_state_dict(
        {key.removesuffix("_l0"): value for key, value in module.state_dict().items()}
    )
    hidden: dict[int, Tensor] = {}
    cells: dict[int, Tensor] = {}
    state = (h, c)
    for time in sorted(range(TIMES), reverse=reverse):
        state = cell(x[:, time], state)
        hidden[time], cells[time] = state
    inputs, tensors = [value.numpy() for value in (x, h, c)], tensors_of(module)
    attributes = attributes_of("lstm", reverse=reverse)
    found = lstm_states(attributes, inputs, tensors)
    close(found[0], torch.stack([hidden[time] for time in range(TIMES)], 1))
    close(found[1], torch.stack([cells[time] for time in range(TIMES)], 1))
    assert (evaluate("lstm", attributes, inputs, tensors) == found[0]).all()
    assert (evaluate("lstm_cell", attributes, inputs, tensors) == found[1]).all()


def reordered(tensor: NDArray[Any], old: Sequence[str], new: Sequence[str]) -> NDArray[Any]:
    blocks = dict(zip(old, np.split(tensor, len(old)), strict=True))
    return np.concatenate([blocks[gate] for gate in new])


@pytest.mark.parametrize(
    ("kind", "gates"), [("lstm", "iofg"), ("lstm", ("i", "g", "f", "o")), ("gru", ("z", "r", "n"))]
)
def test_gates_in_another_order(kind: str, gates: Sequence[str]) -> None:
    module, x = module_of(kind), random(BATCH, TIMES, FEATURES)
    tensors = {
        role: reordered(tensor, AS_TORCH[kind]["gates"], gates)
        for role, tensor in tensors_of(module).items()
    }
    close(evaluate(kind, attributes_of(kind, gates=gates), [x.numpy()], tensors), module(x)[0])


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("absent", ["bias_ih", "bias_hh"])
def test_one_bias_may_be_absent(kind: str, absent: str) -> None:
    module, x = module_of(kind), random(BATCH, TIMES, FEATURES)
    getattr(module, f"{absent}_l0").data.zero_()
    tensors = {role: tensor for role, tensor in tensors_of(module).items() if role != absent}
    close(evaluate(kind, attributes_of(kind), [x.numpy()], tensors), module(x)[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_gru_that_resets_before_the_product(reverse: bool, bias: bool) -> None:
    """As Keras does with reset_after=False and ONNX with linear_before_reset=0."""

    def sigmoid(x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(1 / (1 + np.exp(-x)))

    module, x = module_of("gru"), random(BATCH, TIMES, FEATURES).numpy()
    state = random(BATCH, SIZE).numpy()
    tensors = tensors_of(module)
    if not bias:
        tensors = {role: tensor for role, tensor in tensors.items() if role.startswith("weight")}
    zeros = np.zeros(3 * SIZE)
    w_r, w_z, w_n = np.split(tensors["weight_ih"], 3)
    u_r, u_z, u_n = np.split(tensors["weight_hh"], 3)
    b_r, b_z, b_n = np.split(tensors.get("bias_ih", zeros) + tensors.get("bias_hh", zeros), 3)
    expected = np.empty((BATCH, TIMES, SIZE))
    for row in range(BATCH):
        h = state[row]
        for time in sorted(range(TIMES), reverse=reverse):
            now = x[row, time]
            r = sigmoid(w_r @ now + u_r @ h + b_r)
            z = sigmoid(w_z @ now + u_z @ h + b_z)
            h = z * h + (1 - z) * np.tanh(w_n @ now + u_n @ (r * h) + b_n)
            expected[row, time] = h
    attributes = attributes_of("gru", reset_after=False, reverse=reverse)
    close(evaluate("gru", attributes, [x, state], tensors), expected)


def test_an_initial_state_that_is_a_parameter() -> None:
    module, x, h = module_of("gru"), random(BATCH, TIMES, FEATURES), random(1, SIZE)
    got = evaluate("gru", attributes_of("gru"), [x.numpy(), h.numpy()], tensors_of(module))
    close(got, module(x, h.expand(BATCH, SIZE)[None])[0])


def test_an_lstm_with_an_initial_hidden_state_alone() -> None:
    module, x, h = module_of("lstm"), random(BATCH, TIMES, FEATURES), random(BATCH, SIZE)
    got = evaluate("lstm", attributes_of("lstm"), [x.numpy(), h.numpy()], tensors_of(module))
    close(got, module(x, (h[None], torch.zeros_like(h)[None]))[0])
