"""The input: one neuron for each value of a sample."""

from __future__ import annotations

from ingest.layers.building import Building, Families
from ingest.network import Layer
from ingest.operations import Operation


def layer(operation: Operation, building: Building) -> None:
    """A layer without incoming links."""
    building.place(operation, Layer(operation.name, "input", operation.shape))


FAMILY: Families = {"input": layer}
