"""Matrices: fully connected layers, along the last axis, and embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ingest.layers.building import Building, Families
from ingest.layers.inputs import SEQUENCE
from ingest.layers.neurons import Neurons, ranks
from ingest.layers.values import Value
from ingest.network import LinkBlock
from ingest.operations import Operation, Parameter

# Links of one block, about: 16 MB of arrays.
BLOCK = 1 << 18


def linear(operation: Operation, building: Building) -> None:
    """A layer whose neurons are linked from all values along the last axis."""
    weight = operation.parameters["weight"]
    bias = operation.parameters.get("bias")
    target_first = operation.attributes["layout"] == "target_source"
    targets = operation.shape[-1]
    given = building.source(operation)
    last = len(given.shape) - 1
    source = building.standing_along(operation, given, (last,))
    placed = building.place(
        operation.name,
        "linear",
        operation.shape,
        (last,),
        takes=[source],
        coordinates=SEQUENCE.get(len(operation.shape), ()),
    )
    if bias is not None:
        building.add_scalars(placed, "bias", building.tensors.position(bias) + np.arange(targets))
    if all(building.layer(i).kind == "attention" for i in building.holders(source.neurons)):
        building.change(building.layer_of(placed), roles=("o",) * building.size(placed))
    matrix(building, source, placed, weight, target_first)
    building.give(operation, placed)


def matrix(
    building: Building, source: Value, target: Value, weight: Parameter, target_first: bool
) -> None:
    """Links each value along the last axis of one value with all along the last of another.

    At each position they are the same weights: in a shared view they are linked once.
    """
    sources = source.neurons.reshape(-1, source.shape[-1])
    targets = target.neurons.reshape(-1, target.shape[-1])
    if not building.unrolled:
        sources, targets = sources[:1], targets[:1]
    whole = building.whole_layer(sources) if len(sources) == 1 else None
    if whole is not None and building.whole_layer(targets) is not None:
        building.link_all(whole, building.layer_of(target), weight, target_first)
        return
    building.tensors.hold(weight)
    count = sources.shape[0] * weight.size
    building.link(target, count, lambda: blocks(sources, targets, weight, building, target_first))


def blocks(
    sources: Neurons,
    targets: Neurons,
    weight: Parameter,
    building: Building,
    target_first: bool,
) -> Iterator[LinkBlock]:
    """Links of a matrix at one or more positions, both given as positions x neurons."""
    first = building.tensors.position(weight)
    values = np.asarray(weight.array(), dtype=np.float64)
    params = first + np.arange(weight.size).reshape(weight.shape)
    if not target_first:
        values, params = values.T, params.T
    many = max(1, BLOCK // max(1, sources.shape[1]))
    for source, into in zip(sources, targets, strict=True):
        position = ranks(source)
        for start in range(0, into.size, many):
            part = slice(start, start + many)
            shape = values[part].shape
            yield LinkBlock(
                np.broadcast_to(source, shape).reshape(-1),
                np.broadcast_to(into[part, None], shape).reshape(-1),
                values[part].reshape(-1),
                params[part].reshape(-1),
                None if position is None else np.broadcast_to(position, shape).reshape(-1),
            )


def embedding(operation: Operation, building: Building) -> None:
    """A table that integers are looked up in: a matrix from one-hot neurons."""
    weight = operation.parameters["weight"]
    given = building.source(operation)
    last = len(given.shape)
    one_hot = building.place(
        building.fresh(f"{operation.name}.one_hot"),
        "one_hot",
        (*given.shape, weight.shape[0]),
        (last,),
        takes=[given],
    )
    building.wire(one_hot, given.neurons[..., None], one_hot.neurons)
    placed = building.place(
        operation.name,
        "embedding",
        operation.shape,
        (last,),
        takes=[one_hot],
        coordinates=SEQUENCE.get(len(operation.shape), ()),
    )
    matrix(building, one_hot, placed, weight, target_first=False)
    building.give(operation, placed)


FAMILY: Families = {"linear": linear, "embedding": embedding}
