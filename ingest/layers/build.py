"""Operation graph -> network: hands every operation to the family that knows its kind."""

from __future__ import annotations

from ingest.layers import activation, inputs, linear, passthrough
from ingest.layers.building import Building, Families
from ingest.network import Network
from ingest.operations import OperationGraph
from store.errors import UnsupportedOperation

FAMILIES: Families = {
    **inputs.FAMILY,
    **linear.FAMILY,
    **activation.FAMILY,
    **passthrough.FAMILY,
}


def build(graph: OperationGraph) -> Network:
    """Turns operations into layers of neurons and blocks of links.

    Parameters
    ----------
    graph
        As a reader gives it.

    Returns
    -------
    Network
        Layers in the order of the operations; weights are not read yet, biases are.

    Raises
    ------
    UnsupportedOperation
        If no family knows an operation, a tensor is used by none, or nothing is linear.
    ShapeMismatch
        If a matrix or bias does not fit the layers that it stands between.
    InvalidName
        If a layer's name holds control characters or is too long.

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
    building = Building(graph)
    for operation in graph.operations:
        family = FAMILIES.get(operation.kind)
        if family is None:
            raise UnsupportedOperation(
                f"The model holds {operation.kind} (layer {operation.name!r}), which Weightome "
                "cannot ingest."
            )
        family(operation, building)
    return building.network()
