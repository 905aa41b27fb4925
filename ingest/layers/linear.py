"""Fully connected layers: one neuron for each output, one link for each weight."""

from __future__ import annotations

import numpy as np

from ingest.layers.building import Building, Families
from ingest.network import Layer
from ingest.operations import Operation
from store.errors import ShapeMismatch, UnsupportedOperation


def linear(operation: Operation, building: Building) -> None:
    """A layer whose neurons are all linked from all neurons of another."""
    weight = operation.parameters["weight"]
    bias = operation.parameters.get("bias")
    target_first = operation.attributes["layout"] == "target_source"
    if len(weight.shape) != 2:
        raise ShapeMismatch(
            f"The weight {weight.name!r} of layer {operation.name!r} has the shape "
            f"{weight.shape}, which is not a matrix."
        )
    targets, sources = weight.shape if target_first else weight.shape[::-1]
    source = building.source(operation)
    if len(source.shape) != 1:
        raise UnsupportedOperation(
            f"Layer {operation.name!r} applies its matrix along the last axis of the shape "
            f"{source.shape}, which Weightome cannot ingest: flatten it first."
        )
    if source.shape != (sources,):
        raise ShapeMismatch(
            f"The weight {weight.name!r} {weight.shape} takes {sources} values, but layer "
            f"{building.name(source.layer)!r} before it has {source.shape[0]} neurons."
        )
    if bias is not None and bias.shape != (targets,):
        raise ShapeMismatch(
            f"The bias {bias.name!r} has the shape {bias.shape}, but {weight.name!r} "
            f"{weight.shape} has {targets} outputs."
        )
    target = building.place(
        operation,
        Layer(
            operation.name,
            "linear",
            (targets,),
            bias=None if bias is None else bias.array().astype(np.float64),
            bias_param=None if bias is None else building.position(bias),
            sources=(source.layer,),
        ),
    )
    building.link(source.layer, target, weight, target_first)


FAMILY: Families = {"linear": linear}
