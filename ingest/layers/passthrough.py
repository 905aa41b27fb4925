"""Operations that leave every value as it is once training is over: dropout, flatten, identity."""

from __future__ import annotations

from ingest.layers.building import Building, Families
from ingest.operations import Operation


def passthrough(operation: Operation, building: Building) -> None:
    """Keeps the neurons, in the operation's shape."""
    building.same(operation)


FAMILY: Families = dict.fromkeys(("dropout", "flatten", "identity", "reshape"), passthrough)
