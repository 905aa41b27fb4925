"""Tensors from links: which entry of a matrix or a kernel each link is, by its ends alone.

A link's place in the parameter vector is not looked at: where its ends and its position say
something else than the file did, a forward pass shows it.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from queries.stored import StoredLayer
from queries.weights import Edges
from store.errors import VerificationFailed

Array = NDArray[np.float64]
Ids = NDArray[np.int64]


def matrix(layer: StoredLayer, links: Edges, taken: Ids, targets: int) -> Array:
    """A weight matrix (targets, sources) from the links into a layer.

    Parameters
    ----------
    links
        Those from one of the layer's inputs.
    taken
        Ids of the neurons of that input, positions x sources.
    targets
        How many of the layer's neurons stand at each position.
    """
    step, target = np.divmod(links.targets - layer.place.first, targets)
    # In a shared view all positions have the same neurons, and the first says all.
    step = np.minimum(step, len(taken) - 1)
    column = _columns(taken, step, links)
    found = np.zeros((targets, taken.shape[1]))
    found[target, column] = links.weights
    if (found[target, column] != links.weights).any():
        raise VerificationFailed(
            f"Links into layer {layer.place.name!r} give one weight two values."
        )
    return found


def kernel(layer: StoredLayer, links: Edges, channels: Ids) -> Array:
    """A convolution's kernel from the links into a layer of a shared view.

    Parameters
    ----------
    channels
        Id of the neuron of each source channel.

    Returns
    -------
    numpy.ndarray
        (targets, sources/groups, *kernel), or (sources, targets/groups, *kernel) transposed.
    """
    places = tuple(layer.attributes["kernel"])
    groups = layer.attributes["groups"]
    rank, place = np.divmod(links.positions, prod(places))
    source = _columns(channels.reshape(1, -1), np.zeros_like(rank), links, rank)
    target = links.targets - layer.place.first
    if layer.kind == "conv_transposed":
        first, second, every = source, target, layer.shape[0] // groups
        rows = channels.size
    else:
        first, second, every = target, source, channels.size // groups
        rows = layer.shape[0]
    found = np.zeros((rows, every, prod(places)))
    found[first, second % every, place] = links.weights
    return found.reshape(rows, every, *places)


def _columns(taken: Ids, step: Ids, links: Edges, rank: Ids | None = None) -> Ids:
    """Of each link, where its source stands among the neurons of its position."""
    which = links.positions if rank is None else rank
    width = int(max(taken.max(), links.sources.max(initial=0))) + 1
    keys = (np.arange(len(taken))[:, None] * width + taken).reshape(-1)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    # Equal neurons at one position follow each other; `which` says which of them is meant.
    begins = np.searchsorted(ordered, step * width + links.sources)
    at = np.minimum(begins + which, ordered.size - 1)
    if (ordered[at] != step * width + links.sources).any():
        raise VerificationFailed("A link comes from a neuron that its layer does not take.")
    columns: Ids = order[at] % taken.shape[1]
    return columns


def per_neuron(layer: StoredLayer, links: Edges) -> Array:
    """The weight of each neuron's only link."""
    found = np.zeros(layer.place.size)
    found[links.targets - layer.place.first] = links.weights
    return found


def table(layer: StoredLayer, links: Edges, position: StoredLayer) -> Array:
    """What each position adds to each value of a layer, in its shape."""
    matrix = np.zeros((position.place.size, layer.place.size))
    matrix[links.sources - position.place.first, links.targets - layer.place.first] = links.weights
    positions = np.broadcast_to(position.neurons(), layer.shape)
    found: Array = matrix[positions, layer.neurons()]
    return found
