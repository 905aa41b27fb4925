"""Attention, recurrent layers and embeddings, as torch computes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ingest.operations import OperationGraph
from ingest.readers.module import read_module
from store.errors import UnsupportedOperation
from tests.agreement import agreed
from tests.modelling import Function, parameter, prepared
from tests.sequence_models import GPT

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

SEQUENCE = (5, 8)
CAUSAL = nn.Transformer.generate_square_subsequent_mask(5)


def kinds(graph: OperationGraph) -> list[str]:
    """The kinds of a graph's operations."""
    return [operation.kind for operation in graph.operations]


# -- multi-head attention ------------------------------------------------------------------------


def itself(model: Any, x: Tensor) -> Any:
    return model.attention(x, x, x)[0]


def without_weights(model: Any, x: Tensor) -> Any:
    return model.attention(x, x, x, need_weights=False)[0]


def sequence_first(model: Any, x: Tensor) -> Any:
    x = x.transpose(0, 1)
    return model.attention(x, x, x, need_weights=False)[0].transpose(0, 1)


def masked(model: Any, x: Tensor) -> Any:
    return model.attention(x, x, x, attn_mask=model.mask)[0]


def masked_without_weights(model: Any, x: Tensor) -> Any:
    return model.attention(x, x, x, attn_mask=model.mask, need_weights=False)[0]


def padded(model: Any, x: Tensor) -> Any:
    padding = model.mask.expand(x.shape[0], -1)
    return model.attention(x, x, x, key_padding_mask=padding)[0]


@pytest.mark.parametrize(
    ("compute", "options", "members"),
    [
        (itself, {}, {}),
        (itself, {"bias": False}, {}),
        (without_weights, {}, {}),
        (without_weights, {"bias": False}, {}),
        (without_weights, {"add_bias_kv": True, "add_zero_attn": True}, {}),
        (sequence_first, {"batch_first": False}, {}),
        (masked, {}, {"mask": torch.rand(5, 5)}),
        (masked, {}, {"mask": torch.rand(5, 5) > 0.8}),
        (masked, {}, {"mask": CAUSAL}),
        (masked_without_weights, {}, {"mask": CAUSAL}),
        (padded, {}, {"mask": torch.tensor([False, False, True, False, True])}),
    ],
)
@pytest.mark.parametrize("heads", [2, 4])
def test_multi_head_attention(
    compute: Callable[..., Any], options: dict[str, Any], members: dict[str, Any], heads: int
) -> None:
    attention = nn.MultiheadAttention(8, heads, **{"batch_first": True, **options})
    graph = agreed(*prepared(Function(compute, attention=attention, **members), *SEQUENCE))
    (operation,) = (each for each in graph.operations if each.kind == "attention")
    assert operation.attributes["causal"] == (members.get("mask") is CAUSAL)
    assert len(operation.inputs) == (4 if members and members["mask"] is not CAUSAL else 3)
    # Their names are those of the module's tensors.
    names = [each.name for each in graph.operations if each.kind == "linear"]
    assert names == ["attention.in_proj", "attention.out_proj"]


def test_one_head_and_weights_that_are_taken() -> None:
    attention = nn.MultiheadAttention(8, 1, batch_first=True)
    agreed(*prepared(Function(itself, attention=attention), *SEQUENCE))
    both = Function(lambda m, x: m.attention(x, x, x), attention=attention)
    assert "attention" not in kinds(agreed(*prepared(both, *SEQUENCE)))


def test_keys_and_values_of_a_stacked_matrix_are_parts_of_all() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    crossed = Function(lambda m, x: m.attention(x[:, :2], x, x)[0], attention=attention)
    graph = agreed(*prepared(crossed, *SEQUENCE))
    parts = [each for each in graph.operations if each.name.endswith(".targets")]
    assert [(each.attributes["start"], each.attributes["stop"]) for each in parts] == [
        (0, 8),
        (8, 24),
    ]


@pytest.mark.parametrize("module", [nn.MultiheadAttention(8, 2), nn.LSTM(8, 3), nn.RNN(8, 3)])
def test_a_sequence_that_is_taken_for_samples_is_refused(module: nn.Module) -> None:
    attention = isinstance(module, nn.MultiheadAttention)
    compute = without_weights if attention else lambda m, x: m.attention(x)[0]
    model, _ = prepared(Function(compute, attention=module), *SEQUENCE)
    with pytest.raises(UnsupportedOperation, match=r"over the batch axis|mixes samples"):
        read_module(model, SEQUENCE)


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoders_and_decoders(norm_first: bool) -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 12, norm_first=norm_first, activation="gelu")
    turned = Function(lambda m, x: m.inner(x.permute(1, 0, 2)).permute(1, 0, 2), inner=encoder)
    agreed(*prepared(turned, *SEQUENCE))
    decoder = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True, norm_first=norm_first)
    agreed(*prepared(Function(lambda m, x: m.inner(x[:, :3], x), inner=decoder), *SEQUENCE))


# -- attention itself ----------------------------------------------------------------------------

HEADS = (4, 5, 8)


def attention(*parts: Any, **options: Any) -> Callable[..., Any]:
    """Attention of parts of the input, along the axis of the heads."""
    return lambda m, x: m.fc(
        functional.scaled_dot_product_attention(*(x[:, part] for part in parts), **options)
    )


ALL = slice(None)


@pytest.mark.parametrize(
    ("compute", "causal"),
    [
        (attention(ALL, ALL, ALL), False),
        (attention(ALL, ALL, ALL, is_causal=True, scale=0.3), True),
        (attention(ALL, slice(0, 2), slice(2, 4), enable_gqa=True), False),
        (attention(ALL, slice(1, 2), slice(2, 3), enable_gqa=True, is_causal=True), True),
        (attention(slice(0, 1), ALL, ALL), False),
        (attention(ALL, ALL, ALL, attn_mask=torch.ones(5, 5).tril().bool()), True),
    ],
)
def test_heads(compute: Callable[..., Any], causal: bool) -> None:
    graph = agreed(*prepared(Function(compute, fc=nn.Linear(8, 3)), *HEADS))
    (operation,) = (each for each in graph.operations if each.kind == "attention")
    assert operation.attributes["causal"] == causal
    assert len(operation.inputs) == 3


@pytest.mark.parametrize(
    "mask",
    [
        torch.rand(5, 5),
        torch.rand(4, 1, 5),
        torch.rand(1, 1, 5, 5),
        torch.rand(5, 5) > 0.3,
        nn.Parameter(torch.rand(4, 5, 5)),
    ],
)
def test_masks(mask: Tensor) -> None:
    def compute(model: Any, x: Tensor) -> Any:
        return model.fc(functional.scaled_dot_product_attention(x, x, x, attn_mask=model.mask))

    graph = agreed(*prepared(Function(compute, fc=nn.Linear(8, 3), mask=mask), *HEADS))
    assert kinds(graph)[1:] == ["parameter", "attention", "linear"] or "reshape" in kinds(graph)


def test_a_part_of_a_greater_mask() -> None:
    def compute(model: Any, x: Tensor) -> Any:
        mask = model.mask[:, :, : x.shape[2], : x.shape[2]]
        return model.fc(functional.scaled_dot_product_attention(x, x, x, attn_mask=mask))

    lower = torch.ones(1, 1, 9, 9).tril().bool()
    graph = agreed(*prepared(Function(compute, fc=nn.Linear(8, 3), mask=lower), *HEADS))
    assert kinds(graph) == ["input", "attention", "linear"]


def test_attention_without_heads() -> None:
    model = Function(attention(ALL, ALL, ALL, is_causal=True), fc=nn.Linear(8, 3))
    agreed(*prepared(model, *SEQUENCE))


@pytest.mark.parametrize(
    ("compute", "says"),
    [
        (attention(ALL, ALL, ALL, dropout_p=0.5), "with dropout_p=0.5"),
        (
            lambda m, x: m.fc(
                functional.scaled_dot_product_attention(x[:, :, :3], x, x, is_causal=True)
            ),
            "that is causal, of 3 queries and 5 keys",
        ),
    ],
)
def test_attention_that_is_refused(compute: Callable[..., Any], says: str) -> None:
    model, _ = prepared(Function(compute, fc=nn.Linear(8, 3)), *HEADS)
    with pytest.raises(UnsupportedOperation, match=re.escape(says)):
        read_module(model, HEADS)


def test_attention_that_is_written_out_is_the_same() -> None:
    graphs = [read_module(GPT(written_out=written).eval(), (5,)) for written in (False, True)]
    fused, written = ([(o.kind, dict(o.attributes)) for o in g.operations] for g in graphs)
    assert fused == written


# -- recurrent layers ----------------------------------------------------------------------------

RECURRENT = [nn.LSTM, nn.GRU, nn.RNN]


@pytest.mark.parametrize("layer", RECURRENT)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"num_layers": 3, "dropout": 0.3},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "bias": False},
    ],
)
def test_all_outputs_and_final_states(layer: Any, options: dict[str, Any]) -> None:
    model = Function(lambda m, x: m.own(x), own=layer(8, 3, batch_first=True, **options))
    graph = agreed(*prepared(model, *SEQUENCE))
    kind = layer.__name__.lower()
    names = [operation.name for operation in graph.operations if operation.kind == kind]
    assert names == [
        f"own.l{number}{direction}"
        for number in range(options.get("num_layers", 1))
        for direction in ("", "_reverse")[: 2 if "bidirectional" in options else 1]
    ]


@pytest.mark.parametrize("layer", RECURRENT)
def test_the_sequence_first(layer: Any) -> None:
    model = Function(lambda m, x: m.layer(x.transpose(0, 1))[0], layer=layer(8, 3))
    graph = agreed(*prepared(model, *SEQUENCE))
    assert [operation.name for operation in graph.operations] == ["input", "layer.l0"]


@pytest.mark.parametrize("layer", RECURRENT)
def test_states_before_the_first_step(layer: Any) -> None:
    states = 2 if layer is nn.LSTM else 1

    def compute(model: Any, x: Tensor) -> Any:
        one = model.start.expand(2, x.shape[0], 4).contiguous()
        other = x.new_full((2, x.shape[0], 4), 0.5)
        return model.layer(x, (one, other) if states == 2 else one)[0]

    start, stacked = parameter(2, 1, 4), layer(8, 4, 2, batch_first=True)
    graph = agreed(*prepared(Function(compute, start=start, layer=stacked), *SEQUENCE))
    (first,) = (operation for operation in graph.operations if operation.name == "layer.l0")
    assert len(first.inputs) == 1 + states


def test_states_of_another_layer() -> None:
    def compute(model: Any, x: Tensor) -> Any:
        return model.decoder(x[:, :3], model.encoder(x)[1])[0]

    layers = {name: nn.LSTM(8, 4, batch_first=True) for name in ("encoder", "decoder")}
    graph = agreed(*prepared(Function(compute, **layers), *SEQUENCE))
    assert "lstm_cell" in kinds(graph)


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("bias", [False, True])
def test_cells(cell: Any, bias: bool) -> None:
    agreed(*prepared(cell(8, 4, bias=bias), 8))

    def compute(model: Any, x: Tensor) -> Any:
        state = model.cell(x[:, 0])
        return model.cell(x[:, 1], state)

    agreed(*prepared(Function(compute, cell=cell(8, 4, bias=bias)), *SEQUENCE))


def test_projections_are_refused() -> None:
    model, _ = prepared(nn.LSTM(8, 4, proj_size=2, batch_first=True), *SEQUENCE)
    with pytest.raises(UnsupportedOperation, match=r"lstm .* with projections"):
        read_module(model, SEQUENCE)


# -- tables --------------------------------------------------------------------------------------


def test_tokens_and_positions() -> None:
    def compute(model: Any, tokens: Tensor) -> Any:
        shown = model.numbers[:, : tokens.shape[1]]
        return model.fc(model.tokens(tokens) + model.positions(shown) + model.positions.weight[2])

    model = Function(
        compute,
        tokens=nn.Embedding(7, 4, padding_idx=0),
        positions=nn.Embedding(9, 4),
        numbers=torch.arange(9)[None],
        fc=nn.Linear(4, 2),
    )
    graph = agreed(*prepared(model, 5, vocabulary=7))
    assert graph.operations[0].attributes == {"integers": True}
    assert "numbers" in [tensor.name for tensor in graph.parameters]


def test_floats_for_a_model_whose_first_table_is_of_positions() -> None:
    def compute(model: Any, x: Tensor) -> Any:
        return model.fc(x) + model.positions(torch.tensor([4, 0, 0, 2, 1]))

    graph = agreed(
        *prepared(Function(compute, positions=nn.Embedding(5, 3), fc=nn.Linear(8, 3)), *SEQUENCE)
    )
    assert not graph.operations[0].attributes


def test_integers_for_a_model_whose_first_tensor_is_no_table() -> None:
    def compute(model: Any, tokens: Tensor) -> Any:
        return model.tokens(tokens) * model.scale

    model = Function(compute, scale=parameter(4), tokens=nn.Embedding(7, 4))
    graph = agreed(*prepared(model, 5, vocabulary=7))
    assert graph.operations[0].attributes == {"integers": True}
