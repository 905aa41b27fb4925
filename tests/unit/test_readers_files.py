"""State dicts and safetensors: values, names, order, slices, and what is loaded to read them."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ingest.layers.build import build
from ingest.network import Network
from ingest.readers import chain, read, torch_tensors
from store.errors import (
    InvalidArgument,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
)

ROOT = Path(__file__).parents[2]

Saver = Callable[[dict[str, torch.Tensor], Path], None]


def legacy(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


SAVERS: dict[str, Saver] = {"pt": torch.save, "pth": legacy, "safetensors": save_file}


def saved(state: dict[str, torch.Tensor], folder: Path, kind: str = "safetensors") -> Path:
    path = folder / f"model.{kind}"
    SAVERS[kind](state, path)
    return path


def state_of(*sizes: int, names: str = "fc{}") -> dict[str, torch.Tensor]:
    """A chain of dense layers, in the order of their definition."""
    generator = torch.Generator().manual_seed(sum(sizes))
    state = {}
    for number, (sources, targets) in enumerate(pairwise(sizes), 1):
        name = names.format(number)
        state[f"{name}.weight"] = torch.randn(targets, sources, generator=generator)
        state[f"{name}.bias"] = torch.randn(targets, generator=generator)
    return state


def contents(network: Network) -> list[Any]:
    """What a network says, without where in the flat vector its parameters lie."""
    told: list[Any] = [
        (layer.name, layer.kind, layer.shape, layer.sources, layer.bias.tolist())
        for layer in network.layers
        if layer.bias is not None
    ]
    for block in network.dense:
        whole = block.tile(range(block.sources), range(block.targets))
        told.append((block.source, block.target, block.weights.name, whole.tolist()))
    return [*told, sorted((tensor.name, tensor.shape) for tensor in network.parameters)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", SAVERS)
def test_values_are_exact(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) for key, value in state_of(7, 5, 3).items()}
    network = build(read(saved(state, tmp_path, kind)))
    assert {tensor.dtype for tensor in network.parameters} == {str(dtype)[6:]}
    assert {tensor.name for tensor in network.parameters} == set(state)
    for block, layer in zip(network.dense, network.layers[1:], strict=True):
        expected = state[f"{layer.name}.weight"].double().numpy().T
        np.testing.assert_array_equal(block.tile(range(block.sources), range(block.targets)),
                                      expected)  # fmt: skip
        np.testing.assert_array_equal(block.tile(range(2, 4), range(1, 3)), expected[2:4, 1:3])
        np.testing.assert_array_equal(layer.bias, state[f"{layer.name}.bias"].double().numpy())


def test_one_model_is_one_network_however_it_is_read(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(12)))
    expected = contents(build(read(model)))
    assert len(expected) == 25
    for kind in SAVERS:
        path = saved(dict(model.state_dict()), tmp_path, kind)
        assert contents(build(read(path))) == expected, kind


@pytest.mark.parametrize("kind", SAVERS)
def test_offsets_follow_the_order_of_the_file(tmp_path: Path, kind: str) -> None:
    state = state_of(3, 4, 2)
    network = build(read(saved(state, tmp_path, kind)))
    flat = np.concatenate([state[tensor.name].numpy().ravel() for tensor in network.parameters])
    for block, layer in zip(network.dense, network.layers[1:], strict=True):
        assert flat[block.first] == block.tile(range(1), range(1))[0, 0]
        assert layer.bias is not None
        assert (flat[layer.scalars["bias"].params] == layer.bias).all()
    if kind != "safetensors":
        assert [tensor.name for tensor in network.parameters] == list(state)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_may_nest_it(tmp_path: Path, key: str) -> None:
    path = tmp_path / "epoch.pt"
    torch.save({"epoch": 3, key: OrderedDict(state_of(3, 2)), "optimizer": {"lr": 0.1}}, path)
    assert build(read(path)).link_count == 6


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("module.", ["fc1", "fc2"]),
        ("_orig_mod.module.", ["fc1", "fc2"]),
        ("net.", ["net.fc1", "net.fc2"]),
    ],
)
def test_a_wrapper_is_dropped_from_names_and_kept_in_keys(
    tmp_path: Path, prefix: str, names: list[str]
) -> None:
    state = {prefix + key: value for key, value in state_of(3, 2, 2).items()}
    network = build(read(saved(state, tmp_path, "pt")))
    assert [layer.name for layer in network.layers[1:]] == names
    assert [tensor.name for tensor in network.parameters] == list(state)


def test_a_prefix_that_not_all_keys_have_is_a_name(tmp_path: Path) -> None:
    state = {"module.a.weight": torch.ones(2, 3), "b.weight": torch.ones(4, 2)}
    network = build(read(saved(state, tmp_path, "pt")))
    assert [layer.name for layer in network.layers] == ["input", "module.a", "b"]


def test_a_bare_layer_is_called_linear(tmp_path: Path) -> None:
    path = saved(dict(nn.Linear(3, 2).state_dict()), tmp_path, "pt")
    assert [layer.name for layer in build(read(path)).layers] == ["input", "linear"]


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    weight = torch.ones(3, 3)
    path = saved({"a.weight": weight, "b.weight": weight}, tmp_path, "pt")
    network = build(read(path))
    (tensor,) = network.parameters
    assert (tensor.name, tensor.aliases) == ("a.weight", ("b.weight",))
    assert [block.first for block in network.dense] == [0, 0]


def test_a_transposed_matrix_reads_as_it_is_shaped(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(3, 2).T
    network = build(read(saved({"a.weight": weight}, tmp_path, "pt")))
    assert network.dense[0].tile(range(3), range(2)).tolist() == [[0, 1], [2, 3], [4, 5]]


def activations(network: Network) -> list[str]:
    return [layer.activation for layer in network.layers]


@pytest.mark.parametrize("kind", SAVERS)
def test_an_activation_is_unknown_unless_told(tmp_path: Path, kind: str) -> None:
    path = saved(state_of(3, 4, 4, 2), tmp_path, kind)
    assert activations(build(read(path))) == ["identity", "unknown", "unknown", "unknown"]
    told = build(read(path, activation="tanh"))
    assert activations(told) == ["identity", "tanh", "tanh", "unknown"]
    with pytest.raises(InvalidArgument, match="There is no activation 'sine': choose one of"):
        read(path, activation="sine")


def test_an_input_shape_is_kept(tmp_path: Path) -> None:
    path = saved(state_of(6, 2), tmp_path)
    assert build(read(path, (1, 2, 3))).layers[0].shape == (1, 2, 3)
    with pytest.raises(
        ShapeMismatch,
        match=r"^The input shape \(2, 2\) has 4 values, but 'fc1.weight' \(2, 6\) takes 6\.$",
    ):
        read(path, (2, 2))


# -- which matrix follows which ------------------------------------------------------------------


def order(folder: Path, kind: str, **shapes: tuple[int, int]) -> list[str]:
    state = {f"{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
    return [layer.name for layer in build(read(saved(state, folder, kind))).layers[1:]]


@pytest.mark.parametrize("kind", SAVERS)
def test_numbers_count_as_numbers(tmp_path: Path, kind: str) -> None:
    shapes = {f"fc{number}": (3, 3) for number in (1, 2, 9, 10, 11, 100)}
    assert order(tmp_path, kind, **shapes) == list(shapes)


@pytest.mark.parametrize("kind", SAVERS)
def test_shapes_tell_where_names_do_not(tmp_path: Path, kind: str) -> None:
    given = order(tmp_path, kind, head=(2, 4), stem=(5, 3), body=(4, 5))
    assert given == ["stem", "body", "head"]


@pytest.mark.parametrize("kind", SAVERS)
def test_a_numbered_part_and_a_named_one(tmp_path: Path, kind: str) -> None:
    given = order(tmp_path, kind, fc1=(4, 7), fc2=(4, 4), fc3=(4, 4), head=(2, 4))
    assert given == ["fc1", "fc2", "fc3", "head"]


def test_many_layers_are_no_search(tmp_path: Path) -> None:
    shapes = {f"fc{number}": (1, 1) for number in range(3000)}
    assert order(tmp_path, "safetensors", **shapes) == list(shapes)


def test_the_order_of_definition_decides_where_the_file_keeps_it(tmp_path: Path) -> None:
    shapes = {"encoder": (3, 5), "decoder": (5, 3)}
    assert order(tmp_path, "pt", **shapes) == ["encoder", "decoder"]
    with pytest.raises(
        ShapeMismatch,
        match=r"^The matrices of 'model.safetensors' fit in more than one order, such as "
        r"decoder -> encoder or encoder -> decoder, and neither their names nor the file tell "
        r"which is meant: ingest the live module instead, which knows its graph\.$",
    ):
        order(tmp_path, "safetensors", **shapes)


def test_numbers_against_the_order_of_definition_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(ShapeMismatch, match="fit in more than one order, such as fc2 -> fc1"):
        order(tmp_path, "pt", fc2=(3, 3), fc1=(3, 3))


def test_a_search_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "MOST_STEPS", 50)
    letters = {letter * 2: (3, 3) for letter in "abcdefghijkl"}
    with pytest.raises(ShapeMismatch, match=r"'zz.weight' .* takes 5; ingest the live module"):
        order(tmp_path, "safetensors", **letters, zz=(3, 5))


# -- only what is needed -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_memory_does_not_grow_with_the_matrix(tmp_path: Path, kind: str) -> None:
    path = saved({"a.weight": torch.zeros(4000, 1000)}, tmp_path, kind)
    build(read(path))
    tracemalloc.start()
    try:
        block = build(read(path)).dense[0]
        for start in range(0, 4000, 100):
            block.tile(range(1000), range(start, start + 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert block.weights.size * 4 == 16_000_000
    assert peak < 4_000_000


IN_A_FRESH_PROCESS = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from ingest.layers.build import build
from ingest.readers import read
try:
    print(build(read({path!r})).link_count)
except Exception as error:
    print(type(error).__name__, error)
print([name for name in ("torch", "h5py") if sys.modules.get(name)])
"""


def in_a_fresh_process(path: Path, *blocked: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS.format(path=str(path), blocked=blocked)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_safetensors_needs_no_torch(tmp_path: Path) -> None:
    path = saved(state_of(3, 4, 2), tmp_path)
    assert in_a_fresh_process(path, "torch", "h5py", "safetensors") == ["20", "[]"]


def test_a_state_dict_without_torch_names_the_extra(tmp_path: Path) -> None:
    path = saved(state_of(3, 4, 2), tmp_path, "pt")
    assert in_a_fresh_process(path, "torch") == [
        "UnreadableModel Reading a PyTorch file needs torch: pip install 'weightome[torch]'.",
        "[]",
    ]


@pytest.mark.parametrize(("version", "fine"), [("2.9.1+cpu", False), ("2.10.0", True)])
def test_an_old_torch_opens_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fine: bool
) -> None:
    path = saved(state_of(3, 2), tmp_path, "pt")
    monkeypatch.setattr(torch, "__version__", version)
    if fine:
        assert torch_tensors.trusted_torch() is torch
        return
    with pytest.raises(UnreadableModel, match=r"^torch 2\.9\.1\+cpu cannot be trusted"):
        read(path)


@pytest.mark.parametrize("kind", SAVERS)
def test_the_content_decides_not_the_name(tmp_path: Path, kind: str) -> None:
    for suffix in (".bin", ".h5", ".pt", ".safetensors", ""):
        path = saved(state_of(3, 2), tmp_path, kind).rename(tmp_path / f"other{suffix}")
        assert build(read(str(path))).link_count == 6


def test_metadata_is_no_tensor(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state_of(3, 2), path, metadata={"format": "pt"})
    assert "__metadata__" in json.loads(path.read_bytes()[8:].split(b"}}")[0] + b"}}")
    assert build(read(path)).link_count == 6


def test_what_is_not_dense_is_named(tmp_path: Path) -> None:
    state = {**state_of(3, 4), "norm.running_mean": torch.ones(4)}
    with pytest.raises(
        UnsupportedOperation,
        match=r"^The tensor 'norm.running_mean' of 'model.pt' is neither weight nor bias of a "
        r"dense layer: ingest the live module instead, which knows its graph\.$",
    ):
        read(saved(state, tmp_path, "pt"))
