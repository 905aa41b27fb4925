"""ONNX models as exporters write them: torch's own, and chains of operators at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ingest.readers.onnx.file import read_onnx
from store.errors import ShapeMismatch, UnsupportedOperation
from tests.unit.test_readers_onnx import Array, agree, compare, model, node, read

# -- torch ---------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """The last step of two layers in both directions."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU], batch_first: bool) -> None:
        super().__init__()
        self.layers = kind(5, 6, num_layers=2, bidirectional=True, batch_first=batch_first)
        self.out = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.layers(x)
        return self.out(states[:, -1] if self.layers.batch_first else states[-1])  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A transformer of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.places = nn.Parameter(torch.randn(1, 7, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.out = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        found = self.layer(self.tokens(x) + self.places).mean(1)
        return self.out(found)  # type: ignore[no-any-return]


class Patches(nn.Module):
    """A transformer of patches, with a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        found = self.patches(x).flatten(2).transpose(1, 2)
        found = torch.cat([self.token.expand(x.shape[0], -1, -1), found], 1)
        return self.layers(found)[:, 0]  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention over sequences with the time axis first."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.heads(x, x, x)[0]  # type: ignore[no-any-return]


class Hourglass(nn.Module):
    """Down, up and across."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.low = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1))
        self.groups = nn.GroupNorm(2, 8)
        self.up = nn.Upsample(scale_factor=2)
        self.last = nn.ConvTranspose2d(16, 4, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        high = torch.relu(self.norm(self.first(x)))
        low = self.groups(self.low(high))
        return self.last(torch.cat([high, self.up(low)], 1))  # type: ignore[no-any-return]


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "lstm": (lambda: Recurrent(nn.LSTM, True), (2, 7, 5), 0, 0),
    "gru": (lambda: Recurrent(nn.GRU, False), (7, 2, 5), 1, 0),
    "encoder": (Encoder, (2, 7), 0, 0),
    "patches": (Patches, (2, 3, 8, 8), 0, 0),
    "attention": (Attention, (5, 2, 8), 1, 1),
    "hourglass": (Hourglass, (2, 3, 8, 8), 0, 0),
    "pixels": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), nn.PReLU(2), nn.GELU()),
        (2, 3, 6, 6), 0, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("opset", [14, 17, 20])
@pytest.mark.filterwarnings("ignore")
def test_exports_of_torch(name: str, opset: int, tmp_path: Path) -> None:
    make, shape, given, found = MODULES[name]
    torch.manual_seed(0)
    module = make().eval()
    x = torch.randint(0, 11, shape) if name == "encoder" else torch.randn(shape)
    path = tmp_path / "torch.onnx"
    torch.onnx.export(
        module, (x,), path, dynamo=False, opset_version=opset,
        input_names=["x"], output_names=["y"],
        dynamic_axes={"x": {given: "batch"}, "y": {found: "batch"}},
    )  # fmt: skip
    made = onnx.load(path)
    graph = read(made, tmp_path)
    assert agree(made, graph, {"x": x.numpy()}, {"x": given, "y": found}) < 1e-5


@pytest.mark.filterwarnings("ignore")
def test_a_batch_that_is_written_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "torch.onnx"
    torch.onnx.export(Patches().eval(), (torch.randn(2, 3, 8, 8),), path, dynamo=False)
    with pytest.raises(ShapeMismatch, match="made for 2 samples at once"):
        read_onnx(path, None, None)


# -- chains at random ----------------------------------------------------------------------------


class Chain:
    """Nodes one after the other, and what is known of each value."""

    def __init__(self, shape: Sequence[int], batch: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Array] = {}
        self.values: list[tuple[str, tuple[int, ...], int | None]] = [("x", tuple(shape), batch)]
        self.random = np.random.default_rng(0)

    def tensor(self, value: Any) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = np.asarray(value)
        return name

    def add(
        self,
        operator: str,
        more: Sequence[str],
        shape: Sequence[int],
        batch: int | None,
        **told: Any,
    ) -> None:
        before = self.values[-1][0]
        output = f"v{len(self.values)}"
        self.nodes.append(node(operator, [before, *more], output, **told))
        self.values.append((output, tuple(shape), batch))

    def grow(self, data: st.DataObject) -> None:
        """One more node, which may mix samples."""
        _, shape, batch = self.values[-1]
        rank = len(shape)
        axis = data.draw(st.integers(0, rank - 1), label="axis")
        rest = (*shape[:axis], *shape[axis + 1 :])
        after = None if batch in (None, axis) else batch - (axis < batch)
        match data.draw(st.integers(0, 10), label="operator"):
            case 0:
                order = data.draw(st.permutations(range(rank)))
                place = None if batch is None else order.index(batch)
                self.add("Transpose", [], [shape[n] for n in order], place, perm=order)
            case 1:
                place = None if batch is None else batch + (axis <= batch)
                wide = (*shape[:axis], 1, *shape[axis:])
                self.add("Unsqueeze", [self.tensor([axis])], wide, place)
            case 2 if shape[axis] == 1 and axis != batch:
                self.add("Squeeze", [self.tensor([axis])], rest, after)
            case 3 if batch is not None and batch < rank - 1:
                target = [0] * (batch + 1) + [-1]
                flat = (*shape[: batch + 1], prod(shape[batch + 1 :]))
                self.add("Reshape", [self.tensor(target)], flat, batch)
            case 4:
                cut = data.draw(st.integers(0, rank - 1))
                own = [1 if n == batch else shape[n] for n in range(cut, rank)]
                value = self.random.normal(size=own).astype(np.float32)
                self.add("Add", [self.tensor(value)], shape, batch)
            case 5 if batch != rank - 1:
                matrix = self.random.normal(size=(shape[-1], 3)).astype(np.float32)
                self.add("MatMul", [self.tensor(matrix)], (*shape[:-1], 3), batch)
            case 6 if rank > 1:
                self.add("ReduceMean", [], rest, after, axes=[axis], keepdims=0)
            case 7:
                self.add("Softmax", [], shape, batch, axis=axis)
            case 8 if rank > 1:
                index = data.draw(st.integers(0, 1 if axis == batch else shape[axis] - 1))
                self.add("Gather", [self.tensor(np.array(index))], rest, after, axis=axis)
            case 9:
                before = self.values[-1][0]
                double = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
                self.add("Concat", [before], double, batch, axis=axis)
            case _:
                self.add("Tanh", [], shape, batch)


@given(
    start=st.sampled_from([([2, 3, 4], 0), ([2, 4], 0), ([3, 2, 4], 1), ([2, 3, 4, 2], 0)]),
    length=st.integers(1, 6),
    data=st.data(),
)
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
def test_chains(
    start: tuple[list[int], int], length: int, data: st.DataObject, tmp_path: Path
) -> None:
    shape, batch = start
    chain = Chain(shape, batch)
    for _ in range(length):
        chain.grow(data)
    dims = ["batch" if axis == batch else size for axis, size in enumerate(shape)]
    name, _, place = chain.values[-1]
    made = model(chain.nodes, {"x": dims}, chain.tensors, [name])
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    try:
        graph = read_onnx(path, None, None)
    except UnsupportedOperation as error:
        # A chain that mixes samples is refused, and no other.
        assert "mixes samples" in str(error) or "outside of an axis" in str(error)
        return
    assume(place is not None)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert agree(made, graph, {"x": x}, {"x": batch, name: place or 0}) < 1e-4


def test_chains_of_elementwise_functions_keep_their_names(tmp_path: Path) -> None:
    made = model(
        [node("Div", ["x", "r"], "d", name="gelu/Div"), node("Erf", ["d"], "e", name="gelu/Erf"),
         node("Add", ["e", "one"], "a", name="gelu/Add"), node("Mul", ["x", "a"], "m"),
         node("Mul", ["m", "half"], name="gelu/Mul_1")],
        None,
        {"r": np.float32(2**0.5) * np.ones((), np.float32), "one": np.ones((), np.float32),
         "half": np.full((), 0.5, np.float32)},
    )  # fmt: skip
    graph = compare(made, tmp_path, {"x": np.linspace(-3, 3, 8, dtype=np.float32).reshape(2, 4)})
    assert [o.kind for o in graph.operations] == [
        "input", "times", "erf", "plus", "product", "times",
    ]  # fmt: skip
    assert [o.name for o in graph.operations][1:4] == ["gelu/Div", "gelu/Erf", "gelu/Add"]
