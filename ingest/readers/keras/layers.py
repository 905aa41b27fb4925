"""Keras' layers that keep the shape of what they take, or all of it but the last axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import TypeAlias

import numpy as np

from ingest.operations import Parameter
from ingest.readers.keras.activations import LAYERS as ACTIVATIONS
from ingest.readers.keras.activations import by_layer, by_name
from ingest.readers.keras.values import Step, Value
from ingest.readers.wording import reason
from store.errors import ShapeMismatch

Family: TypeAlias = Callable[[Step], Value | list[Value]]

# They do something in training alone.
NOISE = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise",
    "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation",
    "RandomZoom", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
)  # fmt: skip

# Of an image; numbers for more of them would come as a tensor.
MOST_CHANNELS = 16

_OVER_AXIS = ("softmax", "log_softmax")


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


def activated(step: Step, value: Value, name: str) -> Value:
    """The layer's own activation of what it gives; the linear one is none."""
    told = step.config.get("activation")
    found = by_name(told, keras_2=step.operations.keras_2)
    if found is None:
        raise step.refused(f" with the activation {_named(told)!r}")
    return value if found[0] == "identity" else function(step, value, found, f"{name}.activation")


def function(step: Step, value: Value, found: tuple[str, Mapping[str, object]], name: str) -> Value:
    """An activation of a value."""
    kind, attributes = found
    attributes = dict(attributes)
    if kind in _OVER_AXIS:
        axis = step.axis_as_made(step.axis(attributes.pop("axis", -1), value), value)
        if axis != -1:
            attributes["axis"] = axis
    return step.elementwise(kind, value, name, **attributes)


def activation(step: Step) -> Value:
    """A layer that is an activation."""
    value = step.only()
    found = by_layer(step.layer.class_name, step.config, keras_2=step.operations.keras_2)
    if found is None:
        raise step.refused()
    if step.layer.class_name == "Softmax":
        step.unmasked(value)
    return function(step, value, found, step.name)


def same(step: Step) -> Value:
    """A layer that changes nothing once training is over."""
    return step.elementwise("dropout", step.only())


def identity(step: Step) -> Value:
    """The layer that changes nothing."""
    return step.elementwise("identity", step.only())


def dense(step: Step) -> Value:
    """A matrix along the last axis."""
    value = step.only()
    kernel, units = step.weights["kernel"], step.config.get("units")
    if len(kernel.shape) != 2 or kernel.shape[1] != units:
        raise ShapeMismatch(
            f"Layer {step.name!r} has {reason(units)} units, but {kernel.name!r} has the shape "
            f"{kernel.shape}."
        )
    shapes = {"weight": ("kernel", (*value.shape[-1:], units)), "bias": ("bias", (units,))}
    roles = step.roles(shapes)
    shape = (*value.shape[:-1], units)
    made = step.operations.add(
        step.name,
        "linear",
        [step.operations.in_order(value, step.name)],
        shape,
        roles,
        layout="source_target",
    )
    return activated(step, Value(shape, made, masked=value.masked), made)


def embedding(step: Step) -> Value:
    """A table that whole numbers are looked up in."""
    value = step.only()
    if not value.integers:
        raise step.refused(" of values that are no input's")
    vocabulary, features = step.whole("input_dim"), step.whole("output_dim")
    table = step.fitting("embeddings", (vocabulary, features))
    step.operations.of_integers |= value.integers
    shape = (*value.shape, features)
    given = step.operations.in_order(value, step.name)
    made = step.operations.add(step.name, "embedding", [given], shape, {"weight": table})
    return Value(shape, made, masked=value.masked or step.flag("mask_zero"))


def batch_normalization(step: Step) -> Value:
    """By what was measured in training, in whichever order the value is."""
    value = step.only()
    for key in ("renorm", "virtual_batch_size", "adjustment"):
        if step.config.get(key):
            raise step.refused(f" with {key}")
    place = _place(step, value)
    size = (value.shape[place],)
    roles = step.roles(
        {
            "mean": ("moving_mean", size),
            "variance": ("moving_variance", size),
            "weight": ("gamma", size),
            "bias": ("beta", size),
        }
    )
    return _normalized(
        step,
        value,
        "batch_norm",
        roles,
        epsilon=step.number("epsilon", 1e-3),
        axis=step.axis_as_made(place, value),
    )


def _normalized(
    step: Step, value: Value, kind: str, roles: Mapping[str, Parameter], **attributes: object
) -> Value:
    """An operation with tensors along some axes, in the order in which the value was made."""
    shape = value.shape_first if value.made_first else value.shape
    made = step.operations.add(
        step.name, kind, [step.operations.as_made(value)], shape, roles, **attributes
    )
    return step.like(value, made)


def _place(step: Step, value: Value, default: int = -1) -> int:
    """The one axis of the config, alone or in a list."""
    axis = step.config.get("axis", default)
    return step.axis(axis[0] if isinstance(axis, list) and len(axis) == 1 else axis, value)


def layer_normalization(step: Step) -> Value:
    """By the mean and variance over some axes, in Keras' order."""
    if step.config.get("rms_scaling"):
        raise step.refused(" with rms_scaling")
    return _over_axes(step, "layer_norm", {"weight": "gamma", "bias": "beta"}, 1e-3)


def rms_normalization(step: Step) -> Value:
    """By the root of the mean square over some axes, in Keras' order."""
    return _over_axes(step, "rms_norm", {"weight": "scale"}, 1e-6)


def _over_axes(step: Step, kind: str, roles: Mapping[str, str], epsilon: float) -> Value:
    value = step.only()
    axes = step.config.get("axis", -1)
    places = [step.axis(axis, value) for axis in (axes if isinstance(axes, list) else [axes])]
    # Keras stretches the weights over the axes as they lie.
    if places != sorted(set(places)) or not places:
        raise step.refused(f" over the axes {reason(axes)!r}")
    sizes = tuple(value.shape[place] for place in places)
    given = step.operations.in_order(value, step.name)
    made = step.operations.add(
        step.name,
        kind,
        [given],
        value.shape,
        step.roles({ours: (theirs, sizes) for ours, theirs in roles.items()}),
        epsilon=step.number("epsilon", epsilon),
        axes=tuple(place - len(value.shape) for place in places),
    )
    return Value(value.shape, made, masked=value.masked)


def group_normalization(step: Step) -> Value:
    """By the mean and variance of groups of channels."""
    value = step.only()
    place, rank = _place(step, value), len(value.shape)
    channels = value.shape[place]
    groups = step.whole("groups", 32, -1)
    groups = channels if groups == -1 else groups
    if groups < 1 or channels % groups:
        raise step.misfit(f"cannot part {channels} channels into {groups} groups")
    if place not in (0, rank - 1):
        raise step.refused(f" over the axis {reason(step.config.get('axis'))!r}")
    roles = step.roles({"weight": ("gamma", (channels,)), "bias": ("beta", (channels,))})
    first = place == rank - 1 and rank > 1
    operations = step.operations
    given = (operations.channels_first if first else operations.in_order)(value, step.name)
    made = operations.add(
        step.name,
        "group_norm",
        [given],
        value.shape_first if first else value.shape,
        roles,
        epsilon=step.number("epsilon", 1e-3),
        groups=groups,
    )
    last, first_made = (None, made) if first else (made, None)
    return Value(value.shape, last, first_made, masked=value.masked)


def normalization(step: Step) -> Value:
    """By a mean and variance that were measured beforehand, or are given as numbers."""
    value = step.only()
    if step.config.get("invert"):
        raise step.refused(" with invert")
    if step.config.get("mean") is not None:
        return _by_numbers(step, value)
    place = _place(step, value)
    size = (value.shape[place],)
    roles = step.roles({"mean": ("mean", size), "variance": ("variance", size)})
    # Keras divides by the root of the variance, but by no less than 1e-7.
    if not np.min(roles["variance"].array(), initial=np.inf) >= 1e-14:
        raise step.refused(" with a variance below 1e-14")
    return _normalized(
        step, value, "batch_norm", roles, epsilon=0.0, axis=step.axis_as_made(place, value)
    )


def _by_numbers(step: Step, value: Value) -> Value:
    """Less a mean and by a deviation that are no tensors: apart for each of a few channels."""
    means, variances = _numbers(step, "mean"), _numbers(step, "variance")
    deviations = [max(sqrt(max(0.0, variance)), 1e-7) for variance in variances]
    count = max(len(means), len(deviations))
    if not {len(means), len(deviations)} <= {1, count}:
        raise step.misfit(f"has {len(means)} means and {len(deviations)} variances")
    pairs = list(zip(means * (count // len(means)), deviations * (count // len(deviations)),
                     strict=True))  # fmt: skip
    if len(set(pairs)) == 1:
        return _scaled(step, value, step.name, *pairs[0])
    place = _place(step, value)
    if count != value.shape[place] or count > MOST_CHANNELS:
        raise step.refused(f" with {count} means for {value.shape[place]} channels")
    axis = step.axis_as_made(place, value)
    parts = []
    for number, pair in enumerate(pairs):
        name = f"{step.name}.{number}"
        shape = (*value.shape[:place], 1, *value.shape[place + 1 :])
        part = step.along(
            value, name, "slice", shape, axis=axis, start=number, stop=number + 1, step=1
        )
        parts.append(step.operations.as_made(_scaled(step, part, name, *pair)))
    shape = value.shape_first if value.made_first else value.shape
    return step.like(value, step.operations.add(step.name, "concat", parts, shape, axis=axis))


def _scaled(step: Step, value: Value, name: str, mean: float, deviation: float) -> Value:
    centred = step.elementwise("plus", value, f"{name}.centred", amount=-mean)
    return step.elementwise("times", centred, name, factor=1 / deviation)


def _numbers(step: Step, key: str) -> list[float]:
    """Numbers of the config, in lists or alone."""
    found: list[float] = []
    waiting = [step.config.get(key)]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, list):
            waiting.extend(reversed(entry))
        elif isinstance(entry, int | float) and not isinstance(entry, bool):
            found.append(float(entry))
        else:
            raise step.refused(f" with the {key} {reason(step.config.get(key))}")
    if not found:
        raise step.refused(f" without a {key}")
    return found


def prelu(step: Step) -> Value:
    """A slope of its own for each entry below zero, or for all along some axes."""
    value = step.only()
    shared = step.config.get("shared_axes") or []
    if not isinstance(shared, list):
        raise step.refused(f" with the shared_axes {reason(shared)!r}")
    places = {step.axis(axis, value) for axis in shared}
    shape = tuple(1 if place in places else size for place, size in enumerate(value.shape))
    slopes = step.fitting("alpha", shape)
    along = [place for place, size in enumerate(value.shape) if size > 1 and place not in places]
    if len(along) == 1:
        axis = step.axis_as_made(along[0], value)
        return _normalized(step, value, "prelu", {"weight": slopes}, axis=axis)
    # As Keras computes it: relu(x) - slopes * relu(-x).
    operations, name = step.operations, step.name
    given = operations.in_order(value, name)
    above = operations.add(f"{name}.positive", "relu", [given], value.shape)
    turned = operations.add(f"{name}.negative", "times", [given], value.shape, factor=-1.0)
    below = operations.add(f"{name}.below", "relu", [turned], value.shape)
    table = operations.add(f"{name}.slopes", "parameter", [], shape, {"value": slopes})
    scaled = operations.add(f"{name}.scaled", "product", [below, table], value.shape)
    made = operations.add(name, "subtract", [above, scaled], value.shape)
    return Value(value.shape, made, masked=value.masked)


def rescaling(step: Step) -> Value:
    """Times one number and plus another."""
    value = step.only()
    scale, offset = step.number("scale", 1.0), step.number("offset", 0.0)
    scaled = step.elementwise("times", value, factor=scale)
    if not offset:
        return scaled
    return step.elementwise("plus", scaled, f"{step.name}.offset", amount=offset)


def threshold(step: Step) -> Value:
    """What is not above a number is zero."""
    theta = step.number("theta", 1.0)
    return step.elementwise("threshold", step.only(), threshold=theta, value=0.0)


FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(ACTIVATIONS, activation),
    **dict.fromkeys(NOISE, same),
    "Identity": identity,
    "Dense": dense,
    "Embedding": embedding,
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "GroupNormalization": group_normalization,
    "Normalization": normalization,
    "PReLU": prelu,
    "Rescaling": rescaling,
    "ThresholdedReLU": threshold,
}
