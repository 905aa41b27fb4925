"""Convolutions, transposed ones too, in one to three dimensions.

Shared: a channel is one neuron, and two neurons have a link per element of the kernel between
them, whose ``position`` is its place in the kernel. Unrolled: a neuron is a channel at a place,
and a link is one use of a kernel element; what lies in the padding has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from ingest.layers.building import Building, Families
from ingest.layers.inputs import IMAGE
from ingest.layers.neurons import NONE, Neurons, all_different, ranks
from ingest.layers.values import Value
from ingest.network import LinkBlock
from ingest.operations import Operation


@dataclass(frozen=True)
class Kernel:
    """A convolution's tensor as (groups, targets per group, sources per group, places)."""

    values: NDArray[np.float64]
    params: NDArray[np.int64]


@dataclass(frozen=True)
class Geometry:
    """Which places a convolution joins: of each kernel place, sources and targets at once.

    Parameters
    ----------
    shape
        Of the targets' spatial axes.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    kernel: tuple[int, ...]
    shape: tuple[int, ...]
    transposed: bool

    @classmethod
    def of(cls, operation: Operation, kernel: tuple[int, ...]) -> Geometry:
        """From an operation's attributes."""
        attributes = operation.attributes
        ones = (1,) * len(kernel)
        return cls(
            tuple(attributes.get("stride", ones)),
            tuple(
                (pair[0], pair[1]) for pair in attributes.get("padding", ((0, 0),) * len(kernel))
            ),
            tuple(attributes.get("dilation", ones)),
            kernel,
            operation.shape[1:],
            operation.kind == "conv_transposed",
        )

    def joined(self, sources: Neurons, targets: Neurons) -> Iterator[tuple[Neurons, Neurons]]:
        """For each place of the kernel, the sources and the targets that it joins.

        Parameters
        ----------
        sources, targets
            Channels first; channels may differ between the two.

        Yields
        ------
        sources, targets
            channels x places, place by place; -1 where the source lies in the padding.
        """
        # A transposed convolution is one in which sources and targets change their parts.
        wide, narrow = (targets, sources) if self.transposed else (sources, targets)
        padded = _padded(wide, self._padding(wide, narrow))
        flat = narrow.reshape(narrow.shape[0], -1)
        for place in product(*map(range, self.kernel)):
            window = tuple(
                slice(at * step, at * step + count * stride, stride)
                for at, step, stride, count in zip(
                    place, self.dilation, self.stride, narrow.shape[1:], strict=True
                )
            )
            seen = padded[(slice(None), *window)].reshape(padded.shape[0], -1)
            yield (flat, seen) if self.transposed else (seen, flat)

    def _padding(self, wide: Neurons, narrow: Neurons) -> list[tuple[int, int]]:
        pairs = []
        for axis, (before, _) in enumerate(self.padding):
            reach = (self.kernel[axis] - 1) * self.dilation[axis]
            needed = (narrow.shape[axis + 1] - 1) * self.stride[axis] + reach + 1
            length = wide.shape[axis + 1] + before
            # A stride may leave places at the end unseen; they stay.
            pairs.append((before, max(0, needed - length)))
        return pairs


def _padded(neurons: Neurons, pairs: list[tuple[int, int]]) -> Neurons:
    """With no neurons around it; a negative number before an axis cuts it."""
    cut = tuple(slice(max(0, -before), None) for before, _ in pairs)
    whole = [(0, 0), *((max(0, before), after) for before, after in pairs)]
    return np.pad(neurons[(slice(None), *cut)], whole, constant_values=NONE)


def conv(operation: Operation, building: Building) -> None:
    """A layer of feature maps."""
    weight, bias = operation.parameters["weight"], operation.parameters.get("bias")
    groups = int(operation.attributes.get("groups", 1))
    layout = operation.attributes["layout"]
    given = building.source(operation)
    places = len(weight.shape) - 2
    # Keras' kernels begin with their places, all others end with them.
    keras = layout in ("depthwise", "source_target") and operation.kind == "conv"
    kernel = weight.shape[:places] if keras else weight.shape[2:]
    targets = operation.shape[0]
    if not (building.unrolled and (given.neurons < 0).any()):
        given = building.standing_along(operation, given, (0,))
    geometry = Geometry.of(operation, kernel)
    placed = building.place(
        operation.name,
        operation.kind,
        operation.shape,
        (0,),
        takes=[given],
        attributes={
            "kernel": kernel,
            "stride": geometry.stride,
            "padding": geometry.padding,
            "dilation": geometry.dilation,
            "groups": groups,
            **(
                {"output_padding": tuple(operation.attributes.get("output_padding", (0,) * places))}
                if operation.kind == "conv_transposed"
                else {}
            ),
        },
        coordinates=IMAGE.get(len(operation.shape), ()),
    )
    if bias is not None:
        positions = building.tensors.position(bias) + np.arange(targets)
        building.add_scalars(placed, "bias", positions.reshape(-1, *(1,) * places))
    if building.unrolled:
        _link_unrolled(operation, building, given, placed, geometry)
    else:
        building.tensors.hold(weight)
        building.link(
            placed, weight.size, lambda: _shared(operation, building, given, placed, kernel)
        )
    building.give(operation, placed)


def _kernel(operation: Operation, building: Building, sources: int) -> Kernel:
    weight = operation.parameters["weight"]
    groups = int(operation.attributes.get("groups", 1))
    targets = operation.shape[0]
    values = np.asarray(weight.array(), dtype=np.float64)
    params = building.tensors.position(weight) + np.arange(weight.size).reshape(weight.shape)
    each, own = targets // groups, sources // groups

    def ordered(array: NDArray[np.generic]) -> NDArray[np.generic]:
        match operation.attributes["layout"]:
            case "target_source":
                return array.reshape(groups, each, own, -1)
            case "depthwise":
                return array.reshape(-1, groups, 1, each).transpose(1, 3, 2, 0)
            case "source_target" if operation.kind == "conv":
                # The targets of one group lie side by side.
                return array.reshape(-1, own, groups, each).transpose(2, 3, 1, 0)
            case _:
                return array.reshape(groups, own, each, -1).swapaxes(1, 2)

    return Kernel(ordered(values).astype(np.float64), ordered(params).astype(np.int64))


def _shared(
    operation: Operation,
    building: Building,
    given: Value,
    placed: Value,
    kernel: tuple[int, ...],
) -> Iterator[LinkBlock]:
    sources = given.neurons.reshape(given.shape[0], -1)[:, 0]
    targets = placed.neurons.reshape(placed.shape[0], -1)[:, 0]
    found = _kernel(operation, building, sources.size)
    groups, each, own, places = found.values.shape
    rank = ranks(sources)
    position = np.arange(places) + (0 if rank is None else rank.reshape(groups, own, 1) * places)
    position = np.broadcast_to(position, (groups, own, places))
    for group, number in product(range(groups), range(each)):
        target = targets[group * each + number]
        source = sources[group * own : (group + 1) * own]
        yield LinkBlock(
            np.repeat(source, places),
            np.full(own * places, target),
            found.values[group, number].reshape(-1),
            found.params[group, number].reshape(-1),
            position[group].reshape(-1) if prod(kernel) > 1 or rank is not None else None,
        )


def _link_unrolled(
    operation: Operation, building: Building, given: Value, placed: Value, geometry: Geometry
) -> None:
    """Notes which kernel elements are used at all, and links."""
    weight = operation.parameters["weight"]
    groups = int(operation.attributes.get("groups", 1))
    own, each = given.shape[0] // groups, placed.shape[0] // groups
    first = building.tensors.position(weight)
    entries = _kernel(operation, building, given.shape[0]).params - first
    count = 0
    for place, (source, target) in enumerate(geometry.joined(given.neurons, placed.neurons)):
        for group in range(groups):
            there = source[group * own : (group + 1) * own] >= 0
            into = target[group * each : (group + 1) * each] >= 0
            uses = _together(into, there)
            count += int(uses.sum())
            building.tensors.hold(weight, entries[group, :, :, place][uses > 0])
    building.link(placed, count, lambda: _unrolled(operation, building, given, placed, geometry))


def _together(into: NDArray[np.bool_], there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """At how many places each row of the one and each row of the other are both true."""
    if into.all():
        return np.broadcast_to(np.count_nonzero(there, axis=1), (len(into), len(there)))
    if there.all():
        return np.broadcast_to(np.count_nonzero(into, axis=1)[:, None], (len(into), len(there)))
    # float64 counts exactly, and its matrix product is fast.
    return (into.astype(np.float64) @ there.T.astype(np.float64)).astype(np.int64)


def _unrolled(
    operation: Operation, building: Building, given: Value, placed: Value, geometry: Geometry
) -> Iterator[LinkBlock]:
    found = _kernel(operation, building, given.shape[0])
    groups, each, own, places = found.values.shape
    apart = _channel_ranks(given.neurons)
    for place, (source, target) in enumerate(geometry.joined(given.neurons, placed.neurons)):
        for group, number in product(range(groups), range(each)):
            from_ = source[group * own : (group + 1) * own]
            into = np.broadcast_to(target[group * each + number], from_.shape)
            there = (from_ >= 0) & (into >= 0)
            if there.any():
                weights = np.broadcast_to(found.values[group, number, :, place, None], from_.shape)
                params = np.broadcast_to(found.params[group, number, :, place, None], from_.shape)
                position = None
                if apart is not None:
                    rank = apart[group * own : (group + 1) * own, None]
                    position = np.broadcast_to(rank * places + place, from_.shape)[there]
                yield LinkBlock(from_[there], into[there], weights[there], params[there], position)


def _channel_ranks(neurons: Neurons) -> Neurons | None:
    """Tells channels apart that have neurons in common; None if no neuron stands at two places."""
    if all_different(neurons):
        return None
    channels = [np.unique(channel[channel >= 0]) for channel in neurons]
    disjoint = all_different(np.concatenate(channels))
    return np.zeros(len(channels), np.int64) if disjoint else np.arange(len(channels))


FAMILY: Families = {"conv": conv, "conv_transposed": conv}
