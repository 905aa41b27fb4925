"""Which tensors of a Keras file belong to which layer.

An ``.h5`` has them by the name of the outermost layer, in Keras' order; a ``.keras`` by a path in
which each layer is called by its class and counted, ``layers/dense_1``, whatever its name is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ingest.operations import Parameter
from ingest.readers.keras.config import Layer, Model, inner
from ingest.readers.keras.hdf5 import Contents
from ingest.readers.wording import check_tensor, damaged

# Names from the outermost layer inwards.
Place: TypeAlias = tuple[str, ...]
Roles: TypeAlias = Mapping[str, Parameter]

_GROUP = "layers"


@dataclass(frozen=True)
class Variable:
    """A tensor that a layer must have.

    Parameters
    ----------
    role
        What the layers ask for, such as ``kernel`` or ``forward/kernel``.
    names
        The last part of its name in an ``.h5``.
    folders
        Where it lies below the layer in a ``.keras``, in Keras 3 and 2.
    trainable
        Whether Keras trains it.
    """

    role: str
    names: tuple[str, ...]
    folders: tuple[str, ...] = ("",)
    trainable: bool = True


def _plain(*roles: str, trainable: bool = True) -> list[Variable]:
    return [Variable(role, (role,), trainable=trainable) for role in roles]


def _below(prefix: str, folders: Sequence[str], variables: Sequence[Variable]) -> list[Variable]:
    """Variables of a layer within a layer."""
    return [
        Variable(
            f"{prefix}{one.role}",
            one.names,
            tuple(f"{folder}/{deeper}".rstrip("/") for folder in folders for deeper in one.folders),
            one.trainable,
        )
        for one in variables
    ]


def variables(layer: Layer, path: Path) -> list[Variable]:
    """The tensors that a layer must have, in Keras' order."""
    config = layer.config
    bias = _plain("bias") if config.get("use_bias", True) else []
    scaled = [
        *(_plain("gamma") if config.get("scale", True) else []),
        *(_plain("beta") if config.get("center", True) else []),
    ]
    match layer.class_name:
        case "Dense" | "Conv1D" | "Conv2D" | "Conv3D":
            return [*_plain("kernel"), *bias]
        case "DepthwiseConv1D" | "DepthwiseConv2D":
            return [Variable("kernel", ("depthwise_kernel", "kernel")), *bias]
        case "SeparableConv1D" | "SeparableConv2D":
            return [*_plain("depthwise_kernel", "pointwise_kernel"), *bias]
        case "Embedding":
            return _plain("embeddings")
        case "BatchNormalization":
            return [*scaled, *_plain("moving_mean", "moving_variance", trainable=False)]
        case "LayerNormalization" | "GroupNormalization":
            return scaled
        case "RMSNormalization":
            return _plain("scale")
        case "Normalization" if config.get("mean") is None:
            return _plain("mean", "variance", "count", trainable=False)
        case "PReLU":
            return _plain("alpha")
        case "LSTM" | "GRU" | "SimpleRNN":
            return _below("", ("cell",), [*_plain("kernel", "recurrent_kernel"), *bias])
        case "Bidirectional":
            forward, backward = directions(layer, path)
            return [
                *_below("forward/", ("forward_layer",), variables(forward, path)),
                *_below("backward/", ("backward_layer",), variables(backward, path)),
            ]
        case "TimeDistributed":
            return _below("", ("layer",), variables(wrapped(layer, path), path))
        case "MultiHeadAttention":
            return [
                variable
                for part in ("query", "key", "value", "output")
                for variable in _below(
                    f"{part}/", (f"{part}_dense", f"_{part}_dense"), [*_plain("kernel"), *bias]
                )
            ]
        case _:
            return []


def wrapped(layer: Layer, path: Path) -> Layer:
    """The layer that a wrapper wraps."""
    found = inner(layer, "layer", path)
    if found is None or found.class_name == layer.class_name or found.model is not None:
        raise layer.refused(" around no plain layer")
    return found


def directions(layer: Layer, path: Path) -> tuple[Layer, Layer]:
    """The forward and the backward layer of a Bidirectional."""
    forward = wrapped(layer, path)
    backward = inner(layer, "backward_layer", path)
    if backward is None:
        turned = not forward.config.get("go_backwards", False)
        backward = Layer(
            forward.name, forward.class_name, {**forward.config, "go_backwards": turned}
        )
    for one in (forward, backward):
        if one.class_name not in ("LSTM", "GRU", "SimpleRNN"):
            raise layer.refused(f" around {one.class_name}")
    return forward, backward


def assign(model: Model, contents: Contents, opaque: set[Place], path: Path) -> dict[Place, Roles]:
    """The tensors of each layer by their roles.

    Parameters
    ----------
    model
        Whose layers they are.
    contents
        The tensors.
    opaque
        Layers of which we do not know what they have: they get all that is theirs.
    path
        The file, for errors.

    Raises
    ------
    UnreadableModel
        If a layer has other tensors than its class.
    InvalidWeights
        If a weight is not of floats.
    """
    find = _by_path if contents.by_path else _by_name
    found = dict(find(model, contents, opaque, path))
    for roles in found.values():
        for role, tensor in roles.items():
            if role != "count":
                check_tensor(tensor.name, tensor.dtype)
    return found


def _leaves(model: Model, place: Place = ()) -> Iterator[tuple[Place, Layer]]:
    """All layers that are no models, in Keras' order."""
    for layer in model.layers:
        at = (*place, layer.name)
        if layer.model is not None:
            yield from _leaves(layer.model, at)
        else:
            yield at, layer


def _by_name(
    model: Model, contents: Contents, opaque: set[Place], path: Path
) -> Iterator[tuple[Place, Roles]]:
    for outer in model.layers:
        tensors = contents.groups.get(outer.name, ())
        if (outer.name,) in opaque:
            yield (outer.name,), {tensor.name: tensor for tensor in tensors}
            continue
        parts: list[tuple[Place, Layer]] = [((outer.name,), outer)]
        if outer.model is not None:
            parts = list(_leaves(outer.model, (outer.name,)))
        for place, layer in parts:
            if place in opaque:
                raise layer.refused(" within a model of an .h5")
        wanted = [(at, layer, one) for at, layer in parts for one in variables(layer, path)]
        if outer.trainable:
            # What is trained comes first.
            wanted.sort(key=lambda entry: not (entry[1].trainable and entry[2].trainable))
        _check_roles(
            outer, [one for *_, one in wanted], [_role(tensor) for tensor in tensors], path
        )
        names = {layer.name for _, layer in parts}
        found: dict[Place, dict[str, Parameter]] = {at: {} for at, _ in parts}
        for (at, layer, variable), tensor in zip(wanted, tensors, strict=True):
            scope = tensor.name.split("/")[-2]
            if outer.model is not None and scope in names and scope != layer.name:
                raise damaged(
                    path, f"{tensor.name!r} stands where a tensor of {layer.name[:80]!r} should"
                )
            found[at][variable.role] = tensor
        yield from found.items()


def _role(tensor: Parameter) -> str:
    """``kernel`` of ``dense/dense/kernel:0``, and of the ``kernel_1:0`` of a name given twice."""
    return re.sub(r"_\d+$", "", tensor.name.rpartition("/")[2].partition(":")[0])


def _check_roles(
    layer: Layer, wanted: Sequence[Variable], found: Sequence[str], path: Path
) -> None:
    if len(wanted) != len(found) or any(
        role not in one.names for one, role in zip(wanted, found, strict=True)
    ):
        raise damaged(
            path,
            f"layer {layer.name[:80]!r} has {sorted(found)}, not "
            f"{sorted(one.names[0] for one in wanted)}",
        )


def _by_path(
    model: Model, contents: Contents, opaque: set[Place], path: Path, folder: str = _GROUP,
    outer: Place = (),
) -> Iterator[tuple[Place, Roles]]:  # fmt: skip
    uses: dict[str, int] = {}
    for layer in model.layers:
        stem = snake_case(layer.class_name.rpartition(" ")[2])
        number = uses[stem] = uses.get(stem, -1) + 1
        at = f"{folder}/{stem}_{number}" if number else f"{folder}/{stem}"
        place = (*outer, layer.name)
        if layer.model is not None:
            yield from _by_path(layer.model, contents, opaque, path, f"{at}/{_GROUP}", place)
        elif place in opaque:
            groups = [g for g in contents.groups if g == at or g.startswith(f"{at}/")]
            yield place, {one.name: one for group in groups for one in contents.groups[group]}
        else:
            yield place, dict(_of_layer(layer, at, contents, path))


def _of_layer(
    layer: Layer, at: str, contents: Contents, path: Path
) -> Iterator[tuple[str, Parameter]]:
    by_folder: dict[tuple[str, ...], list[Variable]] = {}
    for variable in variables(layer, path):
        by_folder.setdefault(variable.folders, []).append(variable)
    for folders, wanted in by_folder.items():
        tensors: Sequence[Parameter] = ()
        for folder in folders:
            tensors = tensors or contents.groups.get(f"{at}/{folder}".rstrip("/"), ())
        if len(tensors) != len(wanted):
            raise damaged(
                path,
                f"layer {layer.name[:80]!r} has {len(tensors)} tensors, not "
                f"{sorted(one.names[0] for one in wanted)}",
            )
        for variable, tensor in zip(wanted, tensors, strict=True):
            yield variable.role, tensor


def snake_case(name: str) -> str:
    """A class's name as Keras writes it in a path.

    Example
    -------
    >>> [snake_case(name) for name in ("Conv2D", "PReLU", "MultiHeadAttention")]
    ['conv2d', 'p_re_lu', 'multi_head_attention']
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
