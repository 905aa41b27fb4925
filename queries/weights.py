"""A network's weights, read back in bulk: per layer as a matrix, or as its original tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from queries import scope
from queries.scope import Place
from store.database import Database
from store.errors import VerificationFailed
from store.query import Query

# Reading back runs as long as it must: no reader waits for it at a service.
SECONDS = 3_600.0

TENSORS = Query(
    "tensors",
    "Names, shapes and places of a network's tensors in its flat parameter vector.",
    """
MATCH (:Network {name: $network})-[:HAS_PARAMETER]->(parameter:Parameter)
RETURN parameter.name AS name, parameter.aliases AS aliases, parameter.shape AS shape,
       parameter.dtype AS dtype, parameter.first AS first
ORDER BY parameter.index
""",
    ("name", "aliases", "shape", "dtype", "first"),
)

LINKS_INTO_LAYER = Query(
    "links_into_layer",
    "Ends, weights and parameter positions of the links into a layer, one row per neuron.",
    """
MATCH (target:Neuron) WHERE $first <= target.id < $first + $size
MATCH (target)<-[link:LINK]-(source:Neuron)
WITH target, collect(source.id) AS source, collect(link.weight) AS weight,
     collect(link.param) AS param
RETURN [_ IN source | target.id] AS target, source, weight, param
""",
    ("target", "source", "weight", "param"),
)

BIASES = Query(
    "biases",
    "Biases of a layer in the order of its neurons, and where they lie in the parameter vector.",
    """
MATCH (layer:Layer)-[:HAS_NEURON]->(neuron:Neuron)
WHERE layer.first = $first AND neuron.bias IS NOT NULL
WITH layer, neuron ORDER BY neuron.index
RETURN collect(neuron.bias) AS bias, collect(layer.bias_param + neuron.index) AS param
""",
    ("bias", "param"),
)


@dataclass(frozen=True)
class Tensor:
    """One tensor of the state dict, with the value of every scalar.

    Parameters
    ----------
    name, aliases
        Its key, and the further keys that stand for the same tensor.
    dtype
        As in the file that was ingested, such as ``float32`` or ``bfloat16``.
    values
        float64, in the tensor's shape; each has the exact value that the file had.
    """

    name: str
    aliases: tuple[str, ...]
    dtype: str
    values: NDArray[np.float64]


@dataclass(frozen=True)
class LayerWeights:
    """What feeds a layer, as stored: its links in coordinate form, and its biases."""

    layer: Place
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64]
    params: NDArray[np.int64]
    biases: NDArray[np.float64] | None
    bias_params: NDArray[np.int64]


def layer_weights(database: Database, layer: Place) -> LayerWeights:
    """Reads one layer's links and biases in columns.

    Parameters
    ----------
    layer
        As :func:`queries.scope.places` gives it.

    Returns
    -------
    LayerWeights
        `sources` and `targets` are neuron ids; one entry per link, in no order.
    """
    bounds = {"first": layer.first, "size": layer.size}
    links = database.columns(LINKS_INTO_LAYER, seconds=SECONDS, **bounds)
    biases = database.columns(BIASES, seconds=SECONDS, first=layer.first)
    return LayerWeights(
        layer,
        links["source"].astype(np.int64),
        links["target"].astype(np.int64),
        links["weight"].astype(np.float64),
        links["param"].astype(np.int64),
        biases["bias"].astype(np.float64) if biases["bias"].size else None,
        biases["param"].astype(np.int64),
    )


def tensors(database: Database, network: str) -> Iterator[Tensor]:
    """A network's tensors, put together again from its links and biases alone.

    Yields
    ------
    Tensor
        In the order of the file that was ingested.

    Raises
    ------
    NotFound
        If there is no complete network of that name.
    VerificationFailed
        If a scalar is not in the store, or stands there with two values.

    Example
    -------
    >>> {t.name: t.values.shape for t in tensors(database, "mnist")}    # doctest: +SKIP
    {'fc1.weight': (200, 784), 'fc1.bias': (200,)}
    """
    layers = scope.places(database, network)
    rows = database.read(TENSORS, network=network, row_cap=1_000_000).records()
    shapes = [tuple(row["shape"]) for row in rows]
    flat = np.full(sum(math.prod(shape) for shape in shapes), np.nan)
    for layer in layers:
        read = layer_weights(database, layer)
        _fill(flat, read.params, read.weights, layer.name)
        if read.biases is not None:
            _fill(flat, read.bias_params, read.biases, layer.name)
    scope.unchanged(database, network, layers)
    for row, shape in zip(rows, shapes, strict=True):
        values = flat[row["first"] : row["first"] + math.prod(shape)]
        missing = int(np.isnan(values).sum())
        if missing:
            raise VerificationFailed(
                f"{missing} of the {values.size} values of {row['name']!r} are not in the store."
            )
        yield Tensor(row["name"], tuple(row["aliases"] or ()), row["dtype"], values.reshape(shape))


def _fill(
    flat: NDArray[np.float64], params: NDArray[np.int64], values: NDArray[np.float64], layer: str
) -> None:
    known = flat[params]
    flat[params] = values
    # Shared weights come more than once, and must agree with each other and with other layers'.
    if not ((flat[params] == values) & (np.isnan(known) | (known == values))).all():
        raise VerificationFailed(f"Links into layer {layer!r} give one parameter two values.")
