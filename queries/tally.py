"""Mean and deviation of each neuron's values, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class Tally:
    """Running mean and squared deviation of values that belong to neurons.

    Parameters
    ----------
    neurons
        Which neuron each value of a sample belongs to; in a shared view one has several.
    size
        Number of neurons.

    Example
    -------
    >>> tally = Tally(np.array([0, 1, 1]), 2)
    >>> tally.add(np.array([[1.0, 2.0, 4.0]]))
    >>> tally.add(np.array([[3.0, 6.0, 8.0]]))
    >>> tally.mean.tolist(), tally.std.round(3).tolist(), tally.positive.tolist()
    ([2.0, 5.0], [1.0, 2.236], [1.0, 1.0])
    """

    neurons: NDArray[np.int64]
    size: int
    count: int = 0
    mean: Array = field(init=False)
    _squares: Array = field(init=False)
    _positive: Array = field(init=False)

    def __post_init__(self) -> None:
        self.neurons = self.neurons.ravel()
        self.mean = np.zeros(self.size)
        self._squares = np.zeros(self.size)
        self._positive = np.zeros(self.size)
        # A neuron that no value belongs to, as in a table that is not looked up, stays at 0.
        self._uses = np.maximum(np.bincount(self.neurons, minlength=self.size), 1)

    def add(self, values: Array) -> None:
        """Takes in the values of some samples, one sample in each row."""
        samples = len(values)
        if samples == 0:
            return
        flat = values.reshape(samples, -1)
        mean = self._by_neuron(flat.mean(axis=0)) / self._uses
        squares = self._by_neuron(((flat - mean[self.neurons]) ** 2).sum(axis=0))
        # Chan et al.: means and deviations of two sets, put together without cancellation.
        both = self.count + samples
        step = mean - self.mean
        self._squares += squares + step**2 * self._uses * (self.count * samples / both)
        self.mean += step * (samples / both)
        self._positive += self._by_neuron((flat > 0).sum(axis=0).astype(np.float64))
        self.count = both

    def _by_neuron(self, values: Array) -> Array:
        return np.bincount(self.neurons, values, minlength=self.size).astype(np.float64)

    @property
    def std(self) -> Array:
        """Population standard deviation."""
        return np.asarray(np.sqrt(self._squares / (self._uses * max(self.count, 1))))

    @property
    def positive(self) -> Array:
        """Fraction of values above 0."""
        return np.asarray(self._positive / (self._uses * max(self.count, 1)))


def finite(values: Array) -> list[float | None]:
    """As the graph holds them: what is not finite, as masked scores are, is missing."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def lists(columns: Sequence[Array]) -> list[list[float]]:
    """For each neuron its value in each column; NaN where it is not finite."""
    whole = np.stack(columns, axis=1)
    found: list[list[float]] = np.where(np.isfinite(whole), whole, np.nan).tolist()
    return found
