"""A forward pass from what is stored alone: the proof that the graph means the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from queries import activations, catalogue, scope
from queries.weights import layer_weights
from store.database import Database
from store.errors import InvalidArgument


def forward(
    database: Database,
    network: str,
    inputs: NDArray[np.float64],
    *,
    activation: str | None = None,
) -> NDArray[np.float64]:
    """Computes a network's outputs from its stored links, biases and activations.

    Parameters
    ----------
    inputs
        One row per sample; each sample has as many values as the input layer has neurons, in any
        shape.
    activation
        Stands for hidden layers' ``unknown`` activation, in a network that was read from a file
        of weights alone; an output layer's is then taken for the identity.

    Returns
    -------
    numpy.ndarray
        float64, samples x output neurons; where several layers feed no other, their outputs
        side by side in the order of the layers.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the inputs do not fit, are not finite, or an activation is not known.

    References
    ----------
    Layers in topological order, each y = phi(W^T x + b); arXiv 2209.05488, section 2.

    Example
    -------
    >>> forward(database, "digits-060", images / 16).argmax(axis=1)     # doctest: +SKIP
    array([3, 7, 1])
    """
    layers = scope.places(database, network)
    functions = catalogue.layers(database, network).column("activation")
    feeding = {source for layer in layers for source in layer.fed_by}
    outputs = [layer.index for layer in layers if layer.index not in feeding]
    values: dict[int, NDArray[np.float64]] = {}
    for layer, function in zip(layers, functions, strict=True):
        if not layer.fed_by:
            total = _samples(inputs, layer.size)
        else:
            read = layer_weights(database, layer)
            total = np.zeros((len(inputs), layer.size))
            for source in (layers[index] for index in layer.fed_by):
                among = (read.sources >= source.first) & (read.sources < source.first + source.size)
                matrix = np.zeros((source.size, layer.size))
                # Added, not set: two neurons may share more than one link.
                np.add.at(
                    matrix,
                    (read.sources[among] - source.first, read.targets[among] - layer.first),
                    read.weights[among],
                )
                total += values[source.index] @ matrix
            if read.biases is not None:
                total += read.biases
        final = layer.index in outputs
        values[layer.index] = activations.apply(_known(function, activation, final), total)
    scope.unchanged(database, network, layers)
    return np.concatenate([values[index] for index in outputs], axis=1)


def _known(function: str, given: str | None, final: bool) -> str:
    if function != activations.UNKNOWN:
        return function
    if given is None:
        raise InvalidArgument(
            "The file of this network held weights and no activations: say what stands between "
            "its layers with --activation (activation=...)."
        )
    return "identity" if final else given


def _samples(inputs: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    if inputs.ndim == 0 or not np.issubdtype(inputs.dtype, np.number):
        raise InvalidArgument("The inputs are not an array of numbers, one row per sample.")
    if not len(inputs):
        raise InvalidArgument("There is no sample among the inputs.")
    samples = inputs.reshape(len(inputs), -1).astype(np.float64)
    if samples.shape[1] != size:
        raise InvalidArgument(
            f"A sample has {samples.shape[1]} values, but the network takes {size}."
        )
    if not np.isfinite(samples).all():
        raise InvalidArgument("The inputs hold NaN or infinite values.")
    return samples
