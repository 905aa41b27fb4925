"""Export gives the file back bit for bit; a forward pass from the store is the network's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ingest
from queries.export import export
from queries.forward import forward
from queries.weights import tensors
from store.database import Database
from store.errors import Conflict, InvalidArgument, NotFound, VerificationFailed
from store.query import Query

Ingested = Callable[..., str]


@pytest.fixture
def ingested(database: Database, request: pytest.FixtureRequest) -> Iterator[Ingested]:
    names: list[str] = []

    def write(model: object, **options: object) -> str:
        name = f"{request.node.name} {len(names)}"
        ingest.ingest(model, name=name, database=database, **options)  # type: ignore[arg-type]
        names.append(name)
        return name

    yield write
    for name in names:
        ingest.delete(database, name)


def mlp(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 9), *layers, nn.Linear(9, 4)).eval()


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_export_is_bit_equal(
    database: Database, ingested: Ingested, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = mlp().to(dtype).state_dict()
    state["0.weight"][0, 0] = -0.0
    state["0.weight"][0, 1] = torch.finfo(dtype).tiny / 4
    # The sums that verify an ingest end below float64's own greatest number.
    state["0.weight"][0, 2] = min(torch.finfo(dtype).max, 1e300)
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    table = export(database, ingested(file), tmp_path / "out.safetensors")
    back = load_file(tmp_path / "out.safetensors")
    assert set(back) == set(state)
    for key, tensor in state.items():
        assert back[key].dtype == dtype
        assert back[key].shape == tensor.shape
        assert bits(back[key]) == bits(tensor)
    assert sorted(table.column("tensor")) == sorted(state)
    assert sum(table.column("values")) == 7 * 9 + 9 + 9 * 4 + 4


def test_export_of_a_live_module_loads_into_it(
    database: Database, ingested: Ingested, tmp_path: Path
) -> None:
    model = mlp(nn.ReLU())
    file = tmp_path / "out.safetensors"
    export(database, ingested(model), file)
    other = mlp(nn.ReLU(), seed=1)
    other.load_state_dict(load_file(file))
    for key, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], tensor)


class Tied(nn.Module):
    """One layer used twice, under two keys."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.again = self.first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(torch.tanh(self.first(x)))  # type: ignore[no-any-return]


def test_tied_weights(database: Database, ingested: Ingested, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = Tied().eval()
    name = ingested(model)
    export(database, name, tmp_path / "out.safetensors")
    back = load_file(tmp_path / "out.safetensors")
    assert set(back) == set(model.state_dict())
    assert torch.equal(back["again.weight"], model.first.weight)
    x = torch.randn(3, 5)
    np.testing.assert_allclose(
        forward(database, name, x.numpy()), model(x).detach().numpy(), atol=1e-6
    )


def test_a_file_is_not_overwritten(database: Database, ingested: Ingested, tmp_path: Path) -> None:
    name = ingested(mlp())
    file = tmp_path / "out.safetensors"
    file.write_bytes(b"precious")
    with pytest.raises(Conflict, match="There is a file"):
        export(database, name, file)
    assert file.read_bytes() == b"precious"
    export(database, name, file, replace=True)
    assert set(load_file(file)) == set(mlp().state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]
    with pytest.raises(InvalidArgument, match=r"exported to a \.safetensors file"):
        export(database, name, tmp_path / "out.pt")
    with pytest.raises(InvalidArgument, match="cannot be written"):
        export(database, name, tmp_path / "nowhere" / "out.safetensors")
    with pytest.raises(NotFound):
        export(database, "nothing", tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE link", "1 of the 63 values of '0.weight' are not in the store"),
        ("SET link.param = link.param + 1", "give one parameter two values"),
    ],
)
def test_a_damaged_store_is_told(
    database: Database, ingested: Ingested, damage: str, says: str
) -> None:
    name = ingested(mlp())
    database.write(
        Query(
            "damage",
            "",
            "MATCH (:Network {name: $name})-[:HAS_LAYER]->({name: '0'})-[:HAS_NEURON]->"
            f"({{index: 0}})<-[link:LINK {{param: 3}}]-() {damage}",
        ),
        name=name,
    )
    with pytest.raises(VerificationFailed, match=says):
        list(tensors(database, name))


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.CELU(1.5), nn.SELU(), nn.GELU(),
    nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.LogSigmoid(),
    nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(-0.5, 0.7), nn.Tanh(), nn.Tanhshrink(),
    nn.Softshrink(0.1), nn.Hardshrink(0.1), nn.Threshold(0.1, -2.0), nn.Softplus(2.0, 1.0),
    nn.Softsign(), nn.Softmax(dim=-1), nn.Softmin(dim=-1), nn.LogSoftmax(dim=1),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_forward_equals_torch(
    database: Database, ingested: Ingested, activation: nn.Module
) -> None:
    model = mlp(activation, nn.Dropout(0.5), nn.Linear(9, 9), activation)
    x = torch.randn(11, 7) * 3
    expected = model(x).detach().numpy()
    got = forward(database, ingested(model), x.numpy())
    assert got.shape == (11, 4)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(got) > 1e-3, "a constant would agree with anything"


def test_forward_of_weights_alone(database: Database, ingested: Ingested, tmp_path: Path) -> None:
    model = mlp(nn.ReLU())
    file = tmp_path / "model.safetensors"
    save_file({f"{key}": value for key, value in model.state_dict().items()}, file)
    name = ingested(file)
    x = torch.randn(5, 7)
    with pytest.raises(InvalidArgument, match="held weights and no activations"):
        forward(database, name, x.numpy())
    np.testing.assert_allclose(
        forward(database, name, x.numpy(), activation="relu"), model(x).detach(), atol=1e-6
    )


def test_inputs_that_do_not_fit(database: Database, tiny: str) -> None:
    with pytest.raises(InvalidArgument, match="A sample has 3 values, but the network takes 2"):
        forward(database, tiny, np.zeros((1, 3)))
    with pytest.raises(InvalidArgument, match="NaN or infinite"):
        forward(database, tiny, np.array([[np.nan, 1.0]]))
    with pytest.raises(InvalidArgument, match="not an array of numbers"):
        forward(database, tiny, np.array([["a", "b"]]))
    shaped = forward(database, tiny, np.ones((2, 1, 2)))
    assert shaped.tolist() == forward(database, tiny, np.ones((2, 2))).tolist()
    # (1 + 4 + .1, -2 + 5 + .2, 3 - 6 + .3) times W1, plus b1, by hand.
    assert shaped[0] == pytest.approx([-17.5, 38.7])
