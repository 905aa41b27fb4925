"""What is not understood: refused by name, or kept as a layer without links where allowed."""

from __future__ import annotations

from ingest.layers.building import Building, Families
from ingest.operations import Operation
from store.errors import UnsupportedOperation


def opaque(operation: Operation, building: Building) -> None:
    """A layer that is fed by others, and of which no more is known.

    Raises
    ------
    UnsupportedOperation
        Unless the user allows it; names the operation.
    """
    operator = operation.attributes["operator"]
    module = operation.attributes.get("module")
    if not building.allow_opaque:
        where = f"layer {module!r}" if module else "outside any layer"
        raise UnsupportedOperation(
            f"The model holds {operator} ({where}), which Weightome cannot ingest."
        )
    building.give(
        operation,
        building.place(
            operation.name,
            "opaque",
            operation.shape,
            takes=[building.source(operation, n) for n in range(len(operation.inputs))],
            attributes={"operator": operator},
        ),
    )


FAMILY: Families = {"opaque": opaque}
