"""Files as Keras writes them, made without Keras: an ``.h5`` of Keras 2 or 3, and a ``.keras``.

And what the readers make of them, with HDF5 in this process: a child takes longer than the rest.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ingest.operations import OperationGraph
from ingest.readers.keras import hdf5, hdf5_index
from ingest.readers.keras.h5 import read_keras
from ingest.readers.keras.zip import read_keras_archive
from ingest.readers.wording import damaged
from tests.interpreter import interpret

Entry = dict[str, Any]
# Of each layer, by its name after those of the models around it, arrays by the path below the layer
# that a ``.keras`` has for them: {"inner/lstm": {"cell/kernel": ...}}.
Tensors = Mapping[str, Mapping[str, NDArray[Any]]]


def layer(class_name: str, name: str, **config: Any) -> Entry:
    return {"class_name": class_name, "config": {"name": name, **config}}


def dense(name: str, units: int, activation: Any = "linear", **config: Any) -> Entry:
    return layer("Dense", name, units=units, activation=activation, **config)


def given(name: str, *shape: int | None, **config: Any) -> Entry:
    """An input layer."""
    return layer("InputLayer", name, batch_shape=[None, *shape], **config)


def sequential(*layers: Entry, name: str = "model", **config: Any) -> Entry:
    return {"class_name": "Sequential", "config": {"name": name, "layers": [*layers], **config}}


def functional(
    layers: list[Entry], inputs: list[Any], outputs: list[Any], name: str = "model", **config: Any
) -> Entry:
    """Layers with their calls; inputs and outputs as ``[name, call, tensor]``."""
    return {
        "class_name": "Functional",
        "config": {
            "name": name,
            "layers": layers,
            "input_layers": inputs,
            "output_layers": outputs,
            **config,
        },
    }


def called(entry: Entry, *calls: Any) -> Entry:
    """A layer of a functional model."""
    return {**entry, "name": entry["config"]["name"], "inbound_nodes": list(calls)}


def value(
    name: str, call: int = 0, tensor: int = 0, shape: list[int | None] | None = None
) -> Entry:
    """A value, in the notation of Keras 3."""
    told = {"shape": shape, "dtype": "float32", "keras_history": [name, call, tensor]}
    return {"class_name": "__keras_tensor__", "config": told}


def call_3(*args: Any, **kwargs: Any) -> Entry:
    """Arguments of a call, in the notation of Keras 3; a name stands for the layer's only value."""
    return {
        "args": [value(argument) if isinstance(argument, str) else argument for argument in args],
        "kwargs": kwargs,
    }


def call_2(*names: str | tuple[str, int], **kwargs: Any) -> list[Any]:
    """The same in the notation of Keras 2."""
    pairs = [name if isinstance(name, tuple) else (name, 0) for name in names]
    return [[name, number, 0, kwargs] for name, number in pairs]


def saved_h5(folder: Path, config: Entry | None, tensors: Tensors, version: str = "2.4.0") -> Path:
    """A whole model, or the weights that Keras 2 saves without a model."""
    path = folder / "model.h5"
    ending = ":0" if version.startswith("2") else ""
    with h5py.File(path, "w") as file:
        weights = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
            weights = file.create_group("model_weights")
            file.create_group("optimizer_weights").attrs["weight_names"] = [b"SGD/steps:0"]
        for group in {file, weights}:
            group.attrs["keras_version"] = version
            group.attrs["backend"] = "tensorflow"
        leaves = dict(_leaves(config, "")) if config is not None else {}
        outer: dict[str, list[tuple[bool, str, NDArray[Any]]]] = {
            name: [] for name in (entry for entry in leaves if "/" not in entry)
        }
        for place, roles in tensors.items():
            top, _, below = place.partition("/")
            entry = leaves.get(place, {})
            frozen = not entry.get("config", {}).get("trainable", True)
            for role, array in roles.items():
                scope = "/".join(filter(None, (top, below, _scope(entry, role)))) + ending
                outer.setdefault(top, []).append((frozen or "moving" in role, scope, array))
        weights.attrs["layer_names"] = [name.encode() for name in outer]
        for top, arrays in outer.items():
            group = weights.create_group(top)
            # Keras puts first what it trains.
            arrays.sort(key=lambda entry: entry[0])
            group.attrs["weight_names"] = [scope.encode() for _, scope, _ in arrays]
            for _, scope, array in arrays:
                group[scope] = array
        weights.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)
    return path


def saved_keras(
    folder: Path, config: Entry, tensors: Tensors, version: str = "3.4.0", **options: Any
) -> Path:
    """An archive; options are those of its members."""
    path = folder / "model.keras"
    weights = saved_weights(folder, config, tensors).read_bytes()
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(with_modules(config)))
        archive.writestr("model.weights.h5", weights)
    return path


def saved_weights(folder: Path, config: Entry, tensors: Tensors) -> Path:
    """The weights that Keras 3 saves without a model."""
    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("optimizer/vars")["0"] = np.int64(7)
        file.create_group("vars")
        for place, at in _folders(config, "", "layers"):
            file.create_group(f"{at}/vars").attrs["name"] = place.rpartition("/")[2]
            for role, array in tensors.get(place, {}).items():
                folder_of_role = f"{at}/{role}".rpartition("/")[0] + "/vars"
                group = file.require_group(folder_of_role)
                group[str(len(group))] = array
    return path


def with_modules(entry: Entry) -> Entry:
    """A configuration as a ``.keras`` has it: every class with its module."""
    config = entry["config"]
    if "layers" in config:
        config = {**config, "layers": [with_modules(one) for one in config["layers"]]}
    models = {"Sequential": ("keras", None), "Functional": ("keras.src.models", "Functional")}
    module, registered = models.get(entry["class_name"], ("keras.layers", None))
    return {"module": module, "registered_name": registered, **entry, "config": config}


def snake_case(name: str) -> str:
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _layers(config: Entry) -> list[Entry]:
    found: list[Entry] = config.get("config", {}).get("layers", [])
    return found


def _leaves(config: Entry, outer: str) -> Iterator[tuple[str, Entry]]:
    for entry in _layers(config):
        place = f"{outer}{entry['config']['name']}"
        yield place, entry
        if "layers" in entry["config"]:
            yield from _leaves(entry, f"{place}/")


def _folders(config: Entry, outer: str, at: str) -> Iterator[tuple[str, str]]:
    """Places of layers and the paths that Keras has for them, which count each class."""
    seen: dict[str, int] = {}
    for entry in _layers(config):
        stem = snake_case(entry["class_name"])
        seen[stem] = seen.get(stem, -1) + 1
        folder = f"{at}/{stem}" + (f"_{seen[stem]}" if seen[stem] else "")
        place = f"{outer}{entry['config']['name']}"
        yield place, folder
        if "layers" in entry["config"]:
            yield from _folders(entry, f"{place}/", f"{folder}/layers")


def _scope(entry: Entry, role: str) -> str:
    """The path below a layer -> what an ``.h5`` calls it."""
    inner = entry.get("config", {}).get("layer") or entry
    inner_name = inner.get("config", {}).get("name", "")
    words = {
        "cell": snake_case(inner.get("class_name", "")) + "_cell",
        "layer": inner_name,
        "forward_layer": f"forward_{inner_name}",
        "backward_layer": f"backward_{inner_name}",
        "output_dense": "attention_output",
    }
    return "/".join(words.get(part, part.removesuffix("_dense")) for part in role.split("/"))


def read_here(path: Path, input_shape: tuple[int, ...] | None = None) -> OperationGraph:
    """What the reader of a file gives."""

    def answer(path: Path, part: tuple[int, int] | None) -> Any:
        try:
            return hdf5_index.index(hdf5_index.Window(str(path), *part) if part else str(path))
        except Exception as error:
            # In the child, words of HDF5's about a damaged file.
            raise damaged(path, error) from error

    reader = read_keras_archive if path.suffix == ".keras" else read_keras
    with mock.patch.object(hdf5, "_answer", answer):
        return reader(path, input_shape, None)


def graph_of(
    folder: Path, config: Entry, tensors: Tensors, kind: str = "keras", version: str = "3.4.0"
) -> OperationGraph:
    """The operations of a model that is written as ``keras`` or as ``h5``."""
    save = saved_keras if kind == "keras" else saved_h5
    return read_here(save(folder, config, tensors, version))


def computed(
    folder: Path,
    x: NDArray[Any],
    layers: list[Entry],
    tensors: Tensors,
    kind: str = "keras",
    version: str = "3.4.0",
) -> NDArray[Any]:
    """What layers in a row make of values."""
    config = sequential(given("in", *x.shape[1:]), *layers)
    (result,) = interpret(graph_of(folder, config, tensors, kind, version), x)
    return result


def last(
    function: Callable[..., Tensor], x: NDArray[np.float64], *arguments: Any, **named: Any
) -> NDArray[np.float64]:
    """A function of torch, which has the channels first, of values that have them last."""
    result = function(torch.as_tensor(x).movedim(-1, 1), *arguments, **named)
    return result.movedim(1, -1).numpy()
