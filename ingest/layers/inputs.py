"""The inputs, and the tensors that are operands themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ingest.layers import rearranging
from ingest.layers.activation import ELEMENTWISE
from ingest.layers.building import Building, Families
from ingest.layers.neurons import Neurons, varying
from ingest.operations import Operation

# Kinds that give each value its own place again, whatever other operands they have.
_SAME_PLACES = (
    *ELEMENTWISE,
    "add", "product", "subtract", "divide", "maximum", "minimum", "power", "prelu",
)  # fmt: skip
_CHANNELS_FIRST = (
    "conv", "conv_transposed", "max_pool", "average_pool", "group_norm", "instance_norm",
)  # fmt: skip

IMAGE = {2: ("channel", "col"), 3: ("channel", "row", "col"), 4: ("channel", "depth", "row", "col")}
SEQUENCE = {2: ("step", "channel")}


def layer(operation: Operation, building: Building) -> None:
    """A layer without incoming links."""
    integers = bool(operation.attributes.get("integers"))
    axes: tuple[int, ...] | None = None
    coordinates: tuple[str, ...] = ()
    if integers:
        # The neurons that tell the integers apart come with what looks them up.
        axes = ()
    elif len(operation.shape) > 1:
        axes, coordinates = _standing(operation, building)
    building.give(
        operation,
        building.place(
            operation.name,
            "input",
            operation.shape,
            axes,
            attributes={"integers": True} if integers else {},
            coordinates=coordinates,
        ),
    )


def parameter(operation: Operation, building: Building) -> None:
    """A tensor as an operand: what takes it decides how it stands in the graph."""
    building.give(operation, building.constant(operation.parameters["value"], operation.shape))


def _standing(
    operation: Operation, building: Building
) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Along which axes of an input neurons stand in a shared view, and what its axes are called.

    They stand along those that the first operation with channels or features tells apart: the
    channels of an image before a convolution, all pixels before a matrix.
    """
    shape = operation.shape
    places: dict[str, Neurons] = {operation.name: np.arange(np.prod(shape)).reshape(shape)}
    told: set[int] = set()
    taken = False
    coordinates: tuple[str, ...] = ()
    parameters = {each.name for each in building.graph.operations if each.kind == "parameter"}
    for later in building.graph.operations:
        tracked = [places[name] for name in later.inputs if name in places]
        if not tracked:
            continue
        before = tracked[0]
        if later.kind in rearranging.FAMILY and len(later.inputs) == 1:
            places[later.name] = rearranging.moved(_at_edges(later), before, fill=0)
        elif (
            later.kind in _SAME_PLACES
            and later.shape == before.shape
            and all(name in places or name in parameters for name in later.inputs)
        ):
            places[later.name] = before
        elif later.shape and later.kind not in ("concat", *_SAME_PLACES):
            taken = True
            kept = _channel_axes(later, before.ndim)
            positions = np.unravel_index(before, shape)
            told.update(
                axis
                for axis, along in enumerate(positions)
                if set(varying(np.asarray(along))) & kept
            )
            images = later.kind in (*_CHANNELS_FIRST, "batch_norm")
            coordinates = (IMAGE if images else SEQUENCE).get(len(shape), ())
    return (tuple(sorted(told)) if taken else None), coordinates


def _at_edges(operation: Operation) -> Operation:
    """An operation whose padding, if it is one, repeats what is at the edges: it has a place."""
    if operation.kind != "pad":
        return operation
    return replace(operation, attributes={**operation.attributes, "mode": "replicate"})


def _channel_axes(operation: Operation, dimensions: int) -> set[int]:
    """The axes of what an operation takes along which it tells channels or features apart."""
    if operation.kind in _CHANNELS_FIRST:
        return {0}
    if operation.kind == "batch_norm":
        return {operation.attributes["axis"] % dimensions}
    if operation.kind == "reduce":
        reduced = {axis % dimensions for axis in operation.attributes["axes"]}
        return set(range(dimensions)) - reduced or set(range(dimensions))
    if operation.kind == "opaque":
        return set(range(dimensions))
    return {dimensions - 1}


FAMILY: Families = {"input": layer, "parameter": parameter}
