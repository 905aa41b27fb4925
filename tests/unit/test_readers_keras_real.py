"""Models that Keras itself writes, where Keras is installed: what it predicts, and its files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.interpreter import interpret
from tests.keras_files import given, layer, read_here, saved_h5, saved_weights, sequential

RANDOM = np.random.default_rng(15)


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Keras on torch, which the project has; it writes its settings into a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
        yield pytest.importorskip("keras", reason="Keras is not installed")


def convolutions(keras: Any) -> Any:
    layers = keras.layers
    first = image = keras.Input((12, 11, 3))
    value = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(first)
    value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
    side = layers.DepthwiseConv2D(3, padding="same", activation="swish")(value)
    value = layers.Add()([value, side])
    value = layers.Concatenate()([value, layers.SeparableConv2D(3, 2, padding="same")(value)])
    value = layers.PReLU(shared_axes=[1, 2])(layers.ZeroPadding2D(((0, 1), (1, 0)))(value))
    gate = layers.Conv2D(7, 1, activation="sigmoid")(
        layers.GlobalAveragePooling2D(keepdims=True)(value)
    )
    value = layers.AveragePooling2D(3, 2, padding="same")(layers.Multiply()([value, gate]))
    flat = layers.Flatten()(layers.UpSampling2D(2)(value))
    return keras.Model(image, layers.Dense(5, "softmax")(layers.Dropout(0.5)(flat)))


def channels_first(keras: Any) -> Any:
    layers, first = keras.layers, {"data_format": "channels_first"}
    return keras.Sequential(
        [
            keras.Input((3, 9, 8)),
            layers.Conv2D(4, 3, padding="same", strides=2, activation="softmax", **first),
            layers.BatchNormalization(axis=1),
            layers.MaxPooling2D(**first),
            layers.GroupNormalization(2, axis=1),
            layers.Flatten(**first),
            layers.Dense(3),
        ]
    )


def sequences(keras: Any) -> Any:
    layers = keras.layers
    first, second = keras.Input((6, 3)), keras.Input((4, 2))
    value = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(first)
    value = layers.LayerNormalization()(layers.TimeDistributed(layers.Dense(5, "tanh"))(value))
    value, *states = layers.LSTM(4, return_sequences=True, return_state=True)(value)
    other = layers.LSTM(4, return_sequences=True)(second, initial_state=states)
    value = layers.Bidirectional(layers.GRU(3, reset_after=False), merge_mode="mul")(value)
    other = layers.GRU(3, go_backwards=True, return_sequences=True)(other)
    last = layers.SimpleRNN(3, activation="relu", go_backwards=True)(other)
    return keras.Model([first, second], [layers.Average()([value, last]), other])


def transformer(keras: Any) -> Any:
    layers = keras.layers
    words = keras.Input((5,), dtype="int32")
    value = layers.Embedding(9, 6)(words)
    attended = layers.MultiHeadAttention(2, 3, value_dim=4)(value, value, use_causal_mask=True)
    value = layers.LayerNormalization()(value + attended)
    value = layers.RMSNormalization()(layers.Dense(6)(layers.Dense(8, "gelu")(value)) * 0.5 - value)
    return keras.Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(value)))


def nested(keras: Any) -> Any:
    layers = keras.layers
    head = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, trainable=False),
            layers.BatchNormalization(),
            layers.Dense(4, "elu"),
        ]
    )
    inner = keras.Input((4,))
    value = head(inner)
    model = keras.Model(inner, [value, layers.Dense(2)(value)])
    first, second = keras.Input((4,)), keras.Input((4,))
    one, two = model(first)
    three, four = model(one)
    five, _ = model(second)
    return keras.Model([first, second], [layers.Subtract()([three, five]), two, four])


MODELS = (convolutions, channels_first, sequences, transformer, nested)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
@pytest.mark.filterwarnings("ignore")
def test_what_keras_predicts(
    tmp_path: Path, keras: Any, build: Callable[[Any], Any], suffix: str
) -> None:
    keras.utils.set_random_seed(3)
    model = build(keras)
    model.set_weights(
        [np.abs(RANDOM.normal(size=array.shape)) * 0.5 for array in model.get_weights()]
    )
    model.save(tmp_path / f"model.{suffix}")
    graph = read_here(tmp_path / f"model.{suffix}")
    arrays = [
        RANDOM.integers(0, 9, (3, *value.shape[1:]))
        if "int" in str(value.dtype)
        else RANDOM.normal(size=(3, *value.shape[1:])).astype("f4")
        for value in model.inputs
    ]
    names = [operation.name for operation in graph.operations if operation.kind == "input"]
    result = interpret(graph, dict(zip(names, arrays, strict=True)))
    expected = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
    expected = expected if isinstance(expected, list | tuple) else [expected]
    for found, one in zip(result, expected, strict=True):
        np.testing.assert_allclose(found, one, rtol=2e-4, atol=2e-5)


def tree(group: Any) -> set[Any]:
    """Every tensor of a file with its place, and what attributes say about names."""
    found: set[Any] = set()

    def visit(name: str, member: Any) -> None:
        if "optimizer" in name:
            return
        if isinstance(member, h5py.Dataset):
            layout = member.id.get_create_plist().get_layout()
            found.add((name, member.shape, str(member.dtype), layout))
        for key in member.attrs.keys() - {"keras_version", "backend"}:
            found.add((name, key, str(np.asarray(member.attrs[key]).astype("U").tolist())))

    group.visititems(visit)
    return found


@pytest.mark.filterwarnings("ignore")
def test_our_files_are_laid_out_as_keras_writes_them(tmp_path: Path, keras: Any) -> None:
    layers = keras.layers
    head = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, trainable=False, name="frozen"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(2, name="free"),
        ],
        name="head",
    )
    # A Sequential would put its name before those of its layers.
    first = value = keras.Input((5, 3), name="in")
    for one in (
        layers.Conv1D(4, 2, name="one"),
        layers.Conv1D(4, 2, name="two"),
        layers.Bidirectional(layers.LSTM(3, name="lstm"), name="both"),
        head,
    ):
        value = one(value)
    model = keras.Model(first, value)
    model.save(tmp_path / "theirs.h5")
    model.save_weights(tmp_path / "theirs.weights.h5")
    frozen = layer("Dense", "frozen", units=6, trainable=False)
    inner = [given("x", 6), frozen, layer("BatchNormalization", "norm"), layer("Dense", "free")]
    config = sequential(
        given("in", 5, 3),
        layer("Conv1D", "one"),
        layer("Conv1D", "two"),
        layer("Bidirectional", "both", layer=layer("LSTM", "lstm")),
        sequential(*inner, name="head"),
    )

    def ones(**shapes: tuple[int, ...]) -> dict[str, Any]:
        return {name.replace("__", "/"): np.ones(shape, "f4") for name, shape in shapes.items()}

    cell = {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
    ways = {f"{way}_layer__cell__{role}": shape for way in ("forward", "backward")
            for role, shape in cell.items()}  # fmt: skip
    tensors = {
        "one": ones(kernel=(2, 3, 4), bias=(4,)),
        "two": ones(kernel=(2, 4, 4), bias=(4,)),
        "both": ones(**ways),
        "head/frozen": ones(kernel=(6, 6), bias=(6,)),
        "head/norm": ones(gamma=(6,), beta=(6,), moving_mean=(6,), moving_variance=(6,)),
        "head/free": ones(kernel=(6, 2), bias=(2,)),
    }
    ours = saved_h5(tmp_path, config, tensors, "3.4.0")
    with h5py.File(ours) as one, h5py.File(tmp_path / "theirs.h5") as two:
        assert tree(one) == tree(two)
    ours = saved_weights(tmp_path, config, tensors)
    with h5py.File(ours) as one, h5py.File(tmp_path / "theirs.weights.h5") as two:
        # Names of parts that have no tensors of their own differ between releases.
        ours_only, theirs_only = (
            {entry for entry in tree(file) if entry[1] != "name"} for file in (one, two)
        )
        assert ours_only == theirs_only
