"""Models whose Graph Metanetworks are known, and that construction written from the paper alone.

The paper is "Graph Metanetworks for Processing Diverse Neural Architectures", arXiv 2312.04501. The
modules are those that its construction knows; each has its parameters drawn at random, so that a
value tells which parameter an edge stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn import functional

from ingest.network import Network
from queries.metanetwork import FIXED, NEURON, RESIDUAL, Metanetwork


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, as in a ResNet."""

    def __init__(self, sources: int, targets: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(sources, targets, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(targets)
        self.conv2 = nn.Conv2d(targets, targets, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(targets)
        self.shortcut = nn.Sequential()
        if sources != targets:
            self.shortcut = nn.Sequential(
                nn.Conv2d(sources, targets, 1, bias=False), nn.BatchNorm2d(targets)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(out + self.shortcut(x))


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.attn(x, x, x, need_weights=False)[0]
        return x + mixed


class FeedForward(nn.Module):
    """Two matrices at each position, with a residual connection."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        forward: Tensor = self.lin2(functional.relu(self.lin1(x)))
        return x + forward


class EquivSetLinear(nn.Module):
    """A matrix for each element of a set and one for their mean; sets are features x elements."""

    def __init__(self, sources: int, targets: int) -> None:
        super().__init__()
        self.lin1 = nn.Conv1d(sources, targets, 1)
        self.lin2 = nn.Conv1d(sources, targets, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        one: Tensor = self.lin1(x)
        all_: Tensor = self.lin2(x.mean(2, keepdim=True))
        return one + all_


class MeanOfSequence(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.mean(x, 1)


def transformer(sources: int, width: int, heads: int, targets: int, layers: int) -> nn.Sequential:
    """Norms before attention and before the feed-forward part; no position encoding."""
    parts: list[nn.Module] = [nn.Linear(sources, width)]
    for _ in range(layers):
        parts += [
            nn.LayerNorm(width),
            SelfAttention(width, heads),
            nn.LayerNorm(width),
            FeedForward(width, 4 * width),
        ]
    return nn.Sequential(*parts, MeanOfSequence(), nn.Linear(width, targets))


@dataclass(frozen=True)
class Known:
    """A model, what goes in, and how large its metanetwork is."""

    make: Callable[[], nn.Sequential]
    input_shape: tuple[int, ...]
    parameters: int
    nodes: int
    edges: int


def _pooled(channels: int, targets: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(channels, targets)]


# First the design's table, then what the authors' own test counts.
KNOWN: dict[str, Known] = {
    "mlp": Known(
        lambda: nn.Sequential(
            nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10)
        ),
        (64,), 2778, 125, 2778,
    ),
    "cnn": Known(
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3), *_pooled(16, 10)
        ),
        (1, 8, 8), 1434, 40, 1434,
    ),
    "resnet": Known(
        lambda: nn.Sequential(nn.Conv2d(1, 8, 3), BasicBlock(8, 16), *_pooled(16, 10)),
        (1, 8, 8), 3930, 75, 3946,
    ),
    "transformer": Known(lambda: transformer(3, 16, 4, 10, 2), (5, 3), 6794, 275, 6858),
    "set": Known(
        lambda: nn.Sequential(EquivSetLinear(4, 8), nn.ReLU(), EquivSetLinear(8, 2)),
        (4, 6), 106, 16, 106,
    ),
    "block": Known(lambda: nn.Sequential(BasicBlock(1, 1)), (1, 5, 4), 22, 7, 23),
    "shortcut": Known(lambda: nn.Sequential(BasicBlock(1, 2)), (1, 5, 4), 68, 13, 70),
    "layer_norm": Known(
        lambda: nn.Sequential(
            nn.Linear(2, 3, bias=False), nn.ReLU(), nn.LayerNorm(3), nn.Linear(3, 1)
        ),
        (2,), 16, 9, 16,
    ),
    "conv1d": Known(
        lambda: nn.Sequential(
            nn.Conv1d(1, 3, 2, bias=False), nn.ReLU(), nn.BatchNorm1d(3),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2),
        ),
        (1, 5), 20, 9, 20,
    ),
    "attention": Known(
        lambda: nn.Sequential(nn.Linear(1, 1, bias=False), nn.LayerNorm(1), SelfAttention(1, 1)),
        (5, 1), 11, 10, 12,
    ),
    "one_layer": Known(lambda: transformer(1, 1, 1, 1, 1), (8, 1), 29, 22, 31),
    "normed_set": Known(
        lambda: nn.Sequential(
            EquivSetLinear(1, 2), nn.GroupNorm(1, 2), nn.ReLU(), EquivSetLinear(2, 1)
        ),
        (1, 4), 15, 8, 15,
    ),
}  # fmt: skip


def model(name: str) -> nn.Sequential:
    """One of the known models, in evaluation mode, no two of its parameters alike."""
    made = KNOWN[name].make().eval()
    generator = torch.Generator().manual_seed(len(name))
    count = sum(parameter.numel() for parameter in made.parameters())
    values = (torch.randperm(count, generator=generator) + 2.0) / 64
    with torch.no_grad():
        for parameter in made.parameters():
            part, values = values[: parameter.numel()], values[parameter.numel() :]
            parameter.copy_(part.reshape(parameter.shape))
    return made


@dataclass
class Construction:
    """The paper's construction: nodes by number, and edges (source, target, value)."""

    nodes: int = 0
    edges: list[tuple[int, int, float]] = field(default_factory=list)
    residual: list[tuple[int, int]] = field(default_factory=list)

    def of(self, modules: nn.Sequential) -> Construction:
        """The whole of a model."""
        first = next(module for module in modules.modules() if hasattr(module, "weight"))
        assert isinstance(first.weight, Tensor)
        current = self._new(first.weight.shape[1])
        for module in modules:
            current = self._module(module, current)
        return self

    def _module(self, module: nn.Module, given: list[int]) -> list[int]:
        match module:
            case nn.Linear() | nn.Conv1d() | nn.Conv2d():
                return self._matrix(module.weight, module.bias, given)
            case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.LayerNorm() | nn.GroupNorm():
                self._spread(module.weight, given)
                self._spread(module.bias, given)
                return given
            case BasicBlock():
                middle = self._matrix(module.conv1.weight, None, given)
                self._module(module.bn1, middle)
                out = self._matrix(module.conv2.weight, None, middle)
                self._module(module.bn2, out)
                start = given
                for part in module.shortcut:
                    start = self._module(part, start)
                return self._residual(start, out)
            case FeedForward():
                middle = self._module(module.lin1, given)
                return self._residual(given, self._module(module.lin2, middle))
            case SelfAttention(attn=attn):
                weights, biases = attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3)
                mixed = self._new(len(given))
                for weight, bias in zip(weights, biases, strict=True):
                    self._matrix(weight, bias, given, mixed)
                return self._residual(given, self._module(attn.out_proj, mixed))
            case EquivSetLinear():
                out = self._module(module.lin1, given)
                return self._matrix(module.lin2.weight, None, given, out)
            case _:
                assert not list(module.parameters()), module
                return given

    def _new(self, count: int) -> list[int]:
        self.nodes += count
        return list(range(self.nodes - count, self.nodes))

    def _matrix(
        self, weight: Tensor, bias: Tensor | None, given: list[int], out: list[int] | None = None
    ) -> list[int]:
        values = weight.detach().flatten(2) if weight.ndim > 2 else weight.detach()[..., None]
        targets = self._new(len(values)) if out is None else out
        assert values.shape[:2] == (len(targets), len(given))
        for row, column in product(range(len(targets)), range(len(given))):
            for value in values[row, column].tolist():
                self.edges.append((given[column], targets[row], value))
        if bias is not None:
            self._spread(bias, targets)
        return targets

    def _spread(self, values: Tensor, nodes: list[int]) -> None:
        """One node with an edge to each of the others."""
        (source,) = self._new(1)
        for node, value in zip(nodes, values.tolist(), strict=True):
            self.edges.append((source, node, value))

    def _residual(self, sources: list[int], targets: list[int]) -> list[int]:
        self.residual += zip(sources, targets, strict=True)
        return targets


def check(network: Network, found: Metanetwork) -> None:
    """What holds of every metanetwork."""
    for name, array in vars(found).items():
        if name != "omitted":
            assert array.dtype == (np.float64 if name == "edge_weight" else np.int64), name
            assert array.shape[-1] == (found.node_kind if "node" in name else found.edge_kind).size
    flat = np.concatenate([tensor.array().ravel() for tensor in network.parameters])
    learned = found.edge_param >= 0
    np.testing.assert_array_equal(learned, ~np.isin(found.edge_kind, (RESIDUAL, FIXED)))
    np.testing.assert_array_equal(found.edge_weight[learned], flat[found.edge_param[learned]])
    biases = sum(
        scalars.values.size
        for layer in network.layers
        for name, scalars in layer.scalars.items()
        if name in ("bias", "recurrent_bias")
    )
    assert learned.sum() == network.link_count + biases
    said = np.stack(
        [
            *found.edge_index, found.edge_layer, found.edge_kind, found.edge_role, found.edge_head,
            found.edge_position,
        ]
    )  # fmt: skip
    assert np.unique(said, axis=1).shape == said.shape
    kinds = found.node_kind[found.edge_index[0]]
    np.testing.assert_array_equal(kinds[learned], found.edge_kind[learned])
    assert (kinds[~learned] == NEURON).all()
    assert components(found, "weak") == 1
    first, told = 0, []
    for tensor in network.parameters:
        inside = np.unique(found.edge_param[learned])
        if ((inside >= first) & (inside < first + tensor.size)).sum() < tensor.size:
            told.append(tensor.name)
        first += tensor.size
    assert list(found.omitted) == told


def components(found: Metanetwork, connection: Literal["weak", "strong"]) -> int:
    """How many parts the graph has; as many strong ones as nodes where it has no cycle."""
    size = found.node_kind.size
    ends = coo_array((np.ones(found.edge_param.size), tuple(found.edge_index)), (size, size))
    count, _ = connected_components(ends, connection=connection)
    return int(count)
