"""A network's weights, read back in bulk: per layer as a matrix, or as its original tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
       parameter.dtype AS dtype, parameter.first AS first,
       parameter.values IS NOT NULL AS kept, parameter.index AS parameter_index
ORDER BY parameter_index
""",
    ("name", "aliases", "shape", "dtype", "first", "kept", "parameter_index"),
)

KEPT_TENSOR = Query(
    "kept_tensor",
    "The values of a tensor that is kept whole, since no neuron and link holds it.",
    """
MATCH (:Network {name: $network})-[:HAS_PARAMETER]->(parameter:Parameter {index: $index})
RETURN parameter.values AS values, parameter.shape AS shape
""",
    ("values", "shape"),
)


def _into_layer(name: str, kind: str, properties: str) -> Query:
    return Query(
        name,
        f"Ends and properties of the {kind} relationships into a layer, one row per neuron.",
        f"""
MATCH (target:Neuron) WHERE $first <= target.id < $first + $size
MATCH (target)<-[link:{kind}]-(source:Neuron)
WITH target, collect(source.id) AS source, collect(link.weight) AS weight,
     collect(coalesce(link.position, 0)) AS position{properties}
RETURN [_ IN source | target.id] AS target, source, weight, position, param
""",
        ("target", "source", "weight", "position", "param"),
    )


LINKS_INTO_LAYER = _into_layer("links_into_layer", "LINK", ", collect(link.param) AS param")
WIRES_INTO_LAYER = _into_layer("wires_into_layer", "WIRE", ", [] AS param")

SCALARS = ("bias", "recurrent_bias", "mean", "variance")

NEURON_SCALARS = Query(
    "neuron_scalars",
    "What a layer's neurons hold, in their order, and where it lies in the parameter vector.",
    f"""
MATCH (neuron:Neuron) WHERE $first <= neuron.id < $first + $size
WITH neuron ORDER BY neuron.id
RETURN {
        ", ".join(
            f"collect(neuron.{name}) AS {name}, collect(neuron.{name}_param) AS {name}_param"
            for name in SCALARS
        )
    }
""",
    tuple(column for name in SCALARS for column in (name, f"{name}_param")),
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
        float64 (int64 and bool where the file had integers and truth values), in the tensor's
        shape; each has the exact value that the file had.
    """

    name: str
    aliases: tuple[str, ...]
    dtype: str
    values: NDArray[Any]


@dataclass(frozen=True)
class Held:
    """One value per neuron of a layer, and where each lies in the flat parameter vector."""

    values: NDArray[np.float64]
    params: NDArray[np.int64]


@dataclass(frozen=True)
class Edges:
    """Relationships between neurons, in coordinate form and in no order.

    Parameters
    ----------
    sources, targets
        Neuron ids.
    weights
        Signed.
    positions
        Tells those between the same two neurons apart.
    params
        Where each weight lies in the flat parameter vector; empty for fixed links.
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64]
    positions: NDArray[np.int64]
    params: NDArray[np.int64]

    def among(self, chosen: NDArray[np.bool_]) -> Edges:
        """Only some of them."""
        return Edges(
            self.sources[chosen],
            self.targets[chosen],
            self.weights[chosen],
            self.positions[chosen],
            self.params[chosen] if len(self.params) else self.params,
        )

    def by_source(self, layers: list[Place]) -> list[tuple[Place, NDArray[np.bool_]]]:
        """The layers that they come from, in order, each with which of them do."""
        found = []
        rest = np.ones(len(self.sources), dtype=np.bool_)
        while rest.any():
            layer = scope.layer_of(layers, int(self.sources[rest].min()))
            inside = (self.sources >= layer.first) & (self.sources < layer.first + layer.size)
            found.append((layer, inside))
            rest &= ~inside
        return found


@dataclass(frozen=True)
class LayerWeights:
    """What feeds a layer, as stored: its learned links, and what its neurons hold."""

    layer: Place
    links: Edges
    held: Mapping[str, Held]

    @property
    def biases(self) -> Held | None:
        """The neurons' biases, if they have any."""
        return self.held.get("bias")


def layer_weights(database: Database, layer: Place) -> LayerWeights:
    """Reads one layer's learned links and its neurons' values in columns.

    Parameters
    ----------
    layer
        As :func:`queries.scope.places` gives it.

    Returns
    -------
    LayerWeights
    """
    bounds = {"first": layer.first, "size": layer.size}
    read = database.columns(NEURON_SCALARS, seconds=SECONDS, **bounds)
    held = {
        name: Held(read[name].astype(np.float64), read[f"{name}_param"].astype(np.int64))
        for name in SCALARS
        if read[name].size
    }
    return LayerWeights(layer, layer_links(database, layer), held)


def layer_links(database: Database, layer: Place) -> Edges:
    """Reads the learned links into one layer in columns."""
    return _edges(database, LINKS_INTO_LAYER, layer)


def layer_wires(database: Database, layer: Place) -> Edges:
    """Reads one layer's fixed links in columns."""
    return _edges(database, WIRES_INTO_LAYER, layer)


def _edges(database: Database, query: Query, layer: Place) -> Edges:
    read = database.columns(query, seconds=SECONDS, first=layer.first, size=layer.size)
    return Edges(
        read["source"].astype(np.int64),
        read["target"].astype(np.int64),
        read["weight"].astype(np.float64),
        read["position"].astype(np.int64),
        read["param"].astype(np.int64),
    )


def kept_tensor(database: Database, network: str, index: int) -> NDArray[Any]:
    """A tensor that is kept whole: float64, int64 or bool, in its shape."""
    values, shape = database.read(KEPT_TENSOR, network=network, index=index, seconds=SECONDS).rows[
        0
    ]
    return np.asarray(values).reshape(shape)


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
        _fill(flat, read.links.params, read.links.weights, layer.name)
        for held in read.held.values():
            _fill(flat, held.params, held.values, layer.name)
    kept = {
        row["parameter_index"]: kept_tensor(database, network, row["parameter_index"])
        for row in rows
        if row["kept"]
    }
    scope.unchanged(database, network, layers)
    for row, shape in zip(rows, shapes, strict=True):
        if row["kept"]:
            whole = kept[row["parameter_index"]]
            yield Tensor(row["name"], tuple(row["aliases"] or ()), row["dtype"], whole)
            continue
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
