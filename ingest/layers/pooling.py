"""Pooling over windows, and reductions of whole axes: fixed links from all that is pooled."""

from __future__ import annotations

from math import prod

import numpy as np

from ingest.layers.building import Building, Families
from ingest.layers.convolution import Geometry
from ingest.layers.inputs import IMAGE
from ingest.layers.neurons import varying
from ingest.layers.values import Value
from ingest.operations import Operation


def pool(operation: Operation, building: Building) -> None:
    """A layer of windows' maxima or means."""
    attributes = operation.attributes
    kernel = tuple(attributes["kernel"])
    given = building.source(operation)
    lead = len(given.shape) - len(kernel)
    standing = varying(given.neurons)
    if any(axis >= lead for axis in standing) or (given.neurons < 0).any():
        # Its windows tell positions apart, and so must its neurons.
        standing = tuple(range(lead)) if not building.unrolled else standing
        given = building.standing_along(operation, given, standing)
    placed = building.place(
        operation.name,
        operation.kind,
        operation.shape,
        standing,
        takes=[given],
        attributes=dict(attributes),
        coordinates=IMAGE.get(len(operation.shape), ()),
    )
    if building.unrolled:
        _windows(operation, building, given, placed, kernel)
    else:
        kept = tuple(
            slice(None) if axis < lead else slice(0, 1) for axis in range(len(given.shape))
        )
        building.wire(placed, given.neurons[kept], placed.neurons[kept])
    building.give(operation, placed)


def _windows(
    operation: Operation,
    building: Building,
    given: Value,
    placed: Value,
    kernel: tuple[int, ...],
) -> None:
    flat = Operation(
        operation.name,
        operation.kind,
        shape=(prod(placed.shape[: -len(kernel)]), *placed.shape[-len(kernel) :]),
        attributes=operation.attributes,
    )
    sources = given.neurons.reshape(-1, *given.shape[-len(kernel) :])
    targets = placed.neurons.reshape(flat.shape)
    seen = np.stack([each for each, _ in Geometry.of(flat, kernel).joined(sources, targets)])
    into = targets.reshape(len(targets), -1)
    if operation.kind == "max_pool":
        building.wire(placed, seen, into)
        return
    counted = prod(kernel) if operation.attributes.get("count_padding") else None
    inside = (seen >= 0).sum(axis=0)
    building.wire(placed, seen, into, 1.0 / (np.maximum(inside, 1) if counted is None else counted))


def reduce(operation: Operation, building: Building) -> None:
    """A layer of means, sums or other statistics over axes."""
    attributes = operation.attributes
    given = building.source(operation)
    reduced = {axis % len(given.shape) for axis in attributes["axes"]}
    standing = [axis for axis in varying(given.neurons) if axis not in reduced]
    kept_shape = tuple(1 if axis in reduced else size for axis, size in enumerate(given.shape))
    if not attributes.get("keep"):
        left = [axis for axis in range(len(given.shape)) if axis not in reduced]
        standing = [left.index(axis) for axis in standing]
    placed = building.place(
        operation.name,
        "reduce",
        operation.shape,
        standing,
        takes=[given],
        attributes=dict(attributes),
        coordinates=IMAGE.get(len(operation.shape), ()) if attributes.get("keep") else (),
    )
    count = prod(given.shape[axis] for axis in reduced)
    mean = attributes["function"] == "mean"
    building.wire(
        placed,
        given.neurons,
        placed.neurons.reshape(kept_shape),
        1.0 / count if mean else 1.0,
    )
    building.give(operation, placed)


FAMILY: Families = {"max_pool": pool, "average_pool": pool, "reduce": reduce}
