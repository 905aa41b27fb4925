"""Sums over inputs with learned weights: linear, convolutions, embedding."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from queries.evaluation.shapes import (
    Array,
    Attributes,
    Family,
    Inputs,
    Tensors,
    biased,
    padded,
    windows,
)
from store.errors import InvalidArgument

# Values of a convolution's windows that are laid out at a time (128 MiB), at least of one sample.
MOST_COLUMNS = 1 << 24


def linear(_attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Weight (targets, sources), along the last axis."""
    return biased(inputs[0] @ tensors["weight"].T, tensors, (-1,))


def conv(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Weight (targets, sources/groups, *kernel): each group is one product of matrices."""
    weight, groups = tensors["weight"], attributes["groups"]
    targets, _, *kernel = weight.shape
    values = padded(inputs[0], attributes["padding"], 0.0)
    views = windows(values, kernel, attributes["stride"], attributes["dilation"])
    first, places = 2 + len(kernel), views.shape[2 : 2 + len(kernel)]
    views = views.transpose(0, 1, *range(first, views.ndim), *range(2, first))
    matrices = weight.reshape(groups, targets // groups, -1)
    result = np.empty((len(views), groups, targets // groups, prod(places)))
    together = max(1, MOST_COLUMNS // max(1, prod(views.shape[1:])))
    for start in range(0, len(views), together):
        part = views[start : start + together]
        columns = part.reshape(len(part), groups, matrices.shape[-1], prod(places))
        np.matmul(matrices, columns, out=result[start : start + together])
    return _channels_biased(result.reshape(len(views), targets, *places), tensors)


def conv_transposed(attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Weight (sources, targets/groups, *kernel): each entry of the kernel adds to its places."""
    weight, groups, stride = tensors["weight"], attributes["groups"], attributes["stride"]
    dilation = attributes["dilation"]
    sources, targets, *kernel = weight.shape
    samples, _, *places = inputs[0].shape
    spans = [step * (length - 1) + 1 for step, length in zip(stride, places, strict=True)]
    reaches = [step * (length - 1) for step, length in zip(dilation, kernel, strict=True)]
    values = inputs[0].reshape(samples, groups, sources // groups, prod(places))
    matrices = weight.reshape(groups, sources // groups, targets, *kernel).swapaxes(1, 2)
    whole = np.zeros((samples, groups * targets, *np.add(spans, reaches)))
    for offset in np.ndindex(*kernel):
        added = matrices[(..., *offset)] @ values
        where: list[Any] = [
            slice(step * entry, step * entry + span, every)
            for step, entry, span, every in zip(dilation, offset, spans, stride, strict=True)
        ]
        whole[(..., *where)] += added.reshape(samples, groups * targets, *places)
    # Padding takes away from what the kernels reach; output padding gives back at the end.
    cut = [
        (-before, more - after)
        for (before, after), more in zip(
            attributes["padding"], attributes["output_padding"], strict=True
        )
    ]
    return _channels_biased(padded(whole, cut, 0.0), tensors)


def embedding(_attributes: Attributes, inputs: Inputs, tensors: Tensors) -> Array:
    """Weight (vocabulary, features): the rows whose indices the input holds."""
    weight, indices = tensors["weight"], inputs[0]
    # NaN compares to nothing, so that it is refused here too.
    if not ((indices >= 0) & (indices < len(weight)) & (indices == np.floor(indices))).all():
        raise InvalidArgument(
            f"The input of an embedding must hold integers from 0 to {len(weight) - 1}."
        )
    return weight[indices.astype(np.int64)]


def _channels_biased(values: Array, tensors: Tensors) -> Array:
    return biased(values, tensors, (1 - values.ndim,))


FAMILY: Family = {
    "linear": linear,
    "conv": conv,
    "conv_transposed": conv_transposed,
    "embedding": embedding,
}
