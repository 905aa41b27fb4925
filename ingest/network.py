"""THE seam: a network as layers of neurons and blocks of links, in NumPy.

No torch, no Neo4j. Readers and layer families build a :class:`Network`, the writer stores it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Parameter


@dataclass(frozen=True)
class Layer:
    """Neurons of one place in the network.

    Parameters
    ----------
    name
        How a person addresses it; unique in the network.
    kind
        ``input``, ``linear``, ...
    shape
        Its activations' shape without the batch axis; the neurons are its entries in C order.
    activation
        Name of the elementwise function after it, or ``identity``.
    bias, bias_param
        One value per neuron, and the position of the first one in the flat parameter vector;
        None where it has no bias.
    sources
        Indices of the layers that feed it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    activation: str = "identity"
    bias: NDArray[np.float64] | None = None
    bias_param: int | None = None
    sources: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class DenseLinks:
    """Every neuron of one layer linked to every neuron of another.

    Parameters
    ----------
    source, target
        Indices of the two layers.
    weights
        The tensor, two axes.
    first
        Position of its first scalar in the flat parameter vector.
    target_first
        True when the tensor's first axis counts targets (torch), False for sources (Keras).
    """

    source: int
    target: int
    weights: Parameter
    first: int
    target_first: bool

    @property
    def sources(self) -> int:
        """Number of source neurons."""
        return self.weights.shape[1 if self.target_first else 0]

    @property
    def targets(self) -> int:
        """Number of target neurons."""
        return self.weights.shape[0 if self.target_first else 1]

    @property
    def count(self) -> int:
        """Number of links."""
        return self.sources * self.targets

    @property
    def source_stride(self) -> int:
        """How far apart in the parameter vector two neighbouring sources' weights lie."""
        return 1 if self.target_first else self.targets

    @property
    def target_stride(self) -> int:
        """How far apart in the parameter vector two neighbouring targets' weights lie."""
        return self.sources if self.target_first else 1

    def tile(self, sources: range, targets: range) -> NDArray[np.float64]:
        """Weights of a rectangle of links, sources x targets, as float64 of the stored value."""
        rows, columns = (targets, sources) if self.target_first else (sources, targets)
        block = self.weights.read(rows.start, rows.stop)[:, columns.start : columns.stop]
        return np.asarray(block.T if self.target_first else block, dtype=np.float64)


@dataclass(frozen=True)
class Network:
    """A whole network, ready to be written.

    Parameters
    ----------
    layers
        In topological order; layer i has index i.
    links
        Blocks of learned links.
    parameters
        All tensors in the order of the flat parameter vector.
    view
        ``shared`` or ``unrolled``; the same for dense layers.
    source
        The format it was read from.
    """

    layers: tuple[Layer, ...]
    links: tuple[DenseLinks, ...]
    parameters: tuple[Parameter, ...]
    view: str = "shared"
    source: str = ""

    @property
    def neuron_count(self) -> int:
        """Number of neurons."""
        return sum(layer.size for layer in self.layers)

    @property
    def link_count(self) -> int:
        """Number of learned links."""
        return sum(block.count for block in self.links)
