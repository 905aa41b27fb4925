"""Elementwise operations of several values: residual sums, gates, scales and shifts by a tensor.

Values of neurons come by fixed links. A tensor becomes a bias where it is added and a learned link
where it multiplies; one that differs between positions of a shared view (position embeddings)
becomes links from one neuron per position.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.layers.building import Building, Families
from ingest.layers.neurons import varying
from ingest.layers.norms import one_to_one
from ingest.layers.values import Value
from ingest.network import LinkBlock
from ingest.operations import Operation
from store import views


def several(operation: Operation, building: Building) -> None:
    """A layer that computes each value from those in its place."""
    numbers = range(len(operation.inputs))
    values = [_broadcast(building.value(operation, number), operation) for number in numbers]
    constants = [value for value in values if value.params is not None]
    if len(values) == 2 and len(constants) == 1:
        (given,) = (value for value in values if value.params is None)
        if _by_tensor(operation, building, given, constants[0]):
            return
    if len(constants) == len(values):
        sources = [building.source(operation, number) for number in numbers]
        values = [_broadcast(value, operation) for value in sources]
    for value in values:
        if value.params is not None:
            building.keep(value)
    standing = sorted({axis for value in values for axis in varying(value.neurons)})
    first = next(value for value in values if value.params is None)
    placed = building.place(
        operation.name,
        operation.kind,
        operation.shape,
        standing,
        takes=values,
        coordinates=building.coordinates(first),
    )
    for number, value in enumerate(values):
        sign = -1.0 if operation.kind == "subtract" and number else 1.0
        building.wire(placed, value.neurons, placed.neurons, sign, argument=number)
    building.give(operation, placed)


def _broadcast(value: Value, operation: Operation) -> Value:
    if value.shape == operation.shape:
        return value
    missing = (1,) * (len(operation.shape) - len(value.shape))

    def whole(array: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.broadcast_to(array.reshape(missing + array.shape), operation.shape)

    return Value(
        ("expand", value.view, operation.shape),
        whole(value.neurons),
        None if value.params is None else whole(value.params),
    )


def _by_tensor(operation: Operation, building: Building, given: Value, constant: Value) -> bool:
    """Makes links or biases of a tensor that is added or multiplied, where they can hold it.

    They hold finite floats, each used as the file has it.
    """
    params = constant.params
    if params is None or (params < 0).any() or (given.neurons < 0).any():
        return False
    leaves = list(views.leaves(constant.view, "parameter"))
    if len(leaves) != 1 or not building.tensors.float_at(leaves[0]):
        return False
    if operation.kind == "add":
        return _shift(operation, building, given, params)
    if operation.kind == "product":
        return _scale(operation, building, given, constant, params)
    return False


def _shift(
    operation: Operation, building: Building, given: Value, params: NDArray[np.int64]
) -> bool:
    standing = varying(given.neurons)
    differing = set(varying(params))
    among = building.unrolled or differing <= set(standing)
    if not among and not differing & set(standing):
        return False
    positions = None
    if not among:
        others = differing - set(standing)
        positions = building.place(
            building.fresh(f"{operation.name}.position"),
            "position",
            tuple(size if axis in others else 1 for axis, size in enumerate(operation.shape)),
        )
    placed = building.place(
        operation.name,
        "shift",
        operation.shape,
        standing,
        takes=[given] if positions is None else [given, positions],
        coordinates=building.coordinates(given),
    )
    building.wire(placed, given.neurons, placed.neurons)
    if positions is None:
        building.add_scalars(placed, "bias", params)
    else:
        _link_positions(building, positions, placed, params)
    building.give(operation, placed)
    return True


def _link_positions(
    building: Building, positions: Value, placed: Value, params: NDArray[np.int64]
) -> None:
    """Links from one neuron per position: the tensor as a table of positions."""
    apart = {*varying(positions.neurons), *varying(placed.neurons)}
    one = tuple(slice(None) if axis in apart else slice(0, 1) for axis in range(len(placed.shape)))
    entries = params[one]
    scalars = building.tensors.scalars(entries.reshape(-1))

    def links() -> list[LinkBlock]:
        return [
            LinkBlock(
                np.broadcast_to(positions.neurons, entries.shape).reshape(-1),
                np.broadcast_to(placed.neurons[one], entries.shape).reshape(-1),
                scalars.values,
                scalars.params,
            )
        ]

    building.link(placed, entries.size, lambda: iter(links()))


def _scale(
    operation: Operation,
    building: Building,
    given: Value,
    constant: Value,
    params: NDArray[np.int64],
) -> bool:
    standing = varying(given.neurons)
    if not (building.unrolled or set(varying(params)) <= set(standing)):
        return False
    placed = building.place(
        operation.name,
        "scale",
        operation.shape,
        standing,
        takes=[given],
        coordinates=building.coordinates(given),
    )
    tensor = building.graph.parameters[next(views.leaves(constant.view, "parameter"))]
    one_to_one(building, given, placed, tensor, params)
    building.give(operation, placed)
    return True


FAMILY: Families = dict.fromkeys(
    ("add", "product", "subtract", "divide", "maximum", "minimum", "power"), several
)
