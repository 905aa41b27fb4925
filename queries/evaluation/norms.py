"""Normalizations, by stored statistics or by a sample's own, and learned slopes."""

from __future__ import annotations

from math import prod

import numpy as np

from queries.evaluation.shapes import Array, Attributes, Family, Inputs, Tensors, along, scaled


def batch_norm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """By the stored mean and variance of each channel."""
    axes = (attributes["axis"],)
    values = inputs[0]
    mean = along(tensors["mean"], axes, values.ndim)
    variance = along(tensors["variance"], axes, values.ndim)
    normal = (values - mean) / np.sqrt(variance + attributes["epsilon"])
    return scaled(normal, tensors, axes)


def layer_norm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """By the mean and variance over some axes, along which weight and bias lie."""
    axes = tuple(attributes["axes"])
    return scaled(_standardized(inputs[0], axes, attributes["epsilon"]), tensors, axes)


def rms_norm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """By the root of the mean square over some axes."""
    axes = tuple(attributes["axes"])
    square = np.mean(inputs[0] ** 2, axis=axes, keepdims=True)
    return scaled(inputs[0] / np.sqrt(square + attributes["epsilon"]), tensors, axes)


def group_norm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """By the mean and variance of each group of channels."""
    return _by_group(inputs[0], attributes["groups"], attributes["epsilon"], tensors)


def instance_norm(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """By the mean and variance of each channel."""
    return _by_group(inputs[0], inputs[0].shape[1], attributes["epsilon"], tensors)


def prelu(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """A slope below zero for each channel, or one for all."""
    slopes = along(tensors["weight"].reshape(-1), (attributes["axis"],), inputs[0].ndim)
    return np.where(inputs[0] > 0, inputs[0], slopes * inputs[0])


def _by_group(values: Array, groups: int, epsilon: float, tensors: Tensors) -> Array:
    split = values.reshape(len(values), groups, prod(values.shape[1:]) // groups)
    normal = _standardized(split, (-1,), epsilon).reshape(values.shape)
    return scaled(normal, tensors, (1 - values.ndim,))


def _standardized(values: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = values - values.mean(axis=axes, keepdims=True)
    variance = np.mean(centred**2, axis=axes, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + epsilon))


FAMILY: Family = {
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "prelu": prelu,
}
