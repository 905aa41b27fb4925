"""Small torch models of sequences: attention and recurrent layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.modelling import Example, Function, parameter, prepared

# -- attention -----------------------------------------------------------------------------------


class ViT(nn.Module):
    """Patches, a class token, position embeddings, an encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 3, stride=3)
        self.class_token = parameter(1, 1, 8)
        self.positions = parameter(1, 5, 8)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True),
            2,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Any:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return self.head(self.encoder(x + self.positions)[:, 0])


def vit() -> Example:
    return prepared(ViT(), 1, 6, 6)


class GPT(nn.Module):
    """A decoder with learned positions, tied embeddings and causal attention."""

    def __init__(self, *, written_out: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.positions = nn.Embedding(7, 8)
        self.norm = nn.LayerNorm(8)
        self.projections = nn.Linear(8, 24)
        self.output = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight
        self.written_out = written_out
        self.register_buffer("mask", torch.ones(7, 7).tril().view(1, 1, 7, 7))

    def forward(self, tokens: Tensor) -> Any:
        samples, length = tokens.shape
        x = self.tokens(tokens) + self.positions(torch.arange(length, device=tokens.device))
        parts = self.projections(self.norm(x)).split(8, dim=2)
        q, k, v = (part.view(samples, length, 2, 4).transpose(1, 2) for part in parts)
        if self.written_out:
            scores = (q @ k.transpose(-2, -1)) * 0.5
            mask: Any = self.mask
            seen = mask[:, :, :length, :length] == 0
            mixed = scores.masked_fill(seen, float("-inf")).softmax(-1) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).contiguous().view(samples, length, 8)
        return self.head(x + self.output(mixed))


def gpt() -> Example:
    return prepared(GPT(written_out=False), 5, vocabulary=11)


def gpt_written_out() -> Example:
    return prepared(GPT(written_out=True), 5, vocabulary=11)


class Llama(nn.Module):
    """RMS norms, rotated positions, heads that share keys, a gated unit."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(9, 8)
        self.norm = nn.RMSNorm(8, eps=1e-6)
        self.q = nn.Linear(8, 16, bias=False)
        self.k = nn.Linear(8, 8, bias=False)
        self.v = nn.Linear(8, 8, bias=False)
        self.o = nn.Linear(16, 8, bias=False)
        self.gate = nn.Linear(8, 12, bias=False)
        self.up = nn.Linear(8, 12, bias=False)
        self.down = nn.Linear(12, 8, bias=False)
        self.register_buffer("frequencies", 1 / 10 ** torch.tensor([0.0, 0.5]), persistent=False)

    def rotated(self, x: Tensor) -> Tensor:
        frequencies: Any = self.frequencies
        angles = torch.outer(torch.arange(x.shape[2], dtype=torch.float32), frequencies)
        angles = torch.cat([angles, angles], dim=-1)
        turned = torch.cat([-x[..., 2:], x[..., :2]], dim=-1)
        return x * angles.cos() + turned * angles.sin()

    def forward(self, tokens: Tensor) -> Any:
        x = self.tokens(tokens)
        samples, length, _ = x.shape
        normed = self.norm(x)
        q = self.rotated(self.q(normed).view(samples, length, 4, 4).transpose(1, 2))
        k = self.rotated(self.k(normed).view(samples, length, 2, 4).transpose(1, 2))
        v = self.v(normed).view(samples, length, 2, 4).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(samples, length, 16))
        return x + self.down(functional.silu(self.gate(x)) * self.up(x))


def llama() -> Example:
    return prepared(Llama(), 5, vocabulary=9)


def self_attention() -> Example:
    """Multi-head attention whose weights are asked for too, so that it is written out."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    return prepared(Function(lambda model, x: model.attention(x, x, x), attention=attention), 5, 8)


def cross_attention() -> Example:
    """Learned queries, keys and values of other sizes, no biases."""

    def forward(model: Any, x: Tensor) -> Any:
        queries = model.queries.expand(x.shape[0], -1, -1)
        return model.attention(queries, x, x, need_weights=False)[0]

    attention = nn.MultiheadAttention(8, 2, bias=False, kdim=6, vdim=6, batch_first=True)
    return prepared(Function(forward, attention=attention, queries=parameter(1, 3, 8)), 5, 6)


def transformer() -> Example:
    """An encoder and a decoder, the sequence first."""

    def forward(model: Any, x: Tensor) -> Any:
        x = x.transpose(0, 1)
        return model.both(x, x[1:]).transpose(0, 1)

    return prepared(Function(forward, both=nn.Transformer(8, 2, 1, 1, 12)), 5, 8)


# -- recurrent -----------------------------------------------------------------------------------


def lstm() -> Example:
    """Two stacks, both directions, and a layer on the last states."""

    def forward(model: Any, x: Tensor) -> Any:
        outputs, (hidden, cells) = model.lstm(x)
        return model.head(outputs[:, -1]), torch.cat([hidden[-1], hidden[-2]], -1), cells[0]

    layers = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True, dropout=0.1)
    return prepared(Function(forward, lstm=layers, head=nn.Linear(6, 2)), 5, 4)


def gru() -> Example:
    """Tokens, and a learned state before the first one."""

    def forward(model: Any, tokens: Tensor) -> Any:
        start = model.start.expand(1, tokens.shape[0], 4).contiguous()
        return model.head(model.gru(model.tokens(tokens), start)[0])

    return prepared(
        Function(
            forward,
            tokens=nn.Embedding(7, 3, padding_idx=0),
            gru=nn.GRU(3, 4, batch_first=True),
            head=nn.Linear(4, 7),
            start=parameter(1, 1, 4),
        ),
        5,
        vocabulary=7,
    )


def rnn() -> Example:
    """The sequence first, ReLU, no biases."""

    def forward(model: Any, x: Tensor) -> Any:
        return model.head(model.rnn(x.transpose(0, 1))[1][0])

    layer = nn.RNN(4, 5, nonlinearity="relu", bias=False)
    return prepared(Function(forward, rnn=layer, head=nn.Linear(5, 2)), 4, 4)


def stepped_lstm() -> Example:
    """A cell that the model steps by itself."""

    def forward(model: Any, x: Tensor) -> Any:
        state = None
        for step in range(3):
            state = model.cell(x[:, step], state)
        return state

    return prepared(Function(forward, cell=nn.LSTMCell(4, 3)), 3, 4)
