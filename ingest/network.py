"""THE seam: a network as layers of neurons and blocks of links, in NumPy.

No torch, no Neo4j. Readers and layer families build a :class:`Network`, the writer stores it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingest.operations import Parameter
from store import views


@dataclass(frozen=True)
class Scalars:
    """One learned or measured value per neuron: its bias, or a running mean.

    Parameters
    ----------
    values
        As float64 of the stored value, in the order of the neurons.
    params
        Where each lies in the flat parameter vector.
    """

    values: NDArray[np.float64]
    params: NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """Neurons of one place in the network.

    Parameters
    ----------
    name
        How a person addresses it; unique in the network.
    kind
        ``input``, ``linear``, ``conv``, ...
    shape
        Its activations' shape without the batch axis.
    axes
        Along which of its shape's axes the neurons stand, ascending from 0; the other axes are
        positions at which one neuron is used again. None: all.
    activation
        Name of the elementwise function after it, or ``identity``.
    attributes
        What its kind needs to be computed, such as a stride.
    takes
        How its inputs lie in the values of other layers (:mod:`store.views`).
    scalars
        By property: ``bias``, ``recurrent_bias``, ``mean``, ``variance``.
    sources
        Indices of the layers that feed it.
    recurrent_sources
        Those of them that feed back what they gave a time step before.
    roles, heads
        Per neuron, where it has them: ``q``, ``k``, ``v`` or a gate's letter; its attention head.
    coordinates
        What the axes are called, where each neuron has its own place along them.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    axes: tuple[int, ...] | None = None
    activation: str = "identity"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    takes: tuple[views.View, ...] = ()
    scalars: Mapping[str, Scalars] = field(default_factory=dict)
    sources: tuple[int, ...] = ()
    recurrent_sources: tuple[int, ...] = ()
    roles: tuple[str, ...] | None = None
    heads: tuple[int, ...] | None = None
    coordinates: tuple[str, ...] = ()

    @property
    def neuron_axes(self) -> tuple[int, ...]:
        """The axes along which its neurons stand."""
        return tuple(range(len(self.shape))) if self.axes is None else self.axes

    @property
    def size(self) -> int:
        """Number of neurons."""
        return prod(self.shape[axis] for axis in self.neuron_axes)

    @property
    def bias(self) -> NDArray[np.float64] | None:
        """One value per neuron, or None."""
        return self.scalars["bias"].values if "bias" in self.scalars else None

    def neurons(self, first: int = 0) -> NDArray[np.int64]:
        """The neuron that each of its values belongs to, in its shape; numbered from `first`."""
        return views.neurons(self.shape, self.neuron_axes, first)


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
    def learned(self) -> bool:
        """True: they are ``LINK``, never ``WIRE``."""
        return True

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
class LinkBlock:
    """Some links, in coordinate form.

    Parameters
    ----------
    sources, targets
        Neurons, numbered through the whole network from 0.
    weights
        Signed.
    params
        Where each weight lies in the flat parameter vector; None for fixed links.
    positions
        Tells links between the same two neurons apart: the place in the kernel, or which of the
        source's positions. None where no two share both ends.
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64]
    params: NDArray[np.int64] | None = None
    positions: NDArray[np.int64] | None = None

    @property
    def count(self) -> int:
        """Number of links."""
        return int(self.sources.size)

    @property
    def reach(self) -> tuple[range, range]:
        """The least ranges that hold all sources and all targets; it has a link at least."""
        return _reach(self.sources), _reach(self.targets)

    def at(self, places: slice | NDArray[np.int64]) -> LinkBlock:
        """Those at some places of it."""
        return LinkBlock(
            self.sources[places],
            self.targets[places],
            self.weights[places],
            None if self.params is None else self.params[places],
            None if self.positions is None else self.positions[places],
        )

    def part(self, start: int, stop: int) -> LinkBlock:
        """Those from `start` to before `stop`."""
        return self.at(slice(start, stop))

    def halves(self) -> tuple[LinkBlock, LinkBlock]:
        """Its first half and the rest."""
        middle = -(-self.count // 2)
        return self.part(0, middle), self.part(middle, self.count)


def _reach(neurons: NDArray[np.int64]) -> range:
    return range(int(neurons.min()), int(neurons.max()) + 1)


@dataclass(frozen=True)
class SparseLinks:
    """Links into one layer, learned or fixed, made block by block.

    Parameters
    ----------
    target
        Index of the layer.
    count
        Number of links.
    learned
        Whether they are ``LINK`` rather than ``WIRE``.
    blocks
        Gives them anew at every call, each link once.
    """

    target: int
    count: int
    learned: bool
    blocks: Callable[[], Iterator[LinkBlock]] = field(repr=False, compare=False)


Links: TypeAlias = DenseLinks | SparseLinks


@dataclass(frozen=True)
class Network:
    """A whole network, ready to be written.

    Parameters
    ----------
    layers
        In topological order; layer i has index i.
    links
        Blocks of learned and of fixed links.
    parameters
        All tensors in the order of the flat parameter vector.
    kept
        Indices of the tensors that no neuron and link holds, or not all of: the store keeps them
        whole.
    outputs
        How the model's outputs lie in the values of layers.
    view
        ``shared`` or ``unrolled``; the same for dense layers.
    source
        The format it was read from.
    """

    layers: tuple[Layer, ...]
    links: tuple[Links, ...]
    parameters: tuple[Parameter, ...]
    kept: tuple[int, ...] = ()
    outputs: tuple[views.View, ...] = ()
    view: str = "shared"
    source: str = ""

    @property
    def neuron_count(self) -> int:
        """Number of neurons."""
        return sum(layer.size for layer in self.layers)

    @property
    def dense(self) -> tuple[DenseLinks, ...]:
        """The blocks that are whole rectangles."""
        return tuple(block for block in self.links if isinstance(block, DenseLinks))

    @property
    def link_count(self) -> int:
        """Number of learned links."""
        return sum(block.count for block in self.links if block.learned)

    @property
    def wire_count(self) -> int:
        """Number of fixed links."""
        return sum(block.count for block in self.links if not block.learned)

    @property
    def firsts(self) -> tuple[int, ...]:
        """Number of each layer's first neuron, counted through the network."""
        return tuple(accumulate((layer.size for layer in self.layers), initial=0))[:-1]
