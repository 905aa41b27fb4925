"""State dicts with a factory: whose tensors are used, under which keys, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ingest.readers.factory import read_with_factory
from store.errors import InvalidArgument, InvalidWeights, ShapeMismatch, UnreadableModel
from tests import factories
from tests.interpreter import interpret

Saver = Callable[[dict[str, Tensor], Path], None]


def legacy(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


SAVERS: dict[str, tuple[Saver, str]] = {
    "pt": (torch.save, "state dict"),
    "pth": (legacy, "state dict"),
    "safetensors": (save_file, "safetensors"),
}


def state_of(module: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(tensor.shape, generator=generator)
        for key, tensor in module.state_dict().items()
    }


def saved(folder: Path, state: dict[str, Tensor], kind: str = "pt") -> Path:
    path = folder / f"model.{kind}"
    SAVERS[kind][0](state, path)
    return path


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("factory", ["Dense", "dense", "half_precision", "without_memory"])
def test_the_weights_are_the_files(tmp_path: Path, kind: str, factory: str) -> None:
    state = state_of(factories.Dense())
    graph = read_with_factory(saved(tmp_path, state, kind), f"tests.factories:{factory}", None)
    assert graph.source == SAVERS[kind][1]
    assert {tensor.name for tensor in graph.parameters} == set(state)
    for tensor in graph.parameters:
        assert tensor.dtype == "float32"
        np.testing.assert_array_equal(tensor.array(), state[tensor.name].numpy())
    module = factories.Dense().double()
    module.load_state_dict(state)
    sample = torch.randn(3, 4, dtype=torch.float64)
    (found,) = interpret(graph, sample.numpy())
    np.testing.assert_allclose(found, module(sample).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", SAVERS)
def test_the_precision_is_the_files(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    state = {key: tensor.to(dtype) for key, tensor in state_of(factories.Dense()).items()}
    graph = read_with_factory(saved(tmp_path, state, kind), "tests.factories:dense", None)
    assert {tensor.dtype for tensor in graph.parameters} == {str(dtype).removeprefix("torch.")}
    for tensor in graph.parameters:
        np.testing.assert_array_equal(tensor.array(), state[tensor.name].double().numpy())


def test_the_order_is_the_files(tmp_path: Path) -> None:
    state = dict(reversed(state_of(factories.Dense()).items()))
    graph = read_with_factory(saved(tmp_path, state), "tests.factories:dense", None)
    assert [tensor.name for tensor in graph.parameters] == list(state)


def test_a_checkpoint_may_nest_it(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"epoch": 3, "state_dict": state_of(factories.Dense())}, path)
    assert len(read_with_factory(path, "tests.factories:dense", None).parameters) == 4


def test_a_wrapped_model_needs_the_same_wrapper(tmp_path: Path) -> None:
    state = {f"module.{key}": tensor for key, tensor in state_of(factories.Dense()).items()}
    graph = read_with_factory(saved(tmp_path, state), "tests.factories:data_parallel", None)
    assert [tensor.name for tensor in graph.parameters] == list(state)
    assert "first" in [operation.name for operation in graph.operations]


@pytest.mark.parametrize("kept", [["0.weight"], ["2.weight"], ["0.weight", "2.weight"]])
def test_tied_tensors_may_stand_in_the_file_once(tmp_path: Path, kept: list[str]) -> None:
    """As ``safetensors.torch.save_model`` writes them."""
    module = factories.tied()
    state = {key: tensor for key, tensor in module.state_dict().items() if key[2:] == "bias"}
    state.update({key: module.state_dict()[key] for key in kept})
    graph = read_with_factory(saved(tmp_path, state), "tests.factories:tied", None)
    weights = [
        operation.parameters["weight"]
        for operation in graph.operations
        if operation.kind == "linear"
    ]
    assert weights[0] is weights[1]
    assert [weights[0].name, *weights[0].aliases] == kept
    sample = torch.randn(2, 3)
    np.testing.assert_allclose(
        interpret(graph, sample.numpy())[0], module(sample).detach().numpy(), atol=1e-6
    )


def test_tied_tensors_may_not_differ(tmp_path: Path) -> None:
    state = {
        key: torch.randn(tensor.shape) for key, tensor in factories.tied().state_dict().items()
    }
    with pytest.raises(UnreadableModel, match=r"one tensor for '0\.weight' and '2\.weight'"):
        read_with_factory(saved(tmp_path, state), "tests.factories:tied", None)


def test_constants_of_the_code_stand_last(tmp_path: Path) -> None:
    module = factories.with_a_constant()
    graph = read_with_factory(
        saved(tmp_path, module.state_dict()), "tests.factories:with_a_constant", None
    )
    assert [tensor.name for tensor in graph.parameters][:2] == ["layer.weight", "layer.bias"]
    assert len(graph.parameters) == 3
    sample = torch.randn(2, 3)
    np.testing.assert_allclose(
        interpret(graph, sample.numpy())[0], module(sample).detach().numpy(), atol=1e-6
    )


def test_a_lazy_module_takes_the_files_shapes(tmp_path: Path) -> None:
    state = {"0.weight": torch.randn(3, 6), "0.bias": torch.randn(3)}
    graph = read_with_factory(saved(tmp_path, state), "tests.factories:lazy", (6,))
    assert graph.operations[-1].shape == (3,)


def test_the_current_folder_is_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks").mkdir()
    (tmp_path / "my_networks" / "small.py").write_text(
        "from my_networks.parts import layer\ndef small():\n    return layer(2)\n"
    )
    (tmp_path / "my_networks" / "parts.py").write_text(
        "from torch import nn\ndef layer(size):\n    return nn.Linear(size, size)\n"
    )
    path = saved(tmp_path, {"weight": torch.eye(2), "bias": torch.ones(2)})
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    try:
        graph = read_with_factory(path, "my_networks.small:small", None)
    finally:
        for name in [name for name in sys.modules if name.startswith("my_networks")]:
            del sys.modules[name]
    assert sys.path == before
    assert graph.operations[-1].kind == "linear"


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("tests.factories", "is written package.module:function"),
        (":dense", "is written package.module:function"),
        ("tests.factories:", "is written package.module:function"),
        ("tests/factories.py:dense", "is written package.module:function"),
        ("tests.factories:dense()", "is written package.module:function"),
        ("no_such_package.models:net", "There is no module 'no_such_package'"),
        ("tests.no_such_module:net", "There is no module 'tests.no_such_module'"),
        ("tests.factories.dense:net", "There is no module 'tests.factories.dense'"),
        ("tests.factories:no_such_function", "'tests.factories' has no function 'no_such_"),
        ("tests.factories:NUMBER", "'tests.factories' has no function 'NUMBER'"),
        ("tests.factories:raising", "raises RuntimeError: no weights."),
        ("tests.factories:leaving", "raises SystemExit: 3."),
        ("tests.factories:wanting", "raises TypeError: wanting() missing 1 required positional"),
        ("tests.factories:no_module", "an object of dict, not a torch.nn.Module."),
    ],
)
def test_a_factory_that_cannot_be_used(tmp_path: Path, factory: str, told: str) -> None:
    path = saved(tmp_path, state_of(factories.Dense()))
    with pytest.raises(InvalidArgument) as raised:
        read_with_factory(path, factory, None)
    assert told in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'."),
        ("1 / 0", "when imported, raises ZeroDivisionError: division by zero."),
        ("def (", "when imported, raises SyntaxError: "),
        ("raise SystemExit", "when imported, raises SystemExit."),
    ],
)
def test_a_module_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    (tmp_path / "broken_networks.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, state_of(factories.Dense()))
    with pytest.raises(InvalidArgument) as raised:
        read_with_factory(path, "broken_networks:net", None)
    assert told in str(raised.value)
    assert "The module 'broken_networks'" in str(raised.value)


def test_other_keys_are_listed(tmp_path: Path) -> None:
    state = state_of(factories.Dense())
    path = saved(tmp_path, {f"net.{key}": tensor for key, tensor in state.items()})
    with pytest.raises(UnreadableModel) as raised:
        read_with_factory(path, "tests.factories:dense", None)
    assert str(raised.value) == (
        "The module of 'tests.factories:dense' has other tensors than the file: 'model.pt' lacks "
        "'first.weight', 'first.bias', 'last.weight' and 1 more and 'model.pt' also holds "
        "'net.first.weight', 'net.first.bias', 'net.last.weight' and 1 more."
    )
    del state["last.bias"]
    with pytest.raises(UnreadableModel, match=r"lacks 'last\.bias'\.$"):
        read_with_factory(saved(tmp_path, state), "tests.factories:dense", None)


def test_another_shape(tmp_path: Path) -> None:
    state = {**state_of(factories.Dense()), "last.weight": torch.randn(3, 2)}
    with pytest.raises(
        ShapeMismatch, match=r"'last\.weight' has the shape \(3, 2\), but .*\(2, 3\)"
    ):
        read_with_factory(saved(tmp_path, state), "tests.factories:dense", None)


def test_integers_and_floats_are_not_mixed(tmp_path: Path) -> None:
    state = {**state_of(factories.Dense()), "last.bias": torch.tensor([1, 2])}
    with pytest.raises(InvalidWeights, match=r"'last\.bias' holds int64, .* float32\.$"):
        read_with_factory(saved(tmp_path, state), "tests.factories:dense", None)
    state = {**state_of(factories.Dense()), "count": torch.tensor(1.5)}
    with pytest.raises(InvalidWeights, match=r"'count' holds float32, .* int64\.$"):
        read_with_factory(saved(tmp_path, state), "tests.factories:counting", None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89HDF\r\n\x1a\n", "a factory is for .pt, .pth and .safetensors"),
        (b"", "a factory is for .pt, .pth and .safetensors"),
        (b"\x80\x02cos\nsystem\n", "damaged|would run code"),
        (b"PK\x03\x04", "damaged"),
        (b"\x10\0\0\0\0\0\0\0{", "damaged"),
    ],
)
def test_a_file_that_is_no_state_dict(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(UnreadableModel, match=told):
        read_with_factory(path, "tests.factories:dense", None)
    with pytest.raises(UnreadableModel, match="There is no file"):
        read_with_factory(tmp_path / "none.pt", "tests.factories:dense", None)
    with pytest.raises(UnreadableModel, match="is not a regular file"):
        read_with_factory(tmp_path, "tests.factories:dense", None)


def test_no_code_of_the_file_is_run(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(factories.Dense(), path)
    with pytest.raises(UnreadableModel, match=r"would run code when loaded \(tests\.factories"):
        read_with_factory(path, "tests.factories:dense", None)
