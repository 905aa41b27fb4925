"""Keras ``.h5``, of a whole model or of its weights: read by HDF5 and JSON, without Keras.

Only names of layers and functions are taken from the file, never code: a Lambda layer is refused
like any other layer that is not known.
"""

from __future__ import annotations

from pathlib import Path

from ingest.operations import OperationGraph, Parameter
from ingest.readers.chain import Matrix, chain
from ingest.readers.hdf5 import contents
from ingest.readers.keras_config import graph
from store.errors import InvalidArgument, ShapeMismatch, UnsupportedOperation


def read_keras(
    path: Path, input_shape: tuple[int, ...] | None, activation: str | None
) -> OperationGraph:
    """Reads a Keras model of dense layers.

    Parameters
    ----------
    path
        Written by Keras 2 or 3 as ``.h5``: ``model.save``, or ``save_weights`` of Keras 2. The
        file stays mapped while its parameters are in use.
    input_shape, activation
        As for :func:`ingest.readers.read`; a whole model tells both itself.

    Returns
    -------
    OperationGraph
        Parameters are called by their places below the group of all weights, such as
        ``dense_1/dense_1/kernel:0``.

    Raises
    ------
    UnreadableModel
        If the file is damaged, is not Keras', or its data lies outside it.
    UnsupportedOperation
        Names the first layer that cannot be ingested.
    ShapeMismatch
        If there are weights only, and they do not chain.
    """
    found = contents(path)
    parameters = [tensor for roles in found.layers.values() for tensor in roles.values()]
    if found.config is not None:
        if activation is not None:
            raise InvalidArgument(
                f"The model in {path.name!r} tells its activations itself: pass none."
            )
        operations = graph(
            found.config,
            found.layers,
            input_shape,
            path,
            keras_2=found.version.startswith("2"),
        )
        return OperationGraph(tuple(operations), tuple(parameters), "keras")
    return chain(
        [_matrix(name, roles, path) for name, roles in found.layers.items() if roles],
        parameters,
        path,
        source="keras weights",
        ordered=True,
        input_shape=input_shape,
        activation=activation,
    )


def _matrix(name: str, roles: dict[str, Parameter], path: Path) -> Matrix:
    if not roles.keys() <= {"kernel", "bias"} or "kernel" not in roles:
        raise UnsupportedOperation(
            f"Layer {name!r} of {path.name!r} is not dense (it has {', '.join(roles)}): save the "
            "whole model as .h5."
        )
    if len(roles["kernel"].shape) != 2:
        raise ShapeMismatch(
            f"The tensor {roles['kernel'].name!r} of {path.name!r} has the shape "
            f"{roles['kernel'].shape}, but without a graph only matrices can be chained: save the "
            "whole model as .h5."
        )
    return Matrix(name, roles["kernel"], roles.get("bias"), target_first=False)
