"""Which neurons of two networks are active on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from queries.forward import Forward, Inputs
from queries.stored import StoredLayer
from store.database import Database
from store.errors import InvalidArgument

Array = NDArray[np.float64]

SAMPLES_AT_ONCE: Final = 256


def correlations(database: Database, network: str, other: str, inputs: Inputs) -> dict[int, Array]:
    """For each layer, the correlation over a sample of each neuron here with each one there."""
    moments: dict[int, _Moments] = {}
    models = [Forward(database, name, again=True) for name in (network, other)]
    for batch in _batches(inputs):
        seen: list[dict[int, Array]] = [{}, {}]
        for model, values in zip(models, seen, strict=True):

            def visit(
                layer: StoredLayer,
                total: Array,
                active: Array | None,
                into: dict[int, Array] = values,
            ) -> None:
                into[layer.place.index] = _by_neuron(layer, total if active is None else active)

            model.outputs(batch, visit)
        for index, mine in seen[0].items():
            moments.setdefault(index, _Moments()).add(mine, seen[1][index])
    return {index: each.correlations() for index, each in moments.items()}


def _batches(inputs: Inputs) -> Iterator[Inputs]:
    if isinstance(inputs, np.ndarray):
        for start in range(0, max(len(inputs), 1), SAMPLES_AT_ONCE):
            yield inputs[start : start + SAMPLES_AT_ONCE]
    else:
        yield inputs


def _by_neuron(layer: StoredLayer, values: Array) -> Array:
    """Observations x neurons: a neuron that stands at many positions is observed at each."""
    neurons = layer.neurons().ravel()
    size = layer.place.size
    if len(neurons) % size:
        raise InvalidArgument(f"Neurons of layer {layer.place.name!r} stand at different places.")
    order = np.argsort(neurons, kind="stable")
    flat = values.reshape(len(values), -1)[:, order].reshape(len(values), size, -1)
    return np.moveaxis(flat, 2, 1).reshape(-1, size)


class _Moments:
    """Running covariance of the neurons of one layer with those of another."""

    def __init__(self) -> None:
        self._count = 0
        self._means: list[Array] = []
        self._variances: list[Array] = []
        self._covariance: Array = np.zeros((0, 0))

    def add(self, here: Array, there: Array) -> None:
        """Takes in observations of both, in the same order."""
        count = len(here)
        means = [values.mean(axis=0) for values in (here, there)]
        even = [values - mean for values, mean in zip((here, there), means, strict=True)]
        variances = [(values**2).sum(axis=0) for values in even]
        covariance = even[0].T @ even[1]
        if self._count:
            weight = self._count * count / (self._count + count)
            steps = [new - old for new, old in zip(means, self._means, strict=True)]
            variances = [
                old + new + step**2 * weight
                for old, new, step in zip(self._variances, variances, steps, strict=True)
            ]
            covariance = self._covariance + covariance + np.outer(*steps) * weight
            means = [
                old + step * (count / (self._count + count))
                for old, step in zip(self._means, steps, strict=True)
            ]
        self._count += count
        self._means, self._variances, self._covariance = means, variances, covariance

    def correlations(self) -> Array:
        """Correlation of each two neurons; 0 where one does not vary."""
        lengths = np.sqrt(np.outer(*self._variances))
        found: Array = np.divide(
            self._covariance, lengths, out=np.zeros_like(lengths), where=lengths > 0
        )
        return found
