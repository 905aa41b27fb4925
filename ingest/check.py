"""Refuses weights that are not finite floats, before anything is written."""

from __future__ import annotations

import numpy as np

from ingest.network import DenseLinks, Network
from ingest.operations import Parameter
from ingest.readers.wording import check_tensor
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
        Names the layer and the neuron of the first value that is NaN or infinite, or the tensor
        that holds something else than floats.

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
        for name, scalars in layer.scalars.items():
            if not np.isfinite(scalars.values).all():
                neuron = int(np.flatnonzero(~np.isfinite(scalars.values))[0])
                raise InvalidWeights(
                    f"The {name.replace('_', ' ')} of neuron {neuron} of layer {layer.name!r} is "
                    f"{scalars.values[neuron]}."
                )
    # Layers that share a tensor need it read once only.
    dense = {links.weights.name: links for links in reversed(network.dense)}
    for block in dense.values():
        _check(block, network)
    kept = {network.parameters[index].name for index in network.kept}
    for parameter in network.parameters:
        if parameter.name not in kept:
            check_tensor(parameter.name, parameter.dtype)
        if parameter.name not in dense:
            _check_tensor(parameter, infinite_too=parameter.name not in kept)


def _check_tensor(parameter: Parameter, *, infinite_too: bool) -> None:
    """Refuses NaN, and infinities but in tensors that are kept whole, such as masks."""
    rows = parameter.shape[0] if parameter.shape else 1
    step = max(1, BLOCK // max(1, parameter.size // max(1, rows)))
    for start in range(0, rows, step):
        values = parameter.read(start, min(start + step, rows))
        if values.dtype.kind != "f":
            return
        wrong = ~np.isfinite(values) if infinite_too else np.isnan(values)
        if wrong.any():
            place = np.argwhere(wrong)[0]
            value = values[tuple(place)]
            place[:1] += start
            where = ", ".join(str(index) for index in place)
            raise InvalidWeights(f"The tensor {parameter.name!r} holds {value} at [{where}].")


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
