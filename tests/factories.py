"""Functions that ``--factory`` names in tests, and the architectures of published weights.

The networks are written from the packages that carry their weights, which are not imported: they
want libraries that have nothing to do with the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)))  # type: ignore[no-any-return]


def dense() -> nn.Module:
    return Dense()


def half_precision() -> nn.Module:
    return Dense().half()


def without_memory() -> nn.Module:
    with torch.device("meta"):
        return Dense()


def counting() -> nn.Module:
    module = Dense()
    module.register_buffer("count", torch.tensor(3))
    return module


class _Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("shift", torch.arange(3.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + self.get_buffer("shift"))  # type: ignore[no-any-return]


def with_a_constant() -> nn.Module:
    return _Shifted()


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    module[2].weight = module[0].weight
    return module


def data_parallel() -> nn.Module:
    return nn.DataParallel(Dense())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3))


def raising() -> nn.Module:
    raise RuntimeError("no weights\nin this house")


def leaving() -> nn.Module:
    raise SystemExit(3)


def wanting(size: int) -> nn.Module:
    return nn.Linear(size, size)


def no_module() -> object:
    return {"first.weight": 1}


NUMBER = 3


def digit_recognizer() -> nn.Module:
    """The network of the package ``digit_recognizer``: images of (1, 28, 28)."""
    return _Digits()


class _Digits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for sources, targets in ((1, 32), (32, 64), (64, 128)):
            blocks += [nn.Conv2d(sources, targets, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2)]
        self.conv_layers = nn.Sequential(*blocks)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_layers(x)
        return self.fc_layers(x.view(x.size(0), -1))  # type: ignore[no-any-return]


class _Cascade(nn.Module):
    """What the three networks of MTCNN have in common: convolutions, then dense heads.

    A stage is (kernel, targets, pooling kernel or 0); all pooling goes in steps of 2.
    """

    def __init__(
        self, stages: list[tuple[int, int, int]], dense: tuple[int, int], heads: list[int]
    ) -> None:
        super().__init__()
        sources = 3
        self.pooling = [pooling for _, _, pooling in stages]
        for number, (kernel, targets, _) in enumerate(stages, 1):
            self.add_module(f"conv{number}", nn.Conv2d(sources, targets, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(targets))
            sources = targets
        self.after = len(stages) + 1
        self.add_module(f"dense{self.after}", nn.Linear(*dense))
        self.add_module(f"prelu{self.after}", nn.PReLU(dense[1]))
        self.heads = len(heads)
        for number, targets in enumerate(heads, 1):
            self.add_module(f"dense{self.after + 1}_{number}", nn.Linear(dense[1], targets))

    def _apply_layer(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(name)(x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        for number, pooling in enumerate(self.pooling, 1):
            x = self._apply_layer(f"prelu{number}", self._apply_layer(f"conv{number}", x))
            if pooling:
                x = functional.max_pool2d(x, pooling, 2, ceil_mode=True)
        x = x.permute(0, 3, 2, 1).contiguous().view(x.shape[0], -1)
        x = self._apply_layer(f"prelu{self.after}", self._apply_layer(f"dense{self.after}", x))
        probabilities, *others = (
            self._apply_layer(f"dense{self.after + 1}_{number}", x)
            for number in range(1, self.heads + 1)
        )
        return *others, torch.softmax(probabilities, 1)


class _PNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.softmax4_1 = nn.Conv2d(32, 2, 1), nn.Softmax(dim=1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.softmax4_1(self.conv4_1(x))


def pnet() -> nn.Module:
    """MTCNN's first network, of the package ``facenet_pytorch``: images of (3, 12, 12) or more."""
    return _PNet()


def rnet() -> nn.Module:
    """MTCNN's second network: images of (3, 24, 24)."""
    return _Cascade([(3, 28, 3), (3, 48, 3), (2, 64, 0)], (576, 128), [2, 4])


def onet() -> nn.Module:
    """MTCNN's third network: images of (3, 48, 48)."""
    stages = [(3, 32, 3), (3, 64, 3), (3, 64, 2), (2, 128, 0)]
    return _Cascade(stages, (1152, 256), [2, 4, 10])


class _SileroVad(nn.Module):
    """One frame of speech detection, from a fresh state; written from its tinygrad model."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x.unsqueeze(1), (0, 64), mode="reflect")
        x = self.stft_conv(x)
        x = (x[:, :129] ** 2 + x[:, 129:] ** 2).sqrt()
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = torch.relu(layer(x))
        hidden, _ = self.lstm_cell(x.squeeze(-1))
        x = torch.sigmoid(self.final_conv(torch.relu(hidden.unsqueeze(-1))))
        return x.squeeze(1).mean(1, keepdim=True)


def silero_vad() -> nn.Module:
    """Of the package ``silero_vad``: 64 samples of context and 512 at 16 kHz, (576,)."""
    return _SileroVad()
