"""Operations that compute nothing: values in another shape or order, cut, joined or padded.

They make no neurons, with one exception: where a shared view joins parts along positions, the
parts' neurons become one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.layers.building import Building, Families
from ingest.layers.neurons import NONE, varying
from ingest.layers.values import Value
from ingest.operations import Operation
from store import views

# Each value stands in the result once.
_ONE_TO_ONE = ("dropout", "flatten", "identity", "permute", "reshape")


def view(operation: Operation, building: Building) -> None:
    """The same values elsewhere."""
    value = building.value(operation)
    moved_view = _view(operation, value.view)
    params = None if value.params is None else moved(operation, value.params, fill=NONE)
    result = Value(moved_view, moved(operation, value.neurons, fill=NONE), params)
    if operation.kind in _ONE_TO_ONE:
        building.pass_on(operation, result)
    else:
        building.give(operation, result)


def moved(operation: Operation, array: NDArray[np.int64], *, fill: int) -> NDArray[np.int64]:
    """What an operation of this family makes of an array in the shape that it takes."""
    found = _view(operation, ("layer", 0))
    return array if found == ("layer", 0) else views.step(found, array, fill=fill)


def _view(operation: Operation, before: views.View) -> views.View:
    attributes: dict[str, Any] = dict(operation.attributes)
    match operation.kind:
        case "identity" | "dropout":
            return before
        case "reshape" | "flatten":
            return ("reshape", before, operation.shape)
        case "expand":
            return ("expand", before, operation.shape)
        case "permute":
            return ("permute", before, tuple(attributes["axes"]))
        case "slice":
            bounds = (attributes["start"], attributes["stop"], attributes.get("step", 1))
            return ("slice", before, attributes["axis"], *bounds)
        case "take":
            return ("take", before, attributes["axis"], tuple(attributes["indices"]))
        case _:
            pairs = tuple(tuple(pair) for pair in attributes["padding"])
            return ("pad", before, pairs, attributes.get("mode", "zeros"))


def concat(operation: Operation, building: Building) -> None:
    """Several values side by side."""
    axis = operation.attributes["axis"]
    numbers = range(len(operation.inputs))
    parts = [building.value(operation, number) for number in numbers]
    constant = all(part.params is not None for part in parts)
    if not constant:
        parts = [building.source(operation, number) for number in numbers]
    joined = Value(
        ("concat", axis, *(part.view for part in parts)),
        np.concatenate([part.neurons for part in parts], axis=axis),
        np.concatenate([part.params for part in parts if part.params is not None], axis=axis)
        if constant
        else None,
    )
    along = axis % len(joined.shape)
    among = {each for part in parts for each in varying(part.neurons)}
    if constant or building.unrolled or along in among or along not in varying(joined.neurons):
        building.give(operation, joined)
        return
    # One feature at further positions: class tokens before patches, say.
    placed = building.place(operation.name, "copy", joined.shape, sorted(among), takes=[joined])
    building.wire(placed, joined.neurons, placed.neurons)
    building.give(operation, placed)


FAMILY: Families = {
    **dict.fromkeys(
        (*_ONE_TO_ONE, "expand", "slice", "take", "pad"),
        view,
    ),
    "concat": concat,
}
