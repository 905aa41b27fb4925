"""Normalisation: one learned link per neuron (its scale), its shift as bias, statistics kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.layers.building import Building, Families
from ingest.layers.neurons import varying
from ingest.layers.values import Value
from ingest.network import LinkBlock
from ingest.operations import Operation, Parameter


def norm(operation: Operation, building: Building) -> None:
    """A layer of normalised values, each linked from its own value before."""
    given = building.source(operation)
    dimensions = len(operation.shape)
    attributes = {key: value for key, value in operation.attributes.items() if key != "layout"}
    positions = {
        role: _positions(operation, building, tensor, dimensions)
        for role, tensor in operation.parameters.items()
    }
    standing = set(varying(given.neurons))
    for each in positions.values():
        standing |= {axis for axis in range(dimensions) if each.shape[axis] > 1}
    given = given if (given.neurons >= 0).all() else building.copy(operation.name, given)
    placed = building.place(
        operation.name,
        operation.kind,
        operation.shape,
        sorted(standing),
        takes=[given],
        attributes=attributes,
        coordinates=building.coordinates(given),
    )
    for role, name in (("bias", "bias"), ("mean", "mean"), ("variance", "variance")):
        if role in positions:
            building.add_scalars(placed, name, positions[role])
    if "weight" in positions:
        one_to_one(building, given, placed, operation.parameters["weight"], positions["weight"])
    else:
        building.wire(placed, given.neurons, placed.neurons)
    building.give(operation, placed)


def one_to_one(
    building: Building,
    given: Value,
    placed: Value,
    weight: Parameter,
    positions: NDArray[np.int64],
) -> None:
    """Links each neuron of a layer from the one that stands in its place before it."""
    standing = building.layer(building.layer_of(placed)).neuron_axes
    one = tuple(slice(None) if axis in standing else 0 for axis in range(len(placed.shape)))

    def blocks() -> list[NDArray[np.int64]]:
        arrays = (given.neurons, placed.neurons, np.broadcast_to(positions, placed.shape))
        return [np.ascontiguousarray(array[one]).reshape(-1) for array in arrays]

    def links() -> list[LinkBlock]:
        sources, targets, params = blocks()
        values = np.asarray(weight.array(), dtype=np.float64).reshape(-1)
        return [
            LinkBlock(sources, targets, values[params - building.tensors.position(weight)], params)
        ]

    building.tensors.hold(weight, blocks()[2] - building.tensors.position(weight))
    building.link(placed, building.size(placed), lambda: iter(links()))


def _positions(
    operation: Operation, building: Building, tensor: Parameter, dimensions: int
) -> NDArray[np.int64]:
    """Where a tensor's values lie in the parameter vector, in a shape that broadcasts."""
    flat = building.tensors.position(tensor) + np.arange(tensor.size)
    axes = operation.attributes.get("axes")
    if axes is not None:
        # The tensor's axes stand in the order in which the operation names them.
        ordered = flat.reshape([operation.shape[axis] for axis in axes]).transpose(np.argsort(axes))
        return ordered.reshape(
            [
                operation.shape[axis] if axis - dimensions in axes else 1
                for axis in range(dimensions)
            ]
        )
    # Of the channels, which come first unless the operation says where they are.
    channel = operation.attributes.get("axis", -dimensions) % dimensions
    sizes = [1] * dimensions
    sizes[channel] = tensor.size
    return flat.reshape(sizes)


FAMILY: Families = dict.fromkeys(
    ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm", "prelu"), norm
)
