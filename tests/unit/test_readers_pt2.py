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
from ingest.readers.pt2 import DEFAULTS
from store.errors import (
    InvalidArgument,
    InvalidWeights,
    UnreadableModel,
    UnsupportedOperation,
    WeightomeError,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def saved(model: nn.Module, path: Path, *sample: int, **options: Any) -> Path:
    """The model as torch exports it, with two samples."""
    example = torch.zeros(2, *sample, dtype=next(model.parameters()).dtype)
    torch.export.save(torch.export.export(model.eval(), (example,), **options), path)
    return path


def mlp(*inner: nn.Module) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5), *inner, nn.Dropout(0.1), nn.Linear(5, 3))


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
    assert [(b.source, b.target, b.first, b.target_first) for b in read.links] == [
        (b.source, b.target, b.first, b.target_first) for b in live.links
    ]
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
    assert read.links[0].first == read.links[1].first
    assert [layer.name for layer in read.layers] == ["input", "a", "b"]


def test_the_defaults_are_torchs_own() -> None:
    for operator, defaults in DEFAULTS.items():
        overload = "Tensor" if operator in ("add", "sub") else "default"
        schema = getattr(getattr(torch.ops.aten, operator), overload)._schema
        theirs = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        assert dict(defaults) == theirs, operator


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
        (weights(lambda e: e["tensor_meta"].update(dtype=5)), InvalidWeights, "torch's type 5"),
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
    with pytest.raises(UnsupportedOperation, match=r"conv1d \(layer '0'\)"):
        ingest.read(saved(nn.Sequential(nn.Conv1d(1, 2, 3)), tmp_path / "conv.pt2", 1, 8))
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
