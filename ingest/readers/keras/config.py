"""Keras' description of an architecture, as JSON -> layers and their calls, nested models too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ingest.readers.keras.calls import Call, Ref, calls_of, has_arguments, refs_in
from ingest.readers.wording import damaged, reason
from store.errors import UnsupportedOperation

Config: TypeAlias = Mapping[str, Any]
Shape: TypeAlias = tuple[int, ...]

MODELS = ("Sequential", "Functional", "Model")
# Arithmetic of values, as Keras 3 and 2 call it, where it is no layer.
OPERATORS = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide")
_OPERATORS_OF_2 = {
    "__operators__.add": "Add", "math.add": "Add", "math.subtract": "Subtract",
    "math.multiply": "Multiply", "math.divide": "Divide", "math.truediv": "Divide",
}  # fmt: skip
# Models in models; a person's have one or two of them.
DEEPEST_MODEL = 50


@dataclass(frozen=True)
class Layer:
    """A layer and its calls.

    Parameters
    ----------
    name
        Unique in its model.
    class_name
        Keras' word, such as ``Dense``; a class of the user's own is called ``package: Dense``, and
        arithmetic that is no layer ``ops.Add``.
    config
        Its arguments.
    calls
        None where it is an input.
    model
        Where it is a model itself.
    core
        Whether the file tells that the class is Keras' own; an ``.h5`` does not.
    """

    name: str
    class_name: str
    config: Config
    calls: tuple[Call, ...] = ()
    model: Model | None = None
    core: bool = False

    @property
    def trainable(self) -> bool:
        """Whether training may change its weights, which decides on their order in ``.h5``."""
        return self.config.get("trainable", True) is not False

    def refused(self, why: str = "") -> UnsupportedOperation:
        """The error that names this layer."""
        return UnsupportedOperation(
            f"The model holds {reason(self.class_name)} (layer {self.name[:200]!r}){why}, which "
            "Weightome cannot ingest."
        )


@dataclass(frozen=True)
class Model:
    """A graph of layers.

    Parameters
    ----------
    layers
        In the file's order; one of them for each input.
    inputs, outputs
        The values that it takes and gives.
    trainable
        As of a layer.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    trainable: bool = True


def parse(text: str, path: Path) -> Model:
    """The model that a configuration describes.

    Parameters
    ----------
    text
        JSON, as in an ``.h5``'s ``model_config`` or a ``.keras``'s ``config.json``.
    path
        The file, for errors.

    Raises
    ------
    UnsupportedOperation
        If it is neither Sequential nor Functional.
    UnreadableModel
        If it is not as Keras writes it.
    """
    try:
        return _model(json.loads(text), path, 0)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its configuration is not JSON ({error})") from error


def _model(described: Any, path: Path, depth: int) -> Model:
    if depth > DEEPEST_MODEL:
        raise UnsupportedOperation(
            f"The model in {path.name!r} holds models more than {DEEPEST_MODEL} deep in each other."
        )
    match described:
        case {"class_name": str(kind)} if _class_name(described) not in MODELS:
            raise UnsupportedOperation(
                f"The model in {path.name!r} is a {reason(kind)}, and Weightome ingests Sequential "
                "and Functional ones."
            )
        case {"class_name": "Sequential", "config": {"layers": list(entries)} as config}:
            layers = [_layer(entry, path, depth) for entry in entries]
            return _sequential(layers, config, path)
        case {"class_name": "Sequential", "config": list(entries)}:
            return _sequential([_layer(entry, path, depth) for entry in entries], {}, path)
        case {"class_name": "Functional" | "Model", "config": {"layers": list(entries)} as config}:
            return _functional(entries, config, path, depth)
        case _:
            raise damaged(path, "its configuration describes no model")


def _layer(entry: Any, path: Path, depth: int) -> Layer:
    match entry:
        case {"class_name": "Sequential", "config": list()}:
            # Keras 1 and the first of Keras 2 give no name to a model in a model.
            name = entry.get("name")
            config: Config = {}
        case {"class_name": str(), "config": dict(config)}:
            name = config.get("name", entry.get("name"))
        case _:
            raise damaged(path, "its configuration describes a layer wrongly")
    class_name = _class_name(entry)
    if not isinstance(name, str):
        raise damaged(path, f"a {reason(class_name)} layer has no name")
    nested = _model(entry, path, depth + 1) if class_name in MODELS else None
    core = "module" in entry and ":" not in class_name
    return Layer(name, class_name, config, model=nested, core=core)


def _class_name(entry: Mapping[str, Any]) -> str:
    """Keras' word for a class; a class of the user's own may have the name of one of Keras'."""
    name, registered = str(entry["class_name"]), entry.get("registered_name")
    module = str(entry.get("module") or "keras")
    match entry.get("config"):
        case {"function": str(function)} if name == "TFOpLambda" and function in _OPERATORS_OF_2:
            return f"ops.{_OPERATORS_OF_2[function]}"
    if module.startswith("keras.src.ops.") and registered == name and name in OPERATORS:
        return f"ops.{name}"
    # Keras registers nothing of its own but the models that it has no public name for.
    own = registered is None or (registered == name and name in MODELS)
    if own and module.partition(".")[0] in ("keras", "tf_keras"):
        return name
    return f"{registered or module}: {name}"


def inner(layer: Layer, key: str, path: Path) -> Layer | None:
    """The layer that a wrapper wraps, under a key of its config."""
    entry = layer.config.get(key)
    return None if entry is None else _layer(entry, path, 0)


def _sequential(layers: list[Layer], config: Config, path: Path) -> Model:
    if not layers:
        raise damaged(path, "a Sequential model has no layers")
    _check_names(layers, path)
    if layers[0].class_name != "InputLayer":
        whole = _told(layers[0])
        name = f"{layers[0].name}:input"
        first = Layer(
            name,
            "InputLayer",
            {
                "name": name,
                "batch_shape": config.get("build_input_shape") if whole is None else whole,
                "dtype": layers[0].config.get("dtype"),
            },
        )
        layers = [first, *layers]
    chained = [layers[0]] + [
        replace(layer, calls=(Call((Ref(before.name),)),)) for before, layer in pairwise(layers)
    ]
    trainable = config.get("trainable", True) is not False
    return Model(tuple(chained), (Ref(layers[0].name),), (Ref(layers[-1].name),), trainable)


def _told(layer: Layer) -> Any:
    """The shape that a first layer says it takes; the input of a nested model says it."""
    if layer.model is not None:
        names = [ref.layer for ref in layer.model.inputs]
        found = [one for one in layer.model.layers if [one.name] == names]
        return _told(found[0]) if found else None
    whole = layer.config.get("batch_input_shape") or layer.config.get("batch_shape")
    if whole is None and isinstance(layer.config.get("input_dim"), int):
        return [None, layer.config["input_dim"]]
    return whole


def _functional(entries: list[Any], config: Config, path: Path, depth: int) -> Model:
    layers = [_called(entry, path, depth) for entry in entries]
    _check_names(layers, path)
    inputs = tuple(refs_in(config.get("input_layers") or []))
    if not inputs:
        inputs = tuple(Ref(layer.name) for layer in layers if layer.class_name == "InputLayer")
    outputs = tuple(refs_in(config.get("output_layers") or []))
    if not outputs:
        taken = {ref.layer for layer in layers for call in layer.calls for ref in call.refs}
        outputs = tuple(
            Ref(layer.name, max(0, len(layer.calls) - 1))
            for layer in layers
            if layer.name not in taken
        )
    layers, outputs = _counted(layers, outputs, entries)
    trainable = config.get("trainable", True) is not False
    return Model(tuple(layers), inputs, outputs, trainable)


def _called(entry: Any, path: Path, depth: int) -> Layer:
    layer = _layer(entry, path, depth)
    layer = replace(layer, calls=tuple(calls_of(entry, path)))
    match entry:
        # An .h5 calls arithmetic as it calls the layers that take a list of values.
        case {"inbound_nodes": [{"args": [first, *_]}, *_]} if layer.class_name in OPERATORS:
            if not isinstance(first, list):
                return replace(layer, class_name=f"ops.{layer.class_name}")
    return layer


def _check_names(layers: Sequence[Layer], path: Path) -> None:
    if len({layer.name for layer in layers}) != len(layers):
        raise damaged(path, "two layers have one name")


def _counted(
    layers: list[Layer], outputs: tuple[Ref, ...], entries: list[Any]
) -> tuple[list[Layer], tuple[Ref, ...]]:
    """Calls of models counted from zero, as those of all other layers are.

    Since a model is built by a call, Keras 3 counts from one where the outputs are told, and Keras
    2 everywhere if it does so for that model at all.
    """
    models = {layer.name: layer for layer in layers if layer.model is not None}
    if any(map(has_arguments, entries)):
        return layers, tuple(_of_3(ref, models.get(ref.layer)) for ref in outputs)
    lowest: dict[str, int] = {}
    for ref in (*outputs, *(ref for layer in layers for call in layer.calls for ref in call.refs)):
        lowest[ref.layer] = min(ref.call, lowest.get(ref.layer, ref.call))
    shifted = {name for name in models if lowest.get(name) == 1}

    def counted(ref: Ref) -> Ref:
        return replace(ref, call=ref.call - 1) if ref.layer in shifted else ref

    def recounted(call: Call) -> Call:
        named = {name: tuple(map(counted, refs)) for name, refs in call.named.items()}
        return replace(call, inputs=tuple(map(counted, call.inputs)), named=named)

    return [replace(layer, calls=tuple(map(recounted, layer.calls))) for layer in layers], tuple(
        map(counted, outputs)
    )


def _of_3(ref: Ref, model: Layer | None) -> Ref:
    if model is None or model.class_name == "Sequential":
        return ref
    # Zero is the last call: Keras subtracts one, and Python counts from the end.
    return replace(ref, call=(ref.call or len(model.calls)) - 1)
