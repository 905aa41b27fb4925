"""``.keras`` archives: read in place; refused where damaged, packed or pointing elsewhere."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from ingest.readers.keras.zip import is_keras, read_keras_archive
from store.errors import InputError, InvalidArgument, InvalidWeights, UnreadableModel
from tests.interpreter import interpret
from tests.keras_files import (
    call_3,
    called,
    dense,
    functional,
    given,
    graph_of,
    layer,
    read_here,
    saved_keras,
    saved_weights,
    sequential,
    value,
)

RANDOM = np.random.default_rng(14)

MODEL = sequential(given("in", 6), dense("one", 4, "relu"), layer("Dropout", "d"), dense("two", 3))
TENSORS = {
    "one": {"kernel": RANDOM.normal(size=(6, 4)), "bias": RANDOM.normal(size=4)},
    "two": {"kernel": RANDOM.normal(size=(4, 3)), "bias": RANDOM.normal(size=3)},
}


def test_an_archive_is_read_in_place(tmp_path: Path) -> None:
    path = saved_keras(tmp_path, MODEL, TENSORS)
    before = set(tmp_path.iterdir())
    graph = read_keras_archive(path, None, None)
    assert set(tmp_path.iterdir()) == before
    assert [tensor.name for tensor in graph.parameters] == [
        "layers/dense/vars/0", "layers/dense/vars/1",
        "layers/dense_1/vars/0", "layers/dense_1/vars/1",
    ]  # fmt: skip
    assert graph.source == "keras"
    assert graph.outputs == ("two",)
    # The file may go: its bytes stay mapped.
    path.unlink()
    x = RANDOM.normal(size=(5, 6))
    (result,) = interpret(graph, x)
    hidden = np.maximum(x @ TENSORS["one"]["kernel"] + TENSORS["one"]["bias"], 0)
    expected = hidden @ TENSORS["two"]["kernel"] + TENSORS["two"]["bias"]
    np.testing.assert_allclose(result, expected, atol=1e-12)
    np.testing.assert_array_equal(graph.parameters[0].read(2, 5), TENSORS["one"]["kernel"][2:5])


def test_neither_hdf5_nor_torch_is_loaded(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; "
        "from ingest.readers.keras.zip import read_keras_archive as read; "
        f"read(Path({str(saved_keras(tmp_path, MODEL, TENSORS))!r}), None, None); "
        "print('h5py' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False False\n"


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["config.json", "model.weights.h5", "metadata.json"], True),
        (["config.json", "model.weights.npz"], False),
        (["archive/data.pkl"], False),
        (None, False),
    ],
)
def test_what_is_an_archive_of_keras(tmp_path: Path, names: list[str] | None, answer: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"PK, but no zip")
    if names is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "{}")
    assert is_keras(path) is answer


def test_bfloat16_and_integers_are_exact(tmp_path: Path) -> None:
    path = saved_weights(tmp_path, MODEL, TENSORS)
    halves = np.array([0x3F80, 0xC020, 0x0001, 0x7F7F], "<u2")
    with h5py.File(path, "r+") as file:
        group = file["layers/dense/vars"]
        del group["1"]
        # As Keras writes it: two bytes that HDF5 has no name for.
        group.create_dataset("1", data=halves.view("V2")).attrs["dtype"] = "bfloat16"
        file["of_users/vars/0"] = np.array([[3], [70000]], ">u4")
    graph = read_here(_archive(tmp_path, MODEL, path.read_bytes()))
    bias = graph.parameters[1]
    assert bias.dtype == "bfloat16"
    expected = (halves.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(bias.array(), expected)
    numbers = graph.parameters[4]
    assert (numbers.name, numbers.dtype, numbers.shape) == ("of_users/vars/0", "uint32", (2, 1))
    assert numbers.read(1, 2).dtype == np.int64
    np.testing.assert_array_equal(numbers.read(1, 2), [[70000]])


def _archive(folder: Path, config: Any, weights: bytes) -> Path:
    """An archive around weights."""
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.4.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    return path


def external_link(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink(str(secret), "secret")


def linked_group(file: h5py.File, secret: Path) -> None:
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink(str(secret), "/")


def linked_variables(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars"]
    file["layers/dense/vars"] = h5py.SoftLink("/layers/dense_1/vars")


def external_storage(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset(
        "0", (6, 4), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
    )


def compressed(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", data=np.ones((6, 4)), compression="gzip")


def a_loop(file: h5py.File, secret: Path) -> None:
    file["layers/dense/again"] = file["layers"]


def one_more(file: h5py.File, secret: Path) -> None:
    file["layers/dense/vars/2"] = np.ones(3)


def one_less(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/1"]


def of_integers(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars/1"] = np.ones(4, "i4")


def of_words(file: h5py.File, secret: Path) -> None:
    del file["layers/dense/vars/1"]
    file["layers/dense/vars/1"] = np.array([b"word"] * 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (external_link, UnreadableModel, "there is a link at 'layers/dense/vars/0'"),
        (linked_group, UnreadableModel, "there is a link at 'layers/dense'"),
        (linked_variables, UnreadableModel, "there is a link at 'layers/dense/vars'"),
        (external_storage, UnreadableModel, "the data of 'layers/dense/vars/0' lies outside it"),
        (compressed, UnreadableModel, "the data of 'layers/dense/vars/0' is compressed"),
        (a_loop, UnreadableModel, "its groups lie more than 100 deep in each other"),
        (one_more, UnreadableModel, r"layer 'one' has 3 tensors, not \['bias', 'kernel'\]"),
        (one_less, UnreadableModel, r"layer 'one' has 1 tensors, not \['bias', 'kernel'\]"),
        (of_integers, InvalidWeights, "'layers/dense/vars/1' holds int32"),
        (of_words, InvalidWeights, "'layers/dense/vars/1' holds"),
    ],
    ids=lambda change: getattr(change, "__name__", ""),
)
def test_tensors_that_are_refused(
    tmp_path: Path,
    change: Callable[[h5py.File, Path], None],
    error: type[InputError],
    message: str,
) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["secret"] = np.ones((6, 4))
    path = saved_weights(tmp_path, MODEL, TENSORS)
    with h5py.File(path, "r+") as file:
        change(file, secret)
    with pytest.raises(error, match=message):
        read_keras_archive(_archive(tmp_path, MODEL, path.read_bytes()), None, None)


def test_packed_weights_are_refused(tmp_path: Path) -> None:
    path = saved_keras(tmp_path, MODEL, TENSORS, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UnreadableModel, match=r"The weights in 'model\.keras' are compressed, as"):
        read_keras_archive(path, None, None)


def test_a_member_that_would_unpack_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.readers.keras.zip.LONGEST_JSON", 1000)
    path = saved_keras(tmp_path, {**MODEL, "more": " " * 100_000}, TENSORS)
    with pytest.raises(UnreadableModel, match=r"its config\.json is longer than 1000 bytes"):
        read_keras_archive(path, None, None)


def test_an_activation_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="tells its activations itself: pass none"):
        read_keras_archive(saved_keras(tmp_path, MODEL, TENSORS), None, "relu")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"config.json": b"{"}, "its configuration is not JSON"),
        ({"config.json": b"\xff\xfe"}, r"its config\.json is no text"),
        ({"config.json": b"[" * 5000}, "its configuration is not JSON"),
        ({"config.json": b"[]"}, "its configuration describes no model"),
        ({"metadata.json": b"{"}, r"its metadata\.json is not JSON"),
        ({"model.weights.h5": b""}, "is damaged or truncated"),
        ({"model.weights.h5": b"no HDF5 at all"}, "is damaged or truncated"),
    ],
)
def test_damaged_members(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    path = saved_keras(tmp_path, MODEL, TENSORS)
    with zipfile.ZipFile(path) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**whole, **members}.items():
            archive.writestr(name, content)
    with pytest.raises(UnreadableModel, match=message):
        read_keras_archive(path, None, None)


def test_an_archive_without_metadata_is_of_keras_3(tmp_path: Path) -> None:
    config = sequential(given("in", 6), dense("one", 4, "hard_sigmoid"))
    weights = saved_weights(tmp_path, config, {"one": TENSORS["one"]}).read_bytes()
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    assert read_here(path).operations[-1].attributes == {}
    old = saved_keras(tmp_path, config, {"one": TENSORS["one"]}, version="2.15.0")
    assert read_here(old).operations[-1].attributes == {"slope": 0.2}


def test_truncated_and_changed_archives_raise_our_errors_only(tmp_path: Path) -> None:
    path = saved_keras(tmp_path, MODEL, TENSORS)
    whole = path.read_bytes()
    # Changes within HDF5 could crash it, which it may in a child only.
    begin, end = whole.index(b"\x89HDF"), whole.rindex(b"PK\x01\x02")
    places = st.one_of(st.integers(0, begin - 1), st.integers(end, len(whole) - 1))

    @settings(max_examples=150, deadline=None)
    @for_all(place=places, byte=st.integers(0, 255), cut=st.booleans())
    def changed(place: int, byte: int, cut: bool) -> None:
        content = whole[:place] if cut else whole[:place] + bytes([byte]) + whole[place + 1 :]
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            graph = read_here(path)
            assert not cut
            assert all(tensor.array().shape == tensor.shape for tensor in graph.parameters)

    changed()


def test_changed_hdf5_raises_our_errors_only(tmp_path: Path) -> None:
    path = saved_keras(tmp_path, MODEL, TENSORS)
    whole = path.read_bytes()
    begin, end = whole.index(b"\x89HDF"), whole.rindex(b"PK\x01\x02")
    for place in RANDOM.integers(begin, end, 12):
        path.write_bytes(whole[:place] + bytes([255 - whole[place]]) + whole[place + 1 :])
        with contextlib.suppress(InputError):
            read_keras_archive(path, None, None)


def test_configurations_that_are_changed_raise_our_errors_only(tmp_path: Path) -> None:
    conv = {"filters": 3, "kernel_size": [2, 2], "padding": "same", "activation": "relu"}
    layers = [
        called(given("in", 4, 5, 3)),
        called(layer("Conv2D", "c", strides=[1, 1], data_format="channels_last", **conv),
               call_3("in")),
        called(layer("BatchNormalization", "n", axis=-1, scale=False, center=False), call_3("c")),
        called(layer("Add", "a"), call_3([value("n"), value("in", shape=[None, 4, 5, 3])])),
        called(layer("Reshape", "r", target_shape=[-1, 3]), call_3("a")),
        called(layer("Bidirectional", "b", merge_mode="sum", layer=layer("LSTM", "l", units=2)),
               call_3("r")),
        called(sequential(given("x", 2), dense("d", 2), name="inner"), call_3("b", mask=None)),
    ]  # fmt: skip
    config = functional(layers, [["in", 0, 0]], [["inner", 0, 0]])
    directions = {
        f"{way}_layer/cell/{role}": RANDOM.normal(size=shape)
        for way in ("forward", "backward")
        for role, shape in (("kernel", (3, 8)), ("recurrent_kernel", (2, 8)), ("bias", (8,)))
    }
    tensors = {
        "c": {"kernel": RANDOM.normal(size=(2, 2, 3, 3)), "bias": RANDOM.normal(size=3)},
        "n": {"moving_mean": np.zeros(3), "moving_variance": np.ones(3)},
        "b": directions,
        "inner/d": {"kernel": np.eye(2), "bias": np.zeros(2)},
    }
    assert graph_of(tmp_path, config, tensors).outputs == ("inner/d",)
    text = json.dumps(config)
    values = st.sampled_from(
        [None, True, 0, 1, -1, 7, 10**30, 1.5, "", "same", [], [1], [[1, 2], [3, 4]], {},
         ["c", 0, 0], "channels_first", "LSTM", value("c"), "Functional"]
    )  # fmt: skip

    @settings(max_examples=150, deadline=None)
    @for_all(data=st.data())
    def changed(data: Any) -> None:
        copy = json.loads(text)
        places = list(_places(copy))
        for holder, key in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=2)):
            holder[key] = data.draw(values)
        weights = saved_weights(tmp_path, config, tensors).read_bytes()
        with contextlib.suppress(InputError):
            read_here(_archive(tmp_path, copy, weights))

    changed()


def _places(part: Any) -> Any:
    """Every entry of nested dicts and lists: what holds it, and its key."""
    for key in part if isinstance(part, dict) else range(len(part)):
        yield part, key
        if isinstance(part[key], dict | list):
            yield from _places(part[key])


def test_another_hdf5_file_in_the_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"one"]
        file.create_group("one").attrs["weight_names"] = np.zeros(0)
    archive = _archive(tmp_path, MODEL, path.read_bytes())
    with pytest.raises(UnreadableModel, match=r"its model\.weights\.h5 is not as Keras writes it"):
        read_here(archive)
