"""A forward pass from what is stored alone: the proof that the graph means the network.

Where each value is a neuron, it is computed over the links themselves; where one neuron stands at
many positions, the links are put together to the matrix or kernel that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.forward_pass import Pass, Reader, Visit
from queries.stored import Stored, stored
from store.database import Database
from store.errors import InvalidArgument

Array = NDArray[np.float64]
Inputs = NDArray[np.float64] | Mapping[str, NDArray[np.float64]]


def forward(
    database: Database,
    network: str,
    inputs: Inputs,
    *,
    activation: str | None = None,
) -> Array:
    """Computes a network's output from its stored links, biases and activations.

    Parameters
    ----------
    inputs
        One entry per sample along the first axis; each sample has as many values as the input
        layer, in any shape. For a network of several inputs: an array for each input layer's name.
    activation
        Stands for hidden layers' ``unknown`` activation, in a network that was read from a file
        of weights alone; an output layer's is then taken for the identity.

    Returns
    -------
    numpy.ndarray
        float64, samples x shape of the output; where there are several outputs, each flat and
        side by side in their order.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    InvalidArgument
        If the inputs do not fit, are not finite, an activation is not known, or a layer is opaque.

    References
    ----------
    Layers in topological order, each y = phi(W^T x + b); arXiv 2209.05488, section 2.

    Example
    -------
    >>> forward(database, "digits-060", images / 16).argmax(axis=1)     # doctest: +SKIP
    array([3, 7, 1])
    """
    found = outputs(database, network, inputs, activation=activation)
    if len(found) == 1:
        return found[0]
    return np.concatenate([values.reshape(len(values), -1) for values in found], axis=1)


def outputs(
    database: Database,
    network: str,
    inputs: Inputs,
    *,
    activation: str | None = None,
) -> list[Array]:
    """As :func:`forward`, each output in its own shape."""
    return Forward(database, network, activation=activation).outputs(inputs)


class Forward:
    """A network as it is stored, to be computed on one batch after the other.

    Parameters
    ----------
    activation
        Stands for hidden layers' ``unknown`` activation.
    again
        Whether to keep the weights that the first batch reads, for the next.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    """

    def __init__(
        self,
        database: Database,
        network: str,
        *,
        activation: str | None = None,
        again: bool = False,
    ) -> None:
        self._database = database
        self._network = network
        self._activation = activation
        self._read = Reader(database, network, again=again)
        self.stored = stored(database, network)

    def outputs(self, inputs: Inputs, visit: Visit | None = None) -> list[Array]:
        """The outputs, each in its own shape.

        Parameters
        ----------
        inputs
            As :func:`forward` takes them.
        visit
            Is called with each layer in turn, what its neurons receive (links, wires and bias
            together, samples x shape), and what their activation makes of it; None for gates, which
            give nothing themselves.

        Raises
        ------
        InvalidArgument
            As :func:`forward`.
        Conflict
            If the network was replaced meanwhile.
        """
        given, samples = _given(self.stored, inputs)
        run = Pass(self._read, self.stored, samples, self._activation, visit)
        for layer in self.stored.layers:
            run.compute(layer, given.get(layer.place.name))
        places = [layer.place for layer in self.stored.layers]
        scope.unchanged(self._database, self._network, places)
        return [np.array(run.value(view)) for view in self.stored.outputs]


def _given(whole: Stored, inputs: Inputs) -> tuple[dict[str, Array], int]:
    """The input layers' values, and how many samples they are."""
    entrances = [layer for layer in whole.layers if layer.kind == "input"]
    if not isinstance(inputs, Mapping):
        if len(entrances) > 1:
            names = ", ".join(layer.place.name for layer in entrances)
            raise InvalidArgument(
                f"The network has several inputs: give an array for each: {names}."
            )
        inputs = {entrances[0].place.name: inputs}
    known = {layer.place.name for layer in entrances}
    if inputs.keys() != known:
        raise InvalidArgument(
            f"The network's inputs are {', '.join(sorted(known))}, not "
            f"{', '.join(sorted(inputs)) or 'none'}."
        )
    found = {
        layer.place.name: _samples(inputs[layer.place.name], layer.shape) for layer in entrances
    }
    counts = {len(values) for values in found.values()}
    if len(counts) > 1:
        raise InvalidArgument("The inputs have different numbers of samples.")
    return found, counts.pop()


def _samples(inputs: Array, shape: tuple[int, ...]) -> Array:
    if inputs.ndim == 0 or not np.issubdtype(inputs.dtype, np.number):
        raise InvalidArgument("The inputs are not an array of numbers, one row per sample.")
    if not len(inputs):
        raise InvalidArgument("There is no sample among the inputs.")
    values = inputs.reshape(len(inputs), -1).astype(np.float64)
    if values.shape[1] != prod(shape):
        raise InvalidArgument(
            f"A sample has {values.shape[1]} values, but the network takes {prod(shape)}."
        )
    if not np.isfinite(values).all():
        raise InvalidArgument("The inputs hold NaN or infinite values.")
    return values.reshape(len(inputs), *shape)
