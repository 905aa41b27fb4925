"""Exported programs: the same network as the live module, and nothing unpickled."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import ingest
from ingest.network import DenseLinks, Network
from ingest.readers.aten.calls import GETITEM
from ingest.readers.aten.constants import FOLDED
from ingest.readers.aten.defaults import DEFAULTS
from ingest.readers.aten.table import TABLE
from ingest.readers.module import read_module
from ingest.readers.pt2 import read_pt2
from store.errors import (
    InvalidArgument,
    InvalidWeights,
    UnreadableModel,
    UnsupportedOperation,
    WeightomeError,
)
from tests.interpreter import interpret
from tests.models import MODELS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def saved(model: nn.Module, path: Path, *sample: int, **options: Any) -> Path:
    """The model as torch exports it, with two samples."""
    example = torch.zeros(2, *sample, dtype=next(model.parameters()).dtype)
    torch.export.save(torch.export.export(model.eval(), (example,), **options), path)
    return path


def mlp(*inner: nn.Module) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), *inner, nn.Dropout(0.1), nn.Linear(5, 3))


def dense(network: Network) -> list[tuple[int, int, int, bool]]:
    """Where the links of a network begin, end and lie; it has no others."""
    found = [block for block in network.links if isinstance(block, DenseLinks)]
    assert len(found) == len(network.links)
    return [(block.source, block.target, block.first, block.target_first) for block in found]


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.ELU(), nn.ELU(2.0), nn.CELU(),
    nn.SELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.LogSigmoid(),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(), nn.Hardtanh(-2.0, 0.5), nn.Tanh(),
    nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(), nn.Threshold(0.1, 2.0), nn.Softplus(),
    nn.Softplus(2.0, 5.0), nn.Softsign(), nn.Softmax(dim=-1), nn.Softmin(dim=1),
    nn.LogSoftmax(dim=1),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_it_is_the_network_of_the_live_module(tmp_path: Path, activation: nn.Module) -> None:
    model = mlp(activation)
    live = ingest.read(model, input_shape=(2, 3))
    read = ingest.read(saved(model, tmp_path / "model.pt2", 2, 3))
    assert [(a.name, a.kind, a.shape, a.activation) for a in read.layers] == [
        (b.name, b.kind, b.shape, b.activation) for b in live.layers
    ]
    assert [p.name for p in read.parameters] == [p.name for p in live.parameters]
    for ours, theirs in zip(read.parameters, live.parameters, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours.array(), theirs.array())
    assert dense(read) == dense(live)
    assert read.source == "pt2"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_types(tmp_path: Path, dtype: torch.dtype) -> None:
    model = mlp().to(dtype)
    read = ingest.read(saved(model, tmp_path / "model.pt2", 6))
    assert {parameter.dtype for parameter in read.parameters} == {str(dtype).removeprefix("torch.")}
    expected = model.state_dict()["1.weight"].double().numpy()
    np.testing.assert_array_equal(read.parameters[0].array().astype(np.float64), expected)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.relu(self.a(x)))  # type: ignore[no-any-return]


def test_tied_tensors_are_one(tmp_path: Path) -> None:
    read = ingest.read(saved(Tied(), tmp_path / "model.pt2", 4))
    assert read.parameters[0].name == "a.weight"
    assert read.parameters[0].aliases == ("b.weight",)
    assert [first for _, _, first, _ in dense(read)] == [0, 0]
    assert [layer.name for layer in read.layers] == ["input", "a", "b"]


# Of them it does not matter where or how a result lies in memory.
IN_MEMORY = {
    "copy", "device", "generator", "layout", "memory_format", "non_blocking", "pin_memory",
}  # fmt: skip


@pytest.mark.parametrize("key", sorted({*TABLE, *FOLDED} - {GETITEM}))
def test_the_defaults_are_torchs_own(key: str) -> None:
    name, overload = key.split(".")
    packets = [getattr(torch.ops.aten, each, None) for each in (name, f"_{name}", f"__{name}__")]
    schema = next(
        getattr(packet, overload)._schema
        for packet in packets
        if packet is not None and overload in packet.overloads()
    )
    theirs = {
        argument.name: argument.default_value
        for argument in schema.arguments
        if argument.has_default_value() and argument.name not in IN_MEMORY
    }
    assert dict(DEFAULTS.get(key, {})) == theirs


def test_no_default_is_for_nothing() -> None:
    assert set(DEFAULTS) <= {*TABLE, *FOLDED}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_it_is_the_graph_of_the_live_module(tmp_path: Path, name: str) -> None:
    model, example = MODELS[name]()
    live = read_module(model, example.shape[1:])
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(model, (torch.as_tensor(example),)), path)
    read = read_pt2(path, None, None)
    assert [(o.name, o.kind, o.inputs, o.shape, o.attributes) for o in read.operations] == [
        (o.name, o.kind, o.inputs, o.shape, o.attributes) for o in live.operations
    ]
    assert read.outputs == live.outputs
    for ours, theirs in zip(read.operations, live.operations, strict=True):
        assert list(ours.parameters) == list(theirs.parameters)
        for role, tensor in ours.parameters.items():
            other = theirs.parameters[role]
            assert (tensor.name, tensor.shape, tensor.dtype) == (
                other.name, other.shape, other.dtype,
            )  # fmt: skip
            np.testing.assert_array_equal(tensor.array(), other.array())
    # The file lists parameters before buffers.
    assert {p.name for p in read.parameters} == {p.name for p in live.parameters}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_program_for_one_sample_is_one_for_all(tmp_path: Path, name: str) -> None:
    model, example = MODELS[name]()
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(model, (torch.as_tensor(example[:1]),)), path)
    outputs = interpret(read_pt2(path, None, None), example)
    expected = interpret(read_module(model, example.shape[1:]), example)
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


class Several(nn.Module):
    """Two inputs, one of integers; a lifted constant, and a buffer that is in no state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.fc = nn.Linear(4, 4)
        self.register_buffer("shift", torch.tensor([1.0, -2.0, 0.5, 3.0]), persistent=False)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            doubled = x * 2
        hidden = self.fc(doubled) + self.table(tokens) + torch.tensor([1.0, 2.0, 3.0, 4.0])
        return hidden * self.shift, doubled


def test_several_inputs_and_constants(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Several().eval()
    x, tokens = torch.randn(3, 4), torch.tensor([4, 0, 2])
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(model, (x, tokens)), path)
    graph = read_pt2(path, None, None)
    first, second = (each for each in graph.operations if each.kind == "input")
    assert (first.shape, dict(first.attributes)) == ((4,), {})
    assert (second.shape, dict(second.attributes)) == ((), {"integers": True})
    given = {first.name: x.numpy(), second.name: tokens.numpy()}
    with torch.no_grad():
        expected = model(x, tokens)
    for ours, theirs in zip(interpret(graph, given), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)
    keys = [tensor.name for tensor in graph.parameters]
    assert keys[:3] == ["table.weight", "fc.weight", "fc.bias"]
    assert sorted(keys[3:]) == ["lifted_tensor_0", "shift"]


def test_torch_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(mlp(), tmp_path / "model.pt2", 6)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert ingest.read(path).link_count == 6 * 5 + 5 * 3


Change = Callable[[str, bytes], bytes | None]


def rewritten(path: Path, change: Change, compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive with some members changed, or left out where the change gives None."""
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out


def weights(change: Callable[[dict[str, Any]], object]) -> Change:
    """A change of the entry of the tensor ``1.weight``."""

    def apply(name: str, content: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return content
        config = json.loads(content)
        change(config["config"]["1.weight"])
        return json.dumps(config).encode()

    return apply


def model_json(content: bytes) -> Change:
    return lambda name, old: content if "/models/" in name else old


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (weights(lambda e: e.update(use_pickle=True)), UnreadableModel, "unpickles nothing"),
        (weights(lambda e: e["tensor_meta"].update(dtype=10)), InvalidWeights, "torch's type 10"),
        (weights(lambda e: e["tensor_meta"].update(dtype=5)), UnreadableModel, "has 120 bytes"),
        (
            weights(lambda e: e["tensor_meta"].update(strides=[{"as_int": 1}, {"as_int": 5}])),
            UnreadableModel,
            "is a view of another one",
        ),
        (
            weights(lambda e: e["tensor_meta"].update(sizes=[{"as_int": 9}, {"as_int": 6}])),
            UnreadableModel,
            "damaged or truncated",
        ),
        (weights(lambda e: e.update(path_name="../../etc/passwd")), UnreadableModel, "damaged"),
        (model_json(b"{}"), UnreadableModel, "not as torch writes it"),
        (model_json(b"[" * 100_000), UnreadableModel, "not as torch writes it"),
        (lambda n, c: None if "weight_0" in n else c, UnreadableModel, "damaged or truncated"),
        (lambda n, c: None if "/models/" in n else c, UnreadableModel, "0 exported programs"),
    ],
)
def test_crafted_archives(
    tmp_path: Path, change: Change, error: type[Exception], says: str
) -> None:
    path = saved(mlp(), tmp_path / "model.pt2", 6)
    with pytest.raises(error, match=says):
        ingest.read(rewritten(path, change))


def test_pickled_constants_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    example = (torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))
    torch.export.save(torch.export.export(Several().eval(), example), path)

    def pickled(name: str, content: bytes) -> bytes:
        if not name.endswith("constants_config.json"):
            return content
        config = json.loads(content)
        config["config"]["shift"]["use_pickle"] = True
        return json.dumps(config).encode()

    with pytest.raises(UnreadableModel, match=r"'shift' .* is pickled"):
        ingest.read(rewritten(path, pickled))


def test_arguments_that_no_operator_has(tmp_path: Path) -> None:
    path = saved(mlp(nn.Softmax(-1)), tmp_path / "model.pt2", 6)

    def far(name: str, content: bytes) -> bytes:
        if "/models/" not in name:
            return content
        model = json.loads(content)
        nodes = model["graph_module"]["graph"]["nodes"]
        (node,) = (each for each in nodes if "softmax" in each["target"])
        node["inputs"][1]["arg"] = {"as_int": 10**12}
        return json.dumps(model).encode()

    with pytest.raises(UnsupportedOperation, match=r"softmax \(layer '2'\) in an unusual way"):
        ingest.read(rewritten(path, far))


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = saved(mlp(), tmp_path / "model.pt2", 6)
    bomb = rewritten(path, model_json(b" " * (65 * 1024 * 1024)), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 200_000
    with pytest.raises(UnreadableModel, match="would unpack to 68157440 bytes"):
        ingest.read(bomb)
    compressed = rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableModel, match="are compressed"):
        ingest.read(compressed)


def test_what_cannot_be_ingested(tmp_path: Path) -> None:
    noisy = nn.Sequential(nn.Linear(8, 2), nn.BatchNorm1d(2, track_running_stats=False))
    with pytest.raises(UnsupportedOperation, match=r"batch_norm \(layer '1'\) with training=True"):
        ingest.read(saved(noisy, tmp_path / "noisy.pt2", 8))
    dynamic = saved(
        mlp(), tmp_path / "dynamic.pt2", 6, dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    with pytest.raises(UnsupportedOperation, match="exported with dynamic shapes"):
        ingest.read(dynamic)
    with pytest.raises(InvalidArgument, match="tells the shape of its input"):
        ingest.read(saved(mlp(), tmp_path / "fixed.pt2", 6), input_shape=(6,))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_garbled_archives_give_our_errors_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    original = _original(tmp_path_factory)
    garbled = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(garbled), len(garbled) // 2, 100]))
    path = tmp_path_factory.getbasetemp() / "garbled.pt2"
    path.write_bytes(bytes(garbled[:cut]))
    try:
        assert ingest.read(path).link_count >= 1
    except WeightomeError as error:
        assert "\n" not in str(error)


_cache: list[bytes] = []


def _original(factory: pytest.TempPathFactory) -> bytes:
    if not _cache:
        _cache.append(saved(mlp(), factory.mktemp("pt2") / "model.pt2", 6).read_bytes())
    return _cache[0]
