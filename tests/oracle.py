"""What the queries must answer, computed from the weight matrices by NumPy alone.

Written from the formulas of the papers, not from the Cypher. A network is a list of matrices
(sources x targets) and a list of biases.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def strengths(
    matrices: Sequence[NDArray[Any]],
    biases: Sequence[NDArray[Any]] | None,
    *,
    convention: str = "plain",
    bias: bool = False,
) -> list[tuple[Array, Array]]:
    """(in, out) of every neuron, per layer."""
    wide = [matrix.astype(np.float64) for matrix in matrices]
    sizes = [wide[0].shape[0], *(matrix.shape[1] for matrix in wide)]
    received = [np.zeros(sizes[0]), *(matrix.sum(axis=0) for matrix in wide)]
    sent = [*(matrix.sum(axis=1) for matrix in wide), np.zeros(sizes[-1])]
    if biases is not None and (bias or convention == "cnt"):
        for layer, values in enumerate(biases, start=1):
            received[layer] = received[layer] + values.astype(np.float64)
    if convention == "cnt":
        received[0] = received[0] + 1.0
        sent[-1] = sent[-1] + 1.0
    return list(zip(received, sent, strict=True))


def weights(
    matrices: Sequence[NDArray[Any]], biases: Sequence[NDArray[Any]] | None, bias: bool
) -> list[Array]:
    """All weights of each layer that links end in, with its biases where asked."""
    values = [matrix.astype(np.float64).ravel() for matrix in matrices]
    if bias and biases is not None:
        values = [
            np.concatenate([of_layer, more.astype(np.float64)])
            for of_layer, more in zip(values, biases, strict=True)
        ]
    return values


def all_paths(
    matrices: Sequence[NDArray[Any]], start: int, end: int
) -> Iterator[tuple[tuple[int, ...], list[float]]]:
    """Every path from layer `start` to layer `end`: neuron indices, and weights along it.

    Links of weight 0 are part of no path.
    """
    sizes = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    for neurons in itertools.product(*(range(size) for size in sizes[start : end + 1])):
        along = [
            float(matrices[start + hop][neurons[hop], neurons[hop + 1]])
            for hop in range(end - start)
        ]
        if all(weight != 0 for weight in along):
            yield neurons, along
