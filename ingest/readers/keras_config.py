"""Keras' description of an architecture, as JSON -> operations."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

from ingest.operations import Operation, Parameter
from ingest.readers.keras_activations import LAYERS, by_layer, by_name
from ingest.readers.wording import Names, damaged, reason
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation

Config: TypeAlias = Mapping[str, Any]
Shape: TypeAlias = tuple[int, ...]
Layers: TypeAlias = Mapping[str, Mapping[str, Parameter]]

# A layer may be called several times: a value is a layer's name and the number of the call.
Value: TypeAlias = tuple[str, int]

_NOISE = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "SpatialDropout1D",
)  # fmt: skip
_KNOWN = frozenset({"InputLayer", "Dense", "Flatten", "Reshape", *_NOISE, *LAYERS})


@dataclass(frozen=True)
class Step:
    """One call of a layer: its result, what it takes (None: the model's input), what it is."""

    value: Value
    source: Value | None
    class_name: str
    config: Config

    @property
    def name(self) -> str:
        """The layer's."""
        return self.value[0]

    def refused(self, why: str = "") -> UnsupportedOperation:
        """The error that names this layer."""
        return UnsupportedOperation(
            f"The model holds {reason(self.class_name)} (layer {self.name[:200]!r}){why}, which "
            "Weightome cannot ingest."
        )


def graph(
    text: str, layers: Layers, input_shape: Shape | None, path: Path, *, keras_2: bool
) -> list[Operation]:
    """The operations of a Sequential or Functional model.

    Parameters
    ----------
    text
        The JSON of the file's ``model_config``.
    layers
        Each layer's tensors by role.
    input_shape
        As for :func:`ingest.readers.read`.
    path
        The file, for errors.
    keras_2
        Whether Keras 2 wrote it.

    Raises
    ------
    UnsupportedOperation
        Names the first layer that cannot be ingested.
    UnreadableModel, ShapeMismatch, InvalidArgument
    """
    try:
        steps, told = _steps(json.loads(text), path)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its model_config is not JSON ({error})") from error
    for step in steps:
        if step.class_name not in _KNOWN:
            raise step.refused()
    following: dict[Value | None, list[Step]] = defaultdict(list)
    for step in steps:
        following[step.source].append(step)
    if len(following[None]) != 1:
        raise UnsupportedOperation(
            f"The model in {path.name!r} has {len(following[None])} inputs, and Weightome ingests "
            "models of one."
        )
    shape = _input(following[None][0], told, input_shape, layers, steps, path)
    walk = _Walk(layers, shape, path, keras_2=keras_2)
    # Every layer takes one value, so whatever order the file has, following them is enough.
    waiting = list(reversed(following[None]))
    seen = 0
    while waiting:
        step = waiting.pop()
        walk.step(step)
        seen += 1
        waiting.extend(reversed(following[step.value]))
    if seen != len(steps):
        raise damaged(path, "some layers are not reached from the model's input")
    return walk.operations


def _steps(model: Any, path: Path) -> tuple[list[Step], Any]:
    """The calls of all layers, and the input shape that the model itself tells."""
    match model:
        case {"class_name": "Sequential", "config": {"layers": list(entries)} as config}:
            told = config.get("build_input_shape")
        case {"class_name": "Sequential", "config": list(entries)}:
            told = None
        case {"class_name": "Functional" | "Model", "config": {"layers": list(entries)}}:
            return [step for entry in entries for step in _calls(entry, path)], None
        case {"class_name": str(kind)}:
            raise UnsupportedOperation(
                f"The model in {path.name!r} is a {reason(kind)}, and Weightome ingests Sequential "
                "and Functional ones."
            )
        case _:
            raise damaged(path, "its model_config describes no model")
    steps: list[Step] = []
    for entry in entries:
        name, class_name, config = _layer(entry, path)
        steps.append(Step((name, 0), steps[-1].value if steps else None, class_name, config))
    if len({step.value for step in steps}) != len(steps):
        raise damaged(path, "two layers have one name")
    return steps, told


def _layer(entry: Any, path: Path) -> tuple[str, str, Config]:
    match entry:
        case {"class_name": str(class_name), "config": dict(config)}:
            name = config.get("name", entry.get("name"))
            module = entry.get("module") or "keras"
            if not isinstance(name, str):
                raise damaged(path, f"a {reason(class_name)} layer has no name")
            # A class of the user's own may have the name of one of Keras'.
            if entry.get("registered_name") or not str(module).startswith("keras"):
                class_name = f"{entry.get('registered_name') or module}: {class_name}"
            return name, class_name, config
    raise damaged(path, "its model_config describes a layer wrongly")


def _calls(entry: Any, path: Path) -> Iterator[Step]:
    """A functional model's layer: one step for each time that it is called."""
    name, class_name, config = _layer(entry, path)
    nodes = entry.get("inbound_nodes") or []
    if not nodes:
        yield Step((name, 0), None, class_name, config)
    for number, node in enumerate(nodes):
        sources = list(_histories(node))
        step = Step((name, number), sources[0] if sources else None, class_name, config)
        if len(sources) != 1:
            raise step.refused(f" of {len(sources)} inputs")
        yield step


def _named(told: object) -> str:
    """What a person calls an activation that a config describes."""
    match told:
        case {"class_name": "function", "config": str(name)}:
            return reason(name)
        case {"value": [*_]}:
            return "lambda"
        case {"class_name": str(name)}:
            return reason(name)
    return reason(told)


def _histories(node: Any) -> Iterator[Value]:
    """The values that a call takes, in the notation of Keras 2 or 3."""
    match node:
        case {
            "class_name": "__keras_tensor__",
            "config": {"keras_history": [str(name), int(n), _]},
        }:
            yield name, n
        case [str(name), int(n), int(), *_]:
            yield name, n
        case dict():
            for entry in node.values():
                yield from _histories(entry)
        case list():
            for entry in node:
                yield from _histories(entry)


def _input(
    first: Step,
    told: Any,
    asked: Shape | None,
    layers: Layers,
    steps: list[Step],
    path: Path,
) -> Shape:
    """Shape of one sample: as the model tells it, else as asked, else as the first matrix takes."""
    config = first.config
    whole = config.get("batch_input_shape") or config.get("batch_shape") or told
    if whole is None and isinstance(config.get("input_dim"), int):
        whole = [None, config["input_dim"]]
    if whole is None and asked is None:
        kernels = (layers.get(step.name, {}).get("kernel") for step in steps)
        kernel = next((kernel for kernel in kernels if kernel is not None), None)
        if kernel is None or len(kernel.shape) != 2:
            raise InvalidArgument(
                f"The model in {path.name!r} does not tell the shape of its input: pass "
                "input_shape, without the batch axis."
            )
        return (kernel.shape[0],)
    if whole is None:
        return asked or ()
    sizes = whole[1:] if isinstance(whole, list) else ["?"]
    if any(size is not None and (type(size) is not int or size < 1) for size in sizes):
        raise damaged(path, "its input shape is not one")
    if asked is None and None in sizes:
        raise InvalidArgument(
            f"The input of the model in {path.name!r} has the shape {tuple(sizes)}: pass "
            "input_shape, without the batch axis."
        )
    shape = tuple(sizes) if asked is None else asked
    if len(shape) != len(sizes) or any(
        size not in (None, length) for size, length in zip(sizes, shape, strict=True)
    ):
        raise ShapeMismatch(
            f"The model in {path.name!r} takes the shape {tuple(sizes)}, not {shape}."
        )
    return shape


class _Walk:
    """The operations so far, and which of them gives each value."""

    def __init__(self, layers: Layers, shape: Shape, path: Path, *, keras_2: bool) -> None:
        self.operations = [Operation(Names.INPUT, "input", shape=shape)]
        self._layers = layers
        self._path = path
        self._keras_2 = keras_2
        self._names = Names()
        self._given: dict[Value | None, Operation] = {None: self.operations[0]}

    def step(self, step: Step) -> None:
        """Takes a call of a layer whose source was taken before."""
        source = self._given[step.source]
        tensors = self._layers.get(step.name, {})
        if tensors and step.class_name != "Dense":
            raise step.refused()
        match step.class_name:
            case "InputLayer":
                given = source
            case "Dense":
                given = self._dense(step, source, tensors)
            case "Flatten":
                # With the channels first, Keras moves them to the end before it flattens.
                if step.config.get("data_format") == "channels_first" and len(source.shape) > 1:
                    raise step.refused(" with the channels first")
                given = self._add(step.name, "flatten", source, (prod(source.shape),))
            case "Reshape":
                given = self._add(step.name, "reshape", source, self._reshaped(step, source))
            case name if name in _NOISE:
                given = self._add(step.name, "dropout", source, source.shape)
            case _:
                found = by_layer(step.class_name, step.config, keras_2=self._keras_2)
                if found is None:
                    raise step.refused()
                given = self._activated(step, step.name, found, source)
        self._given[step.value] = given

    def _add(
        self,
        name: str,
        kind: str,
        source: Operation,
        shape: Shape,
        parameters: Mapping[str, Parameter] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Operation:
        operation = Operation(
            self._names.take(name), kind, (source.name,), shape, parameters or {}, attributes or {}
        )
        self.operations.append(operation)
        return operation

    def _dense(self, step: Step, source: Operation, tensors: Mapping[str, Parameter]) -> Operation:
        expected = {"kernel", "bias"} if step.config.get("use_bias", True) else {"kernel"}
        if tensors.keys() != expected:
            raise damaged(
                self._path,
                f"layer {step.name[:80]!r} has {sorted(tensors)}, not {sorted(expected)}",
            )
        kernel, units = tensors["kernel"], step.config.get("units")
        if len(kernel.shape) != 2 or kernel.shape[1] != units:
            raise ShapeMismatch(
                f"Layer {step.name!r} has {reason(units)} units, but {kernel.name!r} has the shape "
                f"{kernel.shape}."
            )
        roles = {"weight": kernel, **({"bias": tensors["bias"]} if "bias" in tensors else {})}
        linear = self._add(
            step.name,
            "linear",
            source,
            (*source.shape[:-1], kernel.shape[1]),
            roles,
            {"layout": "source_target"},
        )
        told = step.config.get("activation")
        found = by_name(told, keras_2=self._keras_2)
        if found is None:
            raise step.refused(f" with the activation {_named(told)!r}")
        return self._activated(step, f"{linear.name}.activation", found, linear)

    def _activated(
        self, step: Step, name: str, found: tuple[str, Mapping[str, Any]], source: Operation
    ) -> Operation:
        kind, attributes = found
        axis = attributes.get("axis", -1)
        if axis != -1:
            if type(axis) is not int or axis in (0, -len(source.shape) - 1):
                raise step.refused(f" over the axis {reason(axis)!r}")
            axis = axis - len(source.shape) - 1 if axis > 0 else axis
        shown = {key: value for key, value in attributes.items() if key != "axis"}
        if axis != -1:
            shown["axis"] = axis
        return self._add(name, kind, source, source.shape, attributes=shown)

    def _reshaped(self, step: Step, source: Operation) -> Shape:
        target = step.config.get("target_shape")
        if not isinstance(target, list) or any(type(size) is not int for size in target):
            raise damaged(self._path, f"layer {step.name[:80]!r} has no target shape")
        known = prod(size for size in target if size != -1)
        shape = tuple(
            prod(source.shape) // max(1, known) if size == -1 else size for size in target
        )
        if prod(shape) != prod(source.shape) or any(size < 1 for size in shape):
            raise ShapeMismatch(
                f"Layer {step.name!r} cannot turn the shape {source.shape} into {tuple(target)}."
            )
        return shape
