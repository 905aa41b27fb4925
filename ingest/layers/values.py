"""What an operation gives, while the network is being built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.layers.neurons import Neurons
from store import views


@dataclass(frozen=True)
class Value:
    """What an operation gives.

    Parameters
    ----------
    view
        How it lies in the values of layers.
    neurons
        In its shape: the neuron that each entry belongs to.
    params
        Of a constant: where each entry lies in the flat parameter vector (-1: padding).
    """

    view: views.View
    neurons: Neurons
    params: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch axis."""
        return self.neurons.shape
