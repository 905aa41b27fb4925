"""Refuses weights that are not numbers, before anything is written."""

from __future__ import annotations

import numpy as np

from ingest.network import DenseLinks, Network
from store.errors import InvalidWeights

# Scalars read at once: 8 MB as float64.
BLOCK = 1 << 20


def check_finite(network: Network) -> None:
    """Reads all weights and biases once, in blocks of rows.

    Parameters
    ----------
    network
        As :func:`ingest.layers.build.build` gives it.

    Raises
    ------
    InvalidWeights
        Names the layer and the neuron of the first value that is NaN or infinite.

    Example
    -------
    >>> from ingest.network import Layer
    >>> from ingest.operations import Parameter
    >>> weight = Parameter.of("fc.weight", np.array([[1.0, np.nan]]))
    >>> check_finite(Network(
    ...     (Layer("input", "input", (2,)), Layer("fc", "linear", (1,), sources=(0,))),
    ...     (DenseLinks(0, 1, weight, 0, True),), (weight,)))
    Traceback (most recent call last):
    ...
    store.errors.InvalidWeights: The weight from neuron 1 of layer 'input' to neuron 0 of layer
    'fc' is nan.
    """
    for layer in network.layers:
        if layer.bias is not None and not np.isfinite(layer.bias).all():
            neuron = int(np.flatnonzero(~np.isfinite(layer.bias))[0])
            raise InvalidWeights(
                f"The bias of neuron {neuron} of layer {layer.name!r} is {layer.bias[neuron]}."
            )
    # Layers that share a tensor need it read once only.
    for block in {links.weights.name: links for links in reversed(network.links)}.values():
        _check(block, network)


def _check(block: DenseLinks, network: Network) -> None:
    rows, columns = block.weights.shape
    step = max(1, BLOCK // max(1, columns))
    for start in range(0, rows, step):
        values = block.weights.read(start, min(start + step, rows))
        finite = np.isfinite(values)
        if finite.all():
            continue
        row, column = (int(index) for index in np.argwhere(~finite)[0])
        value = values[row, column]
        target, source = (start + row, column) if block.target_first else (column, start + row)
        raise InvalidWeights(
            f"The weight from neuron {source} of layer {network.layers[block.source].name!r} to "
            f"neuron {target} of layer {network.layers[block.target].name!r} is {value}."
        )
