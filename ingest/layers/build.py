"""Operation graph -> network: hands every operation to the family that knows its kind."""

from __future__ import annotations

from ingest.layers import (
    activation,
    arithmetic,
    attention,
    convolution,
    inputs,
    linear,
    norms,
    opaque,
    pooling,
    rearranging,
    recurrent,
    shapes,
)
from ingest.layers.building import SHARED, UNROLLED, Building, Families
from ingest.network import Network
from ingest.operations import OperationGraph
from store.errors import InvalidArgument, UnsupportedOperation

FAMILIES: Families = {
    **inputs.FAMILY,
    **linear.FAMILY,
    **convolution.FAMILY,
    **pooling.FAMILY,
    **norms.FAMILY,
    **arithmetic.FAMILY,
    **attention.FAMILY,
    **recurrent.FAMILY,
    **rearranging.FAMILY,
    **activation.FAMILY,
    **opaque.FAMILY,
}

VIEWS = (SHARED, UNROLLED)


def build(graph: OperationGraph, view: str = SHARED, *, allow_opaque: bool = False) -> Network:
    """Turns operations into layers of neurons and blocks of links.

    Parameters
    ----------
    graph
        As a reader gives it.
    view
        ``shared``: a channel or feature is one neuron at all its positions; ``unrolled``: every
        value is a neuron. Dense layers are alike in both.
    allow_opaque
        Keeps an operation that is not understood as a layer without links.

    Returns
    -------
    Network
        Layers in the order of the operations; weights are not read yet, biases are.

    Raises
    ------
    UnsupportedOperation
        If no family knows an operation, a long tensor is used by none, or nothing is learned.
    ShapeMismatch
        If a tensor does not fit the layers that it stands between.
    InvalidName
        If a layer's name holds control characters or is too long.
    InvalidArgument
        If there is no such view.

    Example
    -------
    >>> import numpy as np
    >>> from ingest.operations import Operation, Parameter
    >>> weight = Parameter.of("fc.weight", np.ones((2, 3)))
    >>> network = build(OperationGraph((
    ...     Operation("input", "input", shape=(3,)),
    ...     Operation("fc", "linear", ("input",), (2,), {"weight": weight},
    ...               {"layout": "target_source"}),
    ...     Operation("act", "leaky_relu", ("fc",), (2,), attributes={"negative_slope": 0.2}),
    ... ), (weight,), "example"))
    >>> [(layer.name, layer.size, layer.activation) for layer in network.layers]
    [('input', 3, 'identity'), ('fc', 2, 'leaky_relu(negative_slope=0.2)')]
    >>> network.link_count
    6
    """
    if view not in VIEWS:
        raise InvalidArgument(f"There is no view {view!r}: choose one of {', '.join(VIEWS)}.")
    shapes.check_all(graph)
    building = Building(graph, view, allow_opaque=allow_opaque)
    for operation in graph.operations:
        family = FAMILIES.get(operation.kind)
        if family is None:
            raise UnsupportedOperation(
                f"The model holds {operation.kind} (layer {operation.name!r}), which Weightome "
                "cannot ingest."
            )
        family(operation, building)
    return building.network()
