"""Keras ``.h5``: architectures of Keras 2 and 3, weights alone, and files that point elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.layers.build import build
from ingest.network import DenseLinks, Network
from ingest.readers import read
from ingest.readers.keras import hdf5
from store.errors import (
    InputError,
    InvalidArgument,
    InvalidWeights,
    ShapeMismatch,
    UnreadableModel,
    UnsupportedOperation,
)
from tests.keras_files import (
    Tensors,
    call_2,
    call_3,
    called,
    dense,
    layer,
    saved_h5,
    saved_weights,
    sequential,
    value,
)

PUBLISHED = Path(__file__).parents[3] / "shared/reference/mlp-cn/network1.h5"

RANDOM = np.random.default_rng(5)
WEIGHTS: dict[str, dict[str, NDArray[Any]]] = {
    "one": {"kernel": RANDOM.normal(size=(6, 4)).astype("f4"),
            "bias": RANDOM.normal(size=4).astype("f4")},
    "two": {"kernel": RANDOM.normal(size=(4, 3)).astype("f4")},
}  # fmt: skip


ONE = dense("one", 4, "relu", batch_input_shape=[None, 6])
TWO = dense("two", 3, "softmax", use_bias=False)


def saved(folder: Path, config: Any, tensors: Tensors = WEIGHTS, version: str = "2.4.0") -> Path:
    return saved_h5(folder, config, tensors, version)


def links_of(network: Network, block: int) -> DenseLinks:
    links = network.links[block]
    assert isinstance(links, DenseLinks)
    return links


def whole(network: Network, block: int) -> NDArray[np.float64]:
    links = links_of(network, block)
    return links.tile(range(links.sources), range(links.targets))


def activations(network: Network) -> list[str]:
    return [layer.activation for layer in network.layers]


def test_a_sequential_model(tmp_path: Path) -> None:
    network = build(read(saved(tmp_path, sequential(ONE, layer("Dropout", "drop"), TWO))))
    assert [layer.name for layer in network.layers] == ["input", "one", "two"]
    assert activations(network) == ["identity", "relu", "softmax"]
    np.testing.assert_array_equal(whole(network, 0), WEIGHTS["one"]["kernel"])
    np.testing.assert_array_equal(whole(network, 1), WEIGHTS["two"]["kernel"])
    np.testing.assert_array_equal(network.layers[1].bias, WEIGHTS["one"]["bias"])
    assert network.layers[2].bias is None
    assert [tensor.name for tensor in network.parameters] == [
        "one/one/kernel:0",
        "one/one/bias:0",
        "two/two/kernel:0",
    ]
    assert network.source == "keras"
    assert not links_of(network, 0).target_first
    np.testing.assert_array_equal(
        links_of(network, 0).tile(range(2, 5), range(1, 2)), WEIGHTS["one"]["kernel"][2:5, 1:2]
    )


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published network is not at hand")
def test_the_published_network() -> None:
    network = build(read(PUBLISHED))
    assert [(layer.name, layer.size, layer.activation) for layer in network.layers] == [
        ("input", 784, "identity"),
        ("dense_1", 200, "relu"),
        ("dense_2", 100, "relu"),
        ("dense_3", 10, "softmax"),
    ]
    with h5py.File(PUBLISHED) as file:
        for block, name in enumerate(("dense_1", "dense_2", "dense_3")):
            expected = file[f"model_weights/{name}/{name}/kernel:0"][()]
            np.testing.assert_array_equal(whole(network, block), expected)


@pytest.mark.parametrize(
    ("call", "shape", "same_again"),
    [(call_2, "batch_input_shape", ("same", 1)), (call_3, "batch_shape", value("same", 1))],
)
def test_a_functional_model_with_a_shared_layer(
    tmp_path: Path, call: Callable[..., Any], shape: str, same_again: Any
) -> None:
    config = {
        "class_name": "Functional",
        "config": {
            "layers": [
                # Out of order on purpose: only the calls tell what follows what.
                called(dense("out", 2, "sigmoid"), call("act")),
                called(layer("InputLayer", "in", **{shape: [None, 4]})),
                called(dense("same", 4, "tanh"), call("in"), call("same")),
                called(layer("ReLU", "act", max_value=6.0), call(same_again)),
            ]
        },
    }
    tensors = {
        "same": {"kernel": np.eye(4, dtype="f4"), "bias": np.zeros(4, "f4")},
        "out": {"kernel": np.ones((4, 2), "f4"), "bias": np.ones(2, "f4")},
    }
    network = build(read(saved(tmp_path, config, tensors, "3.4.0")))
    assert [layer.name for layer in network.layers] == ["input", "same", "same#2", "out"]
    assert activations(network) == ["identity", "tanh", "tanh, relu6", "sigmoid"]
    assert [links_of(network, block).first for block in range(3)] == [10, 10, 0]


@pytest.mark.parametrize(
    ("told", "version", "text"),
    [
        ("linear", "2", "identity"),
        (None, "3", "identity"),
        ("swish", "2", "silu"),
        ("exponential", "2", "exp"),
        ("elu", "2", "elu(alpha=1)"),
        ("leaky_relu", "3", "leaky_relu(negative_slope=0.2)"),
        ("hard_sigmoid", "2.4.0", "hardsigmoid(slope=0.2)"),
        ("hard_sigmoid", "3.1.0", "hardsigmoid"),
        (layer("LeakyReLU", "l", alpha={"type": "ndarray", "value": 0.5}), "2",
         "leaky_relu(negative_slope=0.5)"),
        (layer("ReLU", "l", negative_slope=0.1), "3", "leaky_relu(negative_slope=0.1)"),
        (layer("ReLU", "l", max_value=2), "3", "hardtanh(min_val=0, max_val=2)"),
        (layer("ELU", "l", alpha=0.3), "3", "elu(alpha=0.3)"),
        (layer("Softmax", "l", axis=-1), "2", "softmax"),
        (layer("Softmax", "l", axis=[1]), "3", "softmax"),
    ],
)  # fmt: skip
def test_activations(tmp_path: Path, told: Any, version: str, text: str) -> None:
    config = sequential(ONE, dense("two", 3, told, use_bias=False))
    assert activations(build(read(saved(tmp_path, config, version=version))))[2] == text


@pytest.mark.parametrize(
    ("first", "options", "asked", "shape"),
    [
        (layer("InputLayer", "in", batch_shape=[None, 2, 3]), {}, None, (2, 3)),
        (layer("InputLayer", "in", batch_shape=[None, None, 3]), {}, (2, 3), (2, 3)),
        (layer("Flatten", "first"), {"build_input_shape": [None, 6, 1]}, None, (6, 1)),
        (layer("Flatten", "first"), {}, (3, 2, 1), (3, 2, 1)),
        (layer("Dropout", "first", input_dim=6), {}, None, (6,)),
        (layer("Dropout", "first"), {}, None, (6,)),
    ],
)
def test_input_shapes(
    tmp_path: Path, first: Any, options: Any, asked: tuple[int, ...] | None, shape: tuple[int, ...]
) -> None:
    config = sequential(first, layer("Flatten", "flat"), dense("one", 4), TWO, **options)
    assert build(read(saved(tmp_path, config), asked)).layers[0].shape == shape


def test_weights_alone_chain(tmp_path: Path) -> None:
    network = build(read(saved(tmp_path, None), activation="relu"))
    assert [layer.name for layer in network.layers] == ["input", "one", "two"]
    assert activations(network) == ["identity", "relu", "unknown"]
    np.testing.assert_array_equal(whole(network, 1), WEIGHTS["two"]["kernel"])


@pytest.mark.parametrize(("stored", "named"), [
    (">f4", "float32"), ("<f8", "float64"), (">f8", "float64"), ("<f2", "float16"),
])  # fmt: skip
def test_dtypes_are_exact(tmp_path: Path, stored: str, named: str) -> None:
    values = RANDOM.normal(size=(3, 2)).astype(stored)
    network = build(read(saved(tmp_path, None, {"a": {"kernel": values}})))
    assert network.parameters[0].dtype == named
    np.testing.assert_array_equal(whole(network, 0), values.astype("f8"))


def test_tensors_of_no_layer_are_kept(tmp_path: Path) -> None:
    graph = read(saved(tmp_path, sequential(ONE)))
    assert [tensor.name for tensor in graph.parameters][2:] == ["two/two/kernel:0"]


def test_weights_of_keras_3_chain_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    # Ten square matrices, which their shapes do not put in order.
    tensors = {
        f"d{number}": {"kernel": RANDOM.normal(size=(3, 3)), "bias": RANDOM.normal(size=3)}
        for number in range(11)
    }
    config = sequential(*(dense(name, 3) for name in tensors))
    network = build(read(saved_weights(tmp_path, config, tensors)))
    assert [layer.name for layer in network.layers][1:4] == ["dense", "dense_1", "dense_2"]
    for number in range(11):
        np.testing.assert_array_equal(whole(network, number), tensors[f"d{number}"]["kernel"])
    assert network.parameters[20].name == "layers/dense_10/vars/0"
    assert network.source == "keras weights"


@pytest.mark.parametrize(
    ("class_name", "roles", "error", "message"),
    [
        ("Embedding", {"embeddings": (5, 3)}, UnsupportedOperation,
         r"'layers/embedding' .* \(it has tensors of the shapes \(5, 3\)\)"),
        ("LSTM", {"cell/kernel": (5, 12), "cell/recurrent_kernel": (3, 12), "cell/bias": (12,)},
         UnsupportedOperation, "'layers/lstm/cell' of .* is not dense"),
        ("Dense", {"kernel": (5, 3, 2)}, ShapeMismatch, "only matrices can be chained"),
    ],
)  # fmt: skip
def test_weights_of_keras_3_that_are_not_dense(
    tmp_path: Path,
    class_name: str,
    roles: dict[str, tuple[int, ...]],
    error: type[InputError],
    message: str,
) -> None:
    tensors = {"a": {role: np.ones(shape) for role, shape in roles.items()}}
    with pytest.raises(error, match=message):
        read(saved_weights(tmp_path, sequential(layer(class_name, "a")), tensors))


def test_many_layer_names_lie_in_several_attributes(tmp_path: Path) -> None:
    path = saved(tmp_path, None)
    with h5py.File(path, "r+") as file:
        del file.attrs["layer_names"]
        file.attrs["layer_names0"] = [b"one"]
        file.attrs["layer_names1"] = [b"two"]
    assert build(read(path)).link_count == 36


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([ONE, layer("Lambda", "danger", function=["code"]), TWO],
         "The model holds Lambda (layer 'danger'), which Weightome cannot ingest."),
        ([layer("Conv2DTranspose", "one"), TWO],
         "The model holds Conv2DTranspose (layer 'one'), which Weightome cannot ingest."),
        ([layer("Masking", "one"), TWO],
         "The model holds Masking (layer 'one'), which Weightome cannot ingest."),
        ([ONE | {"registered_name": "mine>Dense"}],
         "The model holds mine>Dense: Dense (layer 'one'), which Weightome cannot ingest."),
        ([dense("one", 4, "my_function")],
         "The model holds Dense (layer 'one') with the activation 'my_function', which Weightome "
         "cannot ingest."),
        ([dense("one", 4, {"class_name": "function", "config": "Custom>relu",
                           "registered_name": "function"})],
         "The model holds Dense (layer 'one') with the activation 'Custom>relu', which Weightome "
         "cannot ingest."),
        ([ONE, layer("Softmax", "s", axis=0)],
         "The model holds Softmax (layer 's') over the axis '0', which Weightome cannot ingest."),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, layers: Sequence[Any], message: str
) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        read(saved(tmp_path, sequential(*layers)))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("config", "tensors", "error", "message"),
    [
        (sequential(ONE, TWO, dense("three", 2)), WEIGHTS, UnreadableModel, r"'three' has \[\]"),
        (sequential(dense("one", 5), TWO), WEIGHTS, ShapeMismatch, "5 units, but 'one/one/ker"),
        (sequential(ONE, ONE), WEIGHTS, UnreadableModel, "two layers have one name"),
        ({"class_name": "Mine", "config": {}}, WEIGHTS, UnsupportedOperation, "is a Mine, and"),
        ({"class_name": "Functional", "config": {"layers": []}}, WEIGHTS, UnsupportedOperation,
         "has no input"),
        ({}, WEIGHTS, UnreadableModel, "configuration describes no model"),
        (sequential(layer("InputLayer", "in", batch_shape=[None, None])), WEIGHTS,
         InvalidArgument, "pass input_shape"),
        (None, {"a": {"gamma": np.ones(3, "f4")}}, UnsupportedOperation, "'a' .* is not dense"),
        (None, {"a": {"kernel": np.ones((3, 3, 1), "f4")}}, ShapeMismatch, "only matrices"),
        (None, {"a": {"kernel": np.ones((3, 3), "i4")}}, InvalidWeights, "holds int32"),
        (None, {"a": {"kernel": np.ones((3, 4), "f4")}, "b": {"kernel": np.ones((5, 4), "f4")}},
         ShapeMismatch, r"'a/a/kernel:0' \(3, 4\) gives 4 values and 'b/b/kernel:0' "
         r"\(5, 4\) takes 5"),
    ],
)  # fmt: skip
def test_what_does_not_fit(
    tmp_path: Path, config: Any, tensors: Tensors, error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(read(saved(tmp_path, config, tensors)))


def external_link(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    file["two"]["two"]["kernel:0"] = h5py.ExternalLink(str(secret), "secret")


def linked_group(file: h5py.File, secret: Path) -> None:
    del file["two"]
    file["two"] = h5py.ExternalLink(str(secret), "/")


def soft_link(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    file["two"]["two"]["kernel:0"] = h5py.SoftLink("/one/one/kernel:0")


def external_storage(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    file["two"]["two"].create_dataset(
        "kernel:0", (4, 3), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
    )


def virtual_dataset(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[...] = h5py.VirtualSource(str(secret), "secret", (4, 3))
    file["two"]["two"].create_virtual_dataset("kernel:0", layout)


def compressed(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    file["two"]["two"].create_dataset("kernel:0", data=np.ones((4, 3), "f4"), compression="gzip")


def never_stored(file: h5py.File, secret: Path) -> None:
    del file["two"]["two"]["kernel:0"]
    file["two"]["two"].create_dataset("kernel:0", (4, 3), "f4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "a link at 'two/two/kernel:0'"),
        (linked_group, "a link at 'two'"),
        (soft_link, "a link at 'two/two/kernel:0'"),
        (external_storage, "the data of 'two/two/kernel:0' lies outside it"),
        (virtual_dataset, "the data of 'two/two/kernel:0' lies outside it"),
        (compressed, "the data of 'two/two/kernel:0' is compressed"),
        (never_stored, "the data of 'two/two/kernel:0' is missing"),
    ],
    ids=lambda change: getattr(change, "__name__", ""),
)
def test_data_elsewhere_is_not_read(
    tmp_path: Path, change: Callable[[h5py.File, Path], None], message: str
) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["secret"] = np.ones((4, 3), "f4")
    path = saved(tmp_path, None)
    with h5py.File(path, "r+") as file:
        change(file, secret)
    with pytest.raises(UnreadableModel, match=message):
        read(path)


def test_rows_are_read_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    original = np.array

    def counted(values: Any, **options: Any) -> Any:
        copied.append(len(values))
        return original(values, **options)

    block = links_of(build(read(saved(tmp_path, None))), 0)
    monkeypatch.setattr("ingest.readers.mapped.np.array", counted)
    block.tile(range(1, 3), range(4))
    assert copied == [2 * 4 * 4]


def test_hdf5_is_never_loaded_into_this_process(tmp_path: Path) -> None:
    script = (
        "import sys; from ingest.readers import read; "
        f"read({str(saved(tmp_path, None))!r}); "
        "print('h5py' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False False\n"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"HDF5 crashes on it \(signal 11\)"),
        ("import time; time.sleep(60)", "HDF5 found no end of it within 1 seconds"),
        ("import no_such_package", "HDF5 cannot be run .* No module named 'no_such_package'"),
    ],
)
def test_a_crash_of_hdf5_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    script = tmp_path / "child.py"
    script.write_text(program)
    monkeypatch.setattr(hdf5, "_INDEX", script)
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    with pytest.raises(UnreadableModel, match=message):
        read(saved(tmp_path, None))
