"""Views, shapes, factories and opaque layers, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from safetensors.torch import load_file
from torch import nn

import ingest
from queries.export import export
from queries.forward import forward
from store.database import Database
from store.errors import InvalidArgument, NotFound

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def weightome(
    command_environment: dict[str, str], tmp_path: Path, database: Database
) -> Iterator[Command]:
    """Runs the command in a folder of its own; what it ingested is deleted after the test."""
    names: list[str] = []

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "weightome", *arguments],
            cwd=tmp_path,
            env=command_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if "--name" in arguments and not done.returncode:
            names.append(arguments[arguments.index("--name") + 1])
        return done

    yield run
    for name in names:
        ingest.delete(database, name)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return dict(zip(told["columns"], told["rows"][0], strict=True))


FACTORY = """
from torch import nn

def model():
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
"""


def test_a_convolution_in_both_views(
    weightome: Command, database: Database, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    (tmp_path / "mine.py").write_text(FACTORY)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)
    ).eval()
    torch.save(module.state_dict(), tmp_path / "cnn.pth")
    options = ("--factory", "mine:model", "--input-shape", "2,4,4", "--format", "json")
    shared = answer(weightome("ingest", "cnn.pth", "--name", "cnn shared", *options))
    # A link for each weight: 54 in the kernels, 96 in the matrix.
    assert (shared["neurons"], shared["links"]) == (2 + 3 + 2, 54 + 96)
    estimate = answer(weightome("estimate", "cnn.pth", "--view", "unrolled", *options))
    unrolled = answer(
        weightome("ingest", "cnn.pth", "--name", "cnn unrolled", "--view", "unrolled", *options)
    )
    # At 4 x 4 places with padding 1 each axis has 3 * 4 - 2 = 10 uses of its three places.
    assert (unrolled["neurons"], unrolled["links"]) == (32 + 48 + 2, 2 * 3 * 100 + 96)
    for key in ("layers", "neurons", "links", "wires"):
        assert estimate[key] == unrolled[key]
    x = torch.randn(5, 2, 4, 4)
    np.save(tmp_path / "x.npy", x.numpy())
    done = weightome("forward", "cnn unrolled", "--input", "x.npy", "--output", "y.npy")
    assert done.returncode == 0, done.stderr
    expected = module(x).detach().numpy()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        forward(database, "cnn shared", x.numpy()), expected, rtol=1e-5, atol=1e-6
    )
    neurons = json.loads(weightome("neurons", "cnn unrolled", "0", "--format", "json").stdout)
    places = [row[neurons["columns"].index("place")] for row in neurons["rows"]]
    assert places[:2] == [[0, 0, 0], [0, 0, 1]]
    assert places[-1] == [2, 3, 3]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--input-shape", "2,four"), "--input-shape wants whole numbers, such as 3,32,32"),
        (("--factory", "mine:nothing"), "mine"),
        (("--view", "rolled"), "rolled"),
    ],
)
def test_bad_options(
    weightome: Command, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    (tmp_path / "mine.py").write_text(FACTORY)
    torch.save({"0.weight": torch.ones(2, 3)}, tmp_path / "net.pth")
    done = weightome("estimate", "net.pth", *arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def strange(path: Path) -> dict[str, np.ndarray]:
    """An ONNX file with an operator between two matrices that nobody here knows."""
    random = np.random.default_rng(0)
    weights = {
        "one": random.normal(size=(3, 4)).astype(np.float32),
        "two": random.normal(size=(4, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"], name="first"),
        helper.make_node("LpPool", ["b"], ["c"], name="odd", kernel_shape=[1], p=3),
        helper.make_node("MatMul", ["d", "two"], ["y"], name="second"),
    ]
    nodes.insert(1, helper.make_node("Unsqueeze", ["a", "axes"], ["b"], name="more"))
    nodes.insert(3, helper.make_node("Squeeze", ["c", "axes"], ["d"], name="less"))
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", float32, ["batch", 3])],
        [helper.make_tensor_value_info("y", float32, ["batch", 2])],
        [
            *(numpy_helper.from_array(value, name) for name, value in weights.items()),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return weights


def test_what_is_not_understood_is_kept_when_asked(
    weightome: Command, database: Database, tmp_path: Path
) -> None:
    weights = strange(tmp_path / "odd.onnx")
    refused = weightome("ingest", "odd.onnx", "--name", "refused")
    assert refused.returncode == 1
    assert "The model holds LpPool (layer 'odd'), which Weightome cannot ingest." in refused.stderr
    with pytest.raises(NotFound):
        ingest.delete(database, "refused")
    options = ("--allow-opaque", "--format", "json")
    report = answer(weightome("ingest", "odd.onnx", "--name", "odd", *options))
    assert report["opaque"] == ["odd (LpPool)"]
    layers = json.loads(weightome("layers", "odd", "--format", "json").stdout)
    by_name = {row[0]: dict(zip(layers["columns"], row, strict=True)) for row in layers["rows"]}
    assert by_name["odd"]["kind"] == "opaque"
    assert (by_name["odd"]["links_in"], by_name["odd"]["wires_in"]) == (0, 0)
    assert by_name["odd"]["fed_by"] == ["first"]
    with pytest.raises(InvalidArgument, match=r"Layer 'odd' \(LpPool\) is opaque"):
        forward(database, "odd", np.ones((1, 3)))
    export(database, "odd", tmp_path / "back.safetensors")
    back = load_file(tmp_path / "back.safetensors")
    for name, value in weights.items():
        np.testing.assert_array_equal(back[name].numpy(), value)
