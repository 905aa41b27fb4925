"""Sums over all paths through layers, without ever multiplying the layers' matrices.

A layer's numbers follow from those of the layers before it, link by link; they are kept as a vector
times a power of two, so that products over many layers neither overflow nor vanish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from queries.scope import Place
from queries.weights import Edges

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scaled:
    """Numbers of a layer's neurons: ``values * 2 ** exponent``."""

    values: Array
    exponent: int = 0

    def plus(self, values: Array, exponent: int) -> Scaled:
        """The sum with further numbers of the same neurons."""
        mine, theirs = self.even(), Scaled(values, exponent).even()
        if not mine.values.any():
            return theirs
        if not theirs.values.any():
            return mine
        greatest = max(mine.exponent, theirs.exponent)
        return Scaled(
            np.ldexp(mine.values, mine.exponent - greatest)
            + np.ldexp(theirs.values, theirs.exponent - greatest),
            greatest,
        )

    def even(self) -> Scaled:
        """The same numbers, of which the greatest magnitude is from 1/2 to below 1."""
        greatest = np.abs(self.values).max(initial=0.0)
        if greatest == 0:
            return Scaled(self.values)
        by = int(np.frexp(greatest)[1])
        return Scaled(np.ldexp(self.values, -by), self.exponent + by)

    def total(self) -> Scaled:
        """Their sum, as one number."""
        return Scaled(np.array([self.values.sum()]), self.exponent)

    def logarithms(self) -> list[float | None]:
        """Natural logarithm of each magnitude; None for 0."""
        return [
            math.log(abs(value)) + self.exponent * math.log(2) if value else None
            for value in self.values.tolist()
        ]

    def numbers(self) -> list[float | None]:
        """Each as a float; None where it is greater, or nearer to 0, than a float can be."""
        return [_number(value, self.exponent) for value in self.values.tolist()]


def _number(value: float, exponent: int) -> float | None:
    try:
        found = math.ldexp(value, exponent)
    except OverflowError:
        return None
    return None if found == 0 and value != 0 else found


def at(found: Mapping[int, Scaled], layer: Place) -> Scaled:
    """The numbers of a layer's neurons; 0 where nothing came to it."""
    return found.get(layer.index, Scaled(np.zeros(layer.size)))


Weigh = Callable[[Edges], Array]


def magnitudes(edges: Edges) -> Array:
    """``|w|``: summed over paths, the mass."""
    found: Array = np.abs(edges.weights)
    return found


def signed(edges: Edges) -> Array:
    """``w``: summed over paths, what cancels out."""
    return edges.weights


def ones(edges: Edges) -> Array:
    """1 for each link that carries anything: summed over paths, their number."""
    found: Array = (edges.weights != 0).astype(np.float64)
    return found


def forwards(
    layers: list[Place],
    into: Mapping[int, Iterable[Edges]],
    start: Mapping[int, Scaled],
    weigh: Weigh,
) -> dict[int, Scaled]:
    """What each neuron receives over all paths from where it starts.

    Parameters
    ----------
    layers
        All layers of the network.
    into
        By layer index, in their order: the links into a layer that paths may use.
    start
        By layer index: what each neuron has to begin with.
    weigh
        What a link multiplies by.
    """
    found = dict(start)
    for index, blocks in into.items():
        for edges in blocks:
            target = layers[index]
            for source, part in edges.by_source(layers):
                if source.index not in found:
                    continue
                given = found[source.index]
                sums = np.bincount(
                    edges.targets[part] - target.first,
                    given.values[edges.sources[part] - source.first] * weigh(edges)[part],
                    minlength=target.size,
                )
                found[index] = at(found, target).plus(sums.astype(np.float64), given.exponent)
    return found


def backwards(
    layers: list[Place],
    into: Mapping[int, Iterable[Edges]],
    end: Mapping[int, Scaled],
    weigh: Weigh,
) -> dict[int, Scaled]:
    """What each neuron sends over all paths to where they end; as :func:`forwards`."""
    found = dict(end)
    for index in reversed(list(into)):
        if index not in found:
            continue
        target, given = layers[index], found[index]
        for edges in into[index]:
            for source, part in edges.by_source(layers):
                sums = np.bincount(
                    edges.sources[part] - source.first,
                    given.values[edges.targets[part] - target.first] * weigh(edges)[part],
                    minlength=source.size,
                )
                found[source.index] = at(found, source).plus(
                    sums.astype(np.float64), given.exponent
                )
    return found
