"""Small torch models of every family, with random weights, each with an input for it.

Each has fewer than 5,000 values in its layers and fewer than 50,000 links, so that a test can write
it neuron by neuron.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.modelling import Example, Function, parameter, prepared
from tests.sequence_models import (
    cross_attention,
    gpt,
    gpt_written_out,
    gru,
    llama,
    lstm,
    rnn,
    self_attention,
    stepped_lstm,
    transformer,
    vit,
)

# -- dense ---------------------------------------------------------------------------------------


def mlp() -> Example:
    return prepared(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.GELU(), nn.Dropout(), nn.Linear(9, 4)),
        3,
        4,
    )


def normed_mlp() -> Example:
    """Every norm of vectors, and learned slopes."""
    return prepared(
        nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.PReLU(8), nn.Linear(8, 8), nn.LayerNorm(8),
            nn.PReLU(), nn.Linear(8, 8), nn.RMSNorm(8, eps=1e-3), nn.Linear(8, 3), nn.Softmax(-1),
        ),
        6,
    )  # fmt: skip


def residual_mlp() -> Example:
    """A residual connection with a learned scale per feature."""

    def forward(model: Any, x: Tensor) -> Any:
        hidden = functional.relu(model.first(x))
        return model.last(hidden + model.scale * model.inner(hidden) + model.shift)

    return prepared(
        Function(
            forward,
            first=nn.Linear(5, 7),
            inner=nn.Linear(7, 7),
            last=nn.Linear(7, 2),
            scale=parameter(7),
            shift=parameter(1),
        ),
        5,
    )


def gated_mlp() -> Example:
    """GLU and SwiGLU."""

    def forward(model: Any, x: Tensor) -> Any:
        hidden = model.glu(model.first(x))
        return model.last(functional.silu(model.gate(hidden)) * model.up(hidden))

    return prepared(
        Function(
            forward,
            first=nn.Linear(5, 12),
            glu=nn.GLU(),
            gate=nn.Linear(6, 8),
            up=nn.Linear(6, 8),
            last=nn.Linear(8, 3),
        ),
        5,
    )


def deep_sets() -> Example:
    """A layer that is equivariant to the order of the elements: x A + mean(x) B."""

    def forward(model: Any, x: Tensor) -> Any:
        hidden = torch.tanh(x @ model.own + x.mean(1, keepdim=True) @ model.pooled + model.bias)
        return model.last(hidden.amax(1))

    return prepared(
        Function(
            forward,
            own=parameter(4, 6),
            pooled=parameter(4, 6),
            bias=parameter(6),
            last=nn.Linear(6, 2),
        ),
        5,
        4,
    )


def mixer() -> Example:
    """Matrices along both axes of a table of patches."""

    def forward(model: Any, x: Tensor) -> Any:
        mixed = model.tokens(model.norm(x).transpose(1, 2)).transpose(1, 2)
        return model.head((x + mixed).mean(dim=1))

    return prepared(
        Function(
            forward,
            norm=nn.LayerNorm(6),
            tokens=nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 5)),
            head=nn.Linear(6, 3),
        ),
        5,
        6,
    )


# -- convolutions --------------------------------------------------------------------------------


def lenet() -> Example:
    return prepared(
        nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1),
            nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 5),
        ),
        1, 10, 10,
    )  # fmt: skip


def strided_conv() -> Example:
    """Stride, dilation and groups on an image that is not a square."""
    return prepared(
        nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, dilation=(1, 2), bias=False),
        ),
        4, 7, 9,
    )  # fmt: skip


def same_conv() -> Example:
    """Padding that is greater behind than before, and by other values than 0."""
    return prepared(
        nn.Sequential(
            nn.Conv2d(2, 3, (3, 4), padding="same", dilation=(1, 2)),
            nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(3, 2, (2, 4), padding="same", padding_mode="circular"),
            nn.Conv2d(2, 2, 3, padding=2, padding_mode="replicate"),
        ),
        2, 6, 7,
    )  # fmt: skip


def ceil_pools() -> Example:
    """Windows that reach beyond the end."""
    return prepared(
        nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
            nn.AvgPool2d(2, 2, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(18, 3),
        ),
        2, 10, 8,
    )  # fmt: skip


class BasicBlock(nn.Module):
    """Of a ResNet."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, x: Tensor) -> Any:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.downsample(x)
        return self.relu(out)


def resnet() -> Example:
    return prepared(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True),
            BasicBlock(3, 3, 1), BasicBlock(3, 4, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 3),
        ),
        1, 6, 6,
    )  # fmt: skip


def separable_conv() -> Example:
    """Depthwise and pointwise, with a squeeze that scales channels."""

    def forward(model: Any, x: Tensor) -> Any:
        x = functional.hardswish(model.norm(model.pointwise(model.depthwise(x))))
        gates = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(model.excite(functional.relu(model.squeeze(gates))))

    return prepared(
        Function(
            forward,
            depthwise=nn.Conv2d(3, 3, 3, padding=1, groups=3),
            pointwise=nn.Conv2d(3, 6, 1),
            norm=nn.GroupNorm(2, 6),
            squeeze=nn.Conv2d(6, 2, 1),
            excite=nn.Conv2d(2, 6, 1),
        ),
        3, 5, 4,
    )  # fmt: skip


def dense_block() -> Example:
    """Channels that are put together, as in a DenseNet and a U-Net."""

    def forward(model: Any, x: Tensor) -> Any:
        down = model.down(x)
        up = model.up(functional.relu(down))
        return model.last(torch.cat([x, up], dim=1))

    return prepared(
        Function(
            forward,
            down=nn.Conv2d(2, 4, 3, stride=2, padding=1),
            up=nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
            last=nn.Conv2d(5, 1, 1),
        ),
        2, 6, 8,
    )  # fmt: skip


def decoder_conv() -> Example:
    """Images that grow: transposed with groups, nearest neighbours, pixels from channels."""
    return prepared(
        nn.Sequential(
            nn.Linear(4, 16), nn.Unflatten(1, (4, 2, 2)),
            nn.ConvTranspose2d(4, 4, (3, 2), (2, 1), (1, 0), (1, 0), groups=2),
            nn.InstanceNorm2d(4, affine=True), nn.Upsample(scale_factor=2), nn.PixelShuffle(2),
            nn.ZeroPad2d((0, 1, -1, 0)),
        ),
        4,
    )  # fmt: skip


def conv_1d() -> Example:
    return prepared(
        nn.Sequential(
            nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), nn.ELU(), nn.MaxPool1d(2),
            nn.Conv1d(3, 4, 2), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(4, 2),
        ),
        2, 9,
    )  # fmt: skip


def conv_3d() -> Example:
    return prepared(
        nn.Sequential(nn.Conv3d(1, 2, (1, 2, 3)), nn.BatchNorm3d(2), nn.AvgPool3d(2)), 1, 4, 5, 6
    )


MODELS: dict[str, Callable[[], Example]] = {
    factory.__name__: factory
    for factory in (
        mlp, normed_mlp, residual_mlp, gated_mlp, deep_sets, mixer,
        lenet, strided_conv, same_conv, ceil_pools, resnet, separable_conv, dense_block,
        decoder_conv, conv_1d, conv_3d,
        vit, gpt, gpt_written_out, llama, self_attention, cross_attention, transformer,
        lstm, gru, rnn, stepped_lstm,
    )
}  # fmt: skip
